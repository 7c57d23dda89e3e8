"""What tells one source, or one set of checks, from another: digests of what the configuration says of them."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from refresher.settings.models import AssetSettings, Choice

CHECKED_FILE_LIMIT = 16 * 1024 * 1024
"""Bytes of a local file that a verifier names; larger ones are known by their path only."""
Content = dict[Path, str | None]
"""The digests of local files; None for what can't be read, or is too large."""


def fingerprint(content: object) -> str:
    """`sha256:…` over the content as JSON with sorted keys and no spaces."""
    written_out = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return f"sha256:{hashlib.sha256(written_out.encode()).hexdigest()}"


def dumped(options: BaseModel) -> dict[str, Any]:
    """Only what differs from the defaults, so that an option that a plugin learns later changes no fingerprint."""
    return options.model_dump(mode="json", exclude_defaults=True, fallback=str)


def of_source(asset: AssetSettings, rendered_by: str | None) -> str:
    """What is fetched, and made of it; `rendered_by` is the digest of how it is rendered."""
    made = [*(["unpack"] if asset.unpack else []), *([rendered_by] if rendered_by else [])]
    if asset.source is not None:
        return fingerprint([*_asked(asset.source), *made])
    return fingerprint(["sources", {name: _asked(choice) for name, choice in asset.sources.items()}, *made])


def of_checks(asset: AssetSettings, checks: Sequence[Choice]) -> str:
    """How it is judged: by these verifiers, with the content of the local files that they name, and by its limits."""
    return fingerprint([[_check(check) for check in checks], _bounds(asset)])


def checked_files(asset: AssetSettings) -> set[Path]:
    """The local files that its listed verifiers name."""
    return {path for check in asset.verify for path in _local_files(check.options.model_dump())}


def digests(paths: Iterable[Path]) -> Content:
    """What is in these files now."""
    return {path: _content_digest(path) for path in sorted(paths)}


def _asked(choice: Choice) -> list[object]:
    """What is asked for, without how it's reached: a new timeout or token is no reason to fetch everything again."""
    connection: frozenset[str] = getattr(choice.plugin.Options, "connection", frozenset())
    options = {key: value for key, value in dumped(choice.options).items() if key not in connection}
    return [choice.name, options]


def _check(choice: Choice) -> object:
    """The options, and the content of the local files they name: new roots at the same path are a new check."""
    files = {str(path): digest for path, digest in digests(_local_files(choice.options.model_dump())).items()}
    return [choice.name, dumped(choice.options), files, *([] if choice.source is None else [choice.source])]


def _bounds(asset: AssetSettings) -> object:
    """The settings besides verifiers that content can be refused for; raising a limit is a new check."""
    limits = asset.limits
    ratio = [limits.ratio] if asset.unpack else []
    return [limits.file, limits.total, limits.files, asset.publish.layout, *ratio]


def _local_files(value: object) -> Iterator[Path]:
    if isinstance(value, Path) and value.is_absolute():
        yield value
    elif isinstance(value, Mapping):
        for below in value.values():
            yield from _local_files(below)
    elif isinstance(value, list | tuple | set | frozenset):
        for below in value:
            yield from _local_files(below)


def _content_digest(path: Path) -> str | None:
    try:
        if not path.is_file() or path.stat().st_size > CHECKED_FILE_LIMIT:
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
