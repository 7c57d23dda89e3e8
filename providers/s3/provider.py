"""One look at a bucket.

Every read is pinned to the version or ETag that was found, and a set of objects is listed again afterwards, which has
to say the same. A prefix without objects is a PermanentError: nothing empty replaces something.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from providers.s3.clients import Clients
from providers.s3.listing import all_below, one_object, where_it_points
from providers.s3.objects import Objects
from providers.s3.options import S3Options
from providers.s3.sessions import endpoint
from refresher.abilities import Observation
from refresher.contract import Fetched, Held, Unchanged
from refresher.errors import TransientError


class S3Provider:
    """Objects of one bucket. What is unchanged costs one HEAD, a listing, or a pointer and a listing."""

    Options = S3Options
    Shared = Clients

    def __init__(self, options: S3Options, *, shared: Clients) -> None:
        self.options, self._shared, self._objects = options, shared, Objects(options, shared)
        shared.join(options)

    @classmethod
    def from_url(cls, url: str) -> Mapping[str, Any]:
        """`s3://bucket/key`, `s3://bucket/prefix/` as options. ValueError if there is no bucket, or a login in it."""
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("must be s3://bucket/key or s3://bucket/prefix/")
        path = unquote(parts.path.removeprefix("/"))
        return {"bucket": parts.netloc, "prefix" if not path or path.endswith("/") else "key": path}

    @property
    def endpoint(self) -> str:
        """The server that is asked first; a bucket may be led elsewhere."""
        return endpoint(self.options)

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        """Ask what there is; see `Provider.fetch`."""
        found = self._look()
        if held is not None and held.revision == found.revision:
            yield Unchanged()
            return
        yield found
        # A single object needs no second look: its reads were pinned.
        if self.options.key is None and self._look().revision != found.revision:
            raise TransientError(f"{self.options.place} changed while it was fetched")

    def diagnose(self) -> Iterator[Observation]:
        """Whether the endpoint answers, whose credentials these are, and what they may do. Raises as a fetch does."""
        from providers.s3.diagnosis import diagnosis  # for one command, and not for each sidecar

        return diagnosis(self.options)

    def close(self) -> None:
        """Leave the connections to the others, or close them after the last of them."""
        self._shared.leave(self.options)

    def _look(self) -> Fetched:
        if self.options.key is not None:
            return one_object(self._objects, self.options.key)
        if self.options.current is not None:
            return where_it_points(self._objects, self.options.current)
        return all_below(self._objects, self.options.prefix or "")
