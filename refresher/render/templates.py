"""Templates as they are when the configuration is read: with everything that they include, and without mistakes."""

from collections.abc import Callable, Mapping
from contextlib import suppress
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
        first, texts = _all(entry, jinja.references)
        jinja.refuse_mistakes(texts)
    except Unfit as error:
        raise ConfigError(str(error)) from None
    return first, texts


def files(entry: Entry) -> set[Path]:
    """The files that an entry's templates are in, as far as that can be known; of a missing one, where it would be."""
    if entry.template is None:
        return set()
    try:
        from refresher.render import jinja
    except ModuleNotFoundError:
        return {entry.template}
    names = {entry.template.name}
    wanted = list(names)
    while wanted and len(names) <= MOST:
        name = wanted.pop()
        with suppress(Unfit):
            new = set(_named(name, _text(entry, name), jinja.references)) - names
            names |= new
            wanted += new
    return {entry.template.parent / name for name in names}


def _all(entry: Entry, references: Callable[[str], list[str]]) -> tuple[str, Mapping[str, str]]:
    """The first one, and those that it and they name, from its directory."""
    first = entry.template.name if entry.template else INLINE
    texts: dict[str, str] = {}
    wanted = [first]
    while wanted:
        name = wanted.pop()
        if name in texts:
            continue
        if len(texts) == MOST:
            raise Unfit(f"more than {MOST} templates belong together")
        texts[name] = _text(entry, name)
        wanted += _named(name, texts[name], references)
    return first, texts


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
