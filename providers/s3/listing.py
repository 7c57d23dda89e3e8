"""What there is at the moment: one object, all below a prefix, or all below the prefix that a small object names."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from providers.s3.checksums import Checksum
from providers.s3.files import S3File
from providers.s3.objects import Objects
from refresher.contract import Fetched
from refresher.errors import PermanentError

MOST_OBJECTS = 100_000
"""Keys below a prefix, 100 listing pages; more is a mistake in `prefix`."""
MOST_POINTER = 1024
"""Bytes of a pointer: what a key may have (S3 User Guide, "Naming Amazon S3 objects")."""
_ETAG = re.compile(r"[\x21-\x7e]+")


def one_object(objects: Objects, key: str) -> Fetched:
    """The object; its revision is its version, in a bucket without versions its ETag. One HEAD."""
    options = objects.options
    head, route = objects.head(key, {"VersionId": options.version_id} if options.version_id else {})
    # "null" names whatever an unversioned bucket holds at the moment, so it pins nothing.
    found = options.version_id or head.get("VersionId", "null")
    version = None if found == "null" else found
    size, etag = _facts(head, ("ContentLength", "ETag"), options.place)
    file = S3File(
        objects=objects,
        route=route,
        name=options.file_name,
        key=key,
        size=size,
        etag=etag,
        version=version,
        checksum=Checksum.told(head["ResponseMetadata"]["HTTPHeaders"]),
        told=True,
    )
    return Fetched(revision=version or file.etag, files=[file])


def all_below(objects: Objects, prefix: str) -> Fetched:
    """The objects; the revision is a digest over their keys, ETags and sizes. One request for a thousand of them."""
    files, seen = [], hashlib.sha256()
    for page, route in objects.pages(prefix):
        for found in page.get("Contents", []):
            key, size, etag = _facts(found, ("Key", "Size", "ETag"), objects.options.place)
            if key.endswith("/") and size == 0:
                continue  # what consoles make to show a directory
            seen.update(repr((key, etag, size)).encode())
            name = key.removeprefix(prefix)
            files.append(S3File(objects=objects, route=route, name=name, key=key, size=size, etag=etag))
        if len(files) > MOST_OBJECTS:
            raise PermanentError(f"{objects.options.place} has more than {MOST_OBJECTS} objects")
    if not files:
        place = f"s3://{objects.options.bucket}/{prefix}"
        raise PermanentError(f"{place} has no objects, and nothing empty is published")
    return Fetched(revision=seen.hexdigest(), files=files)


def _facts(answer: Any, names: Sequence[str], place: str) -> list[Any]:
    """What an answer has under these names, the ETag last. PermanentError for one that no S3 store would give."""
    facts = [answer.get(name) for name in names]
    # An ETag goes into a header: with a line break in it, a listing could write our requests.
    if None in facts or not _ETAG.fullmatch(facts[-1]):
        raise PermanentError(f"{place}: an answer without {', '.join(names)} isn't what S3's API defines")
    return facts


def where_it_points(objects: Objects, key: str) -> Fetched:
    """The objects below the prefix that the object `key` names. One request more than for the prefix itself.

    Keys begin with the prefix and are part of the revision, and so the pointer's content is, too.
    """
    return all_below(objects, pointed_to(objects.text(key, MOST_POINTER), objects.options.place))


def pointed_to(content: bytes, place: str) -> str:
    """A pointer's content as a prefix with its final slash. PermanentError, without the content, if it can't be one."""
    if len(content) > MOST_POINTER:
        raise PermanentError(f"{place} is larger than {MOST_POINTER} bytes: it has to hold a prefix and nothing else")
    try:
        prefix = content.decode().strip().removesuffix("/")
    except UnicodeDecodeError:
        raise PermanentError(f"{place} is not text: it has to hold a prefix and nothing else") from None
    if not prefix:
        raise PermanentError(f"{place} is empty: it has to hold a prefix")
    if not prefix.isprintable() or {"", ".", ".."} & set(prefix.split("/")):
        raise PermanentError(
            f"{place} has to hold one line, the prefix's parts joined by slashes, none of them . or .."
        )
    return f"{prefix}/"
