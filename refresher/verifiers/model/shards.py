"""Models in several files: whoever names the others is only whole with them."""

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from refresher.contract import Candidate, FileSet
from refresher.errors import RejectedError
from refresher.verifiers.content import listed, text
from refresher.verifiers.model.json_text import JsonText

INDEX_LIMIT = 16 * 1024 * 1024
"""Bytes; 140 000 tensors, more than the largest models have, take 15 MB at the usual length of their names."""

INDEXES = (".safetensors.index.json", ".bin.index.json")

_NUMBERED = re.compile(r"(?P<stem>.*-)(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})(?P<ending>\.gguf|\.safetensors)")


def refuse_missing_shards(candidate: Candidate) -> None:
    """Raises RejectedError if an index names a file that isn't there, or one of a numbered series is missing."""
    for name in sorted(candidate.files):
        if name.endswith(INDEXES):
            _refuse_missing(candidate, name, _indexed(candidate, name))
    for name, series in _series(candidate):
        _refuse_missing(candidate, name, series)


def beside(name: str, location: str) -> str | None:
    """The candidate's name for what a file calls `location`, relative to itself; None if that could lead elsewhere."""
    path = PurePosixPath(location)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        return None
    return str(PurePosixPath(name).parent / path)


def _refuse_missing(files: FileSet, name: str, wanted: Iterable[str]) -> None:
    missing = set(wanted) - files.files.keys()
    if missing:
        raise RejectedError(f"{name} is one part of a model whose other parts are missing: {listed(missing)}")


def _indexed(candidate: Candidate, name: str) -> set[str]:
    document = JsonText(text(candidate, name, limit=INDEX_LIMIT))
    try:
        return {beside(name, shard) or shard for shard in _shards(document)}
    except ValueError as error:
        problem = str(error)
    raise RejectedError(f"{name} is not as an index of shards has to be: {problem}")


def _shards(document: JsonText) -> Iterator[str]:
    """The file of each tensor in `weight_map`."""
    mapped = False
    for key in document.members():
        if key == "weight_map":
            mapped = True
            for _ in document.members():
                yield document.string()
        else:
            document.skip()
    document.end()
    if not mapped:
        raise ValueError("weight_map is missing")


def _series(candidate: Candidate) -> Iterator[tuple[str, list[str]]]:
    """Each numbered series, `…-00001-of-00003.gguf` and so on, with the name of one of its files."""
    known = set()
    for name, match in ((name, _NUMBERED.fullmatch(name)) for name in sorted(candidate.files)):
        if match and (series := (match["stem"], match["count"], match["ending"])) not in known:
            known.add(series)
            # One more than there are files is missing some, and a name can say that there are a hundred thousand.
            most = min(int(match["count"]), len(candidate.files) + 1)
            yield (
                name,
                [f"{match['stem']}{each:05}-of-{match['count']}{match['ending']}" for each in range(1, most + 1)],
            )
