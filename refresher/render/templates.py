"""Templates as they are when the configuration is read: with everything that they include, and without mistakes."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from refresher.errors import ConfigError
from refresher.model import MiB
from refresher.render.entries import Entry
from refresher.render.unfit import Unfit

LIMIT = MiB
"""Bytes of one template."""
MOST = 100
"""Templates that belong to one file."""
INLINE = "inline"


def loaded(entry: Entry) -> tuple[str, Mapping[str, str]]:
    """The first template's name, and the text of each by its name. Raises ConfigError."""
    try:
        from refresher.render import jinja
    except ModuleNotFoundError as error:
        if error.name not in ("jinja2", "markupsafe"):
            raise
        raise ConfigError("templates need Jinja2: pip install 'refresher[render]'") from None
    try:
        texts = _texts(entry, jinja.references)
        jinja.refuse_mistakes(texts)
    except Unfit as error:
        raise ConfigError(str(error)) from None
    return _first(entry), texts


def files(entry: Entry) -> set[Path]:
    """The files that an entry's templates are in, as far as that can be known; of a missing one, where it would be."""
    if entry.template is None:
        return set()
    try:
        from refresher.render import jinja
    except ModuleNotFoundError:
        return {entry.template}
    return {entry.template.parent / name for name, _ in _together(entry, jinja.references)}


def _texts(entry: Entry, references: Callable[[str], list[str]]) -> Mapping[str, str]:
    texts: dict[str, str] = {}
    for name, text in _together(entry, references):
        if isinstance(text, Unfit):
            raise text
        if len(texts) == MOST:
            raise Unfit(f"more than {MOST} templates belong together")
        texts[name] = text
    return texts


def _first(entry: Entry) -> str:
    return entry.template.name if entry.template else INLINE


def _together(entry: Entry, references: Callable[[str], list[str]]) -> Iterator[tuple[str, str | Unfit]]:
    """The first one, and those that it and they name, from its directory: each with its text, or why it can't be one.

    One too many is the last.
    """
    seen: set[str] = set()
    wanted = [_first(entry)]
    while wanted and len(seen) <= MOST:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            text = _text(entry, name)
            wanted += _named(name, text, references)
        except Unfit as error:
            yield name, error
        else:
            yield name, text


def _named(name: str, text: str, references: Callable[[str], list[str]]) -> list[str]:
    try:
        return references(text)
    except Unfit as error:
        raise Unfit(f"{name}: {error}") from None


def _text(entry: Entry, name: str) -> str:
    if entry.inline is not None:
        if name != INLINE:
            raise Unfit(f"{name} can't be used by a template without a file: there is no directory to find it in")
        return entry.inline
    assert entry.template is not None  # noqa: S101 - an entry without either has no templates
    path = entry.template.parent / name
    try:
        return _read(path, inside=entry.template.parent)
    except OSError as error:
        raise Unfit(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Unfit(f"{path} is not UTF-8 text") from None
    except ValueError:  # Python's, of a path with a NUL in it
        raise Unfit(f"{str(path)!r} can't be the path of a file") from None


def _read(path: Path, *, inside: Path) -> str:
    # Resolved, because a mounted ConfigMap consists of links; a link out of the directory could lead to a secret.
    found = path.resolve(strict=True)
    if not found.is_relative_to(inside.resolve(strict=True)) or not found.is_file():
        raise Unfit(f"{path} is no file in {inside}")
    with found.open("rb") as file:
        content = file.read(LIMIT + 1)
    if len(content) > LIMIT:
        raise Unfit(f"{path} is larger than {LIMIT} bytes")
    return content.decode("utf-8-sig")
