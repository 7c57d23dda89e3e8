"""From the entries of `render` to what makes the files; everything that doesn't depend on a source is known before."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from refresher.contract import InlineFile
from refresher.errors import ConfigError, RejectedError
from refresher.render.entries import Entry, Form
from refresher.render.fields import Place, fields_of
from refresher.render.forms import WRITERS, base64_bytes, ini, refuse_section
from refresher.render.inputs import Inputs
from refresher.render.templates import loaded
from refresher.render.unfit import Unfit
from refresher.render.view import OURS, variable_of, variables

Maker = Callable[[Inputs], bytes]
"""Makes one file. Raises Unfit or RejectedError."""


@dataclass(frozen=True, slots=True)
class Way:
    """How one file is made, and what that depends on besides a source: templates, options, the environment."""

    make: Maker
    depends_on: object


@dataclass(frozen=True, slots=True)
class Recipe:
    """How all files are made. `digest` (64 hexadecimal digits) changes when any of them would be made differently.

    `copies` are the files that are published as the source has them, by the names that it gives them. Of several
    sources none are known: what is copied of one needn't be all that it gave.
    """

    makers: Mapping[str, Maker]
    digest: str
    copies: Mapping[str, str]

    def files(self, inputs: Inputs) -> list[InlineFile]:
        """The files. Raises RejectedError with the file's name and the place in its template, never with a value."""
        return [InlineFile(name, _made(name, make, inputs), inputs.sensitive) for name, make in self.makers.items()]


def _made(name: str, make: Maker, inputs: Inputs) -> bytes:
    try:
        return make(inputs)
    except (Unfit, RejectedError) as error:
        told = f"{name}: {error}"
    except UnicodeEncodeError:
        told = f"{name}: it would not be valid Unicode text"
    # Outside of the errors above, whose context may quote a value.
    raise RejectedError(told)


def recipe(entries: Mapping[str, Entry], sources: Sequence[str], environment: Mapping[str, str]) -> Recipe:
    """The recipe of one asset; `sources` is empty if there is only one. Raises ConfigError, each problem with its file.

    Templates are read here, and at no other time: what is rendered is what the digest is of.
    """
    ways: dict[str, Way] = {}
    problems: list[str] = []
    for name, entry in entries.items():
        try:
            ways[name] = _entry(entry, sources, environment)
        except ConfigError as error:
            problems += (f"{name}: {problem}" for problem in error.problems)
    if problems:
        raise ConfigError(*problems)
    depends_on = {name: way.depends_on for name, way in ways.items()}
    written = json.dumps(depends_on, sort_keys=True, default=str)
    return Recipe(
        makers={name: way.make for name, way in ways.items()},
        digest=hashlib.sha256(written.encode()).hexdigest(),
        copies={} if sources else {entry.copy: name for name, entry in entries.items() if entry.copy is not None},
    )


def _entry(entry: Entry, sources: Sequence[str], environment: Mapping[str, str]) -> Way:
    if entry.form is not None:
        return _formed(entry, entry.form, sources)
    if entry.copy is not None:
        _refuse_unknown_source(entry.copy, sources, key="copy")
        return Way(partial(_copied, entry.copy), ["copy", entry.copy])
    return _templated(entry, sources, environment)


def _copied(name: str, inputs: Inputs) -> bytes:
    if name not in inputs.contents:
        raise Unfit(f"the source has no file {name!r}")
    return inputs.contents[name].content


def _formed(entry: Entry, form: Form, sources: Sequence[str]) -> Way:
    for name in entry.files:
        _refuse_unknown_source(name, sources, key="of")
    if form is Form.INI and not sources and not entry.section:
        raise ConfigError("form ini needs a section where there is one source only")
    if entry.section:
        _refuse_section(entry.section)

    def make(inputs: Inputs) -> bytes:
        return _written(_chosen(inputs, entry.files, sources), entry, form, sources)

    return Way(make, ["form", form, entry.files, entry.section])


def _written(files: Sequence[InlineFile], entry: Entry, form: Form, sources: Sequence[str]) -> bytes:
    if form is Form.BASE64:
        return base64_bytes(files)
    write = partial(ini, section=entry.section) if form is Form.INI else WRITERS[form]
    return write(list(fields_of(files, sources))).encode()


def _refuse_section(name: str) -> None:
    try:
        refuse_section(name, Place(document="", says={}, path=(name,)))
    except Unfit as error:
        raise ConfigError(f"section: {error}") from None


def _chosen(inputs: Inputs, names: Sequence[str], sources: Sequence[str]) -> list[InlineFile]:
    """The files, or all files of the sources, in the order in which they are named; all if none is."""
    chosen: dict[str, InlineFile] = {}
    for name in names or sources or inputs.contents:
        found = {each: file for each, file in inputs.contents.items() if each == name}
        if name in sources:
            found = {each: file for each, file in inputs.contents.items() if each.startswith(f"{name}/")}
        if not found:
            raise Unfit(f"the source has no file {name!r}")
        chosen |= found
    return list(chosen.values())


def _refuse_unknown_source(name: str, sources: Sequence[str], *, key: str) -> None:
    if sources and name.partition("/")[0] not in sources:
        raise ConfigError(f"{key}: there is no source {name.partition('/')[0]!r}; there are {', '.join(sources)}")


def _refuse_taken_names(sources: Sequence[str]) -> None:
    """Of two sources of one name, a template would see the last."""
    taken = dict.fromkeys(OURS, "templates have that already")
    for source in sources:
        variable = variable_of(source)
        if variable in taken:
            raise ConfigError(f"a source can't be called {source} here: {taken[variable]}")
        taken[variable] = f"templates would have {variable} for {source} as well"


def _templated(entry: Entry, sources: Sequence[str], environment: Mapping[str, str]) -> Way:
    _refuse_taken_names(sources)
    name, texts = loaded(entry)
    options = {"trim_blocks": entry.trim_blocks, "lstrip_blocks": entry.lstrip_blocks}
    seen = {each: environment[each] for each in entry.env if each in environment}

    def make(inputs: Inputs) -> bytes:
        from refresher.render.jinja import rendered

        return rendered(name, texts, variables(inputs, sources, seen), options).encode()

    return Way(make, ["template", name, dict(texts), options, seen])
