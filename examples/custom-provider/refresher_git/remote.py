"""One repository on its server: what a ref names now, and the objects that it leads to."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import cast

import urllib3
from dulwich.client import HttpGitClient, default_urllib3_manager
from dulwich.config import ConfigDict
from dulwich.object_store import MemoryObjectStore, ObjectStoreGraphWalker
from dulwich.objects import ObjectID

from refresher.errors import PermanentError, RefresherError, TransientError
from refresher_git.guard import Guard, Pool
from refresher_git.options import GitOptions
from refresher_git.packs import unpack
from refresher_git.tree import Leaf, leaves

PATIENCE = 15.0
"""Seconds to connect, and for each read."""
Refs = Mapping[bytes, ObjectID]


class Remote:
    """Fetches into memory. Raises TransientError and PermanentError."""

    def __init__(self, options: GitOptions, *, patience: float = PATIENCE) -> None:
        self._options = options
        self._guard = Guard(_pool(options, patience), options.url, limit=options.limit)
        login = (options.username, options.token.read()) if options.token else (None, None)
        self._client = HttpGitClient(
            options.url, pool_manager=cast(urllib3.PoolManager, self._guard), username=login[0], password=login[1]
        )
        self._objects = MemoryObjectStore()
        self._blobs: Sequence[ObjectID] = ()
        self._lock = threading.Lock()

    def named(self) -> ObjectID:
        """What the ref names: a commit or a tag."""
        with self._translated():
            refs = self._client.get_refs("", ref_prefix=self._prefixes()).refs
        return self._chosen({name: found for name, found in refs.items() if found})

    def commit(self, *, unless: str | None) -> ObjectID | None:
        """What the ref names, its objects fetched; None, and nothing fetched, if that is `unless`.

        One commit without its history, and without the content of files where the server can leave that out.
        """
        found: list[ObjectID] = []

        def wanted(refs: Refs, depth: int | None = None) -> list[ObjectID]:
            found.append(self._chosen(refs))
            return [each for each in found if each.decode() != unless]

        self._fetch(wanted, depth=1, filter_spec=b"blob:none")
        return None if found[0].decode() == unless else found[0]

    def leaves(self, revision: ObjectID) -> list[Leaf]:
        """What a commit that was fetched has below the path."""
        with self._translated():
            found = list(leaves(self._objects, revision, self._options.path))
        self._blobs = [leaf.id for leaf in found if not leaf.flaw]
        return found

    def content(self, blob: ObjectID) -> bytes:
        """The bytes of one of those files: the first one that is asked for brings all, in one answer."""
        with self._lock, self._translated():
            missing = [each for each in self._blobs if each not in self._objects]
            if missing:
                self._fetch(lambda refs, depth=None: missing)
            return self._objects.get_raw(blob)[1]

    def close(self) -> None:
        """Close every connection."""
        self._guard.close()

    def _fetch(
        self,
        wanted: Callable[..., list[ObjectID]],
        *,
        depth: int | None = None,
        filter_spec: bytes | None = None,
    ) -> None:
        pack = BytesIO()
        nothing_held = ObjectStoreGraphWalker([], lambda _: [])
        with self._translated():
            self._client.fetch_pack(
                "",
                wanted,
                nothing_held,
                pack.write,
                depth=depth,
                filter_spec=filter_spec,
                ref_prefix=self._prefixes(),
            )
            if pack.tell():
                unpack(pack.getvalue(), self._objects, limit=self._options.limit)

    def _prefixes(self) -> list[bytes]:
        ref = self._options.ref.encode()
        return [ref] if ref == b"HEAD" or ref.startswith(b"refs/") else [b"refs/heads/" + ref, b"refs/tags/" + ref]

    def _chosen(self, refs: Refs) -> ObjectID:
        found = [refs[name] for name in self._prefixes() if name in refs]
        if not found:
            raise PermanentError(f"{self._options.url} has no branch or tag {self._options.ref}")
        if len(found) > 1:
            raise PermanentError(
                f"{self._options.ref} is a branch and a tag of {self._options.url}; write refs/heads/… or refs/tags/…"
            )
        return found[0]

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Our errors for dulwich's, of which there is one for whatever its parsing trips over."""
        try:
            yield
        except RefresherError:
            raise
        except Exception as error:  # the answer is anybody's bytes
            raise TransientError(f"{self._options.url} answers no good Git: {type(error).__name__}") from error


def _pool(options: GitOptions, patience: float) -> Pool:
    """Connections, through the proxy that the environment names. Raises PermanentError."""
    settings = ConfigDict()
    if options.ca_file:
        if not os.access(options.ca_file, os.R_OK):
            raise PermanentError(f"the file {options.ca_file} can't be read")
        settings.set((b"http",), b"sslCAInfo", str(options.ca_file).encode())
    return cast(Pool, default_urllib3_manager(settings, base_url=options.url, timeout=patience))
