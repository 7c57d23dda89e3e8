"""What a template sees of the files: each by its name, and with several sources also by source."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from refresher.contract import InlineFile
from refresher.render.fields import is_document, said, text_of
from refresher.render.inputs import Inputs
from refresher.render.unfit import Unfit

OURS = ("files", "files_bytes", "env")
"""Variables that no file and no source takes."""


class Document(Mapping[str, Any]):
    """What a JSON or YAML file says, with its types. It is read when a template asks for it, and not before."""

    def __init__(self, label: str, file: InlineFile) -> None:
        self._label, self._file = label, file

    @cached_property
    def _said(self) -> Mapping[str, Any]:
        return said(self._file)

    def __getitem__(self, key: str) -> Any:
        """Raises Unfit for what is no document, or no mapping; KeyError for what isn't in it."""
        return self._said[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._said)

    def __len__(self) -> int:
        return len(self._said)

    def __repr__(self) -> str:
        return f"<the document {self._label}>"

    def __str__(self) -> str:
        """Raises Unfit: what a filter for texts makes of a document would be nonsense."""
        raise Unfit(f"{self._label} is a document, of which a field has to be named; tojson writes it as a whole")


class Files(Mapping[str, Any]):
    """Contents by file name, and beside them documents by theirs. It shows neither in a repr nor when it is written."""

    def __init__(
        self,
        label: str,
        names: Sequence[str],
        read: Callable[[str], Any],
        documents: Mapping[str, Document] | None = None,
    ) -> None:
        # With an underscore, or a template could take them for files.
        self._label, self._names, self._read, self._documents = label, dict.fromkeys(names), read, documents or {}

    def __getitem__(self, name: str) -> Any:
        """The content, or what it says; KeyError if there is none. Raises Unfit for text that is none."""
        return self._read(name) if name in self._names else self._documents[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<the files of {self._label}>"

    def __str__(self) -> str:
        """Raises Unfit: written as a whole, it would be nonsense in a file."""
        raise Unfit(f"{self._label} is several files, of which one has to be named")


def called(files: Files | Document, name: str) -> str:
    """What a template calls something in there, or something that isn't."""
    return f"{files._label}.{name}" if name.isidentifier() else f'{files._label}["{name}"]'


def documents(files: Mapping[str, InlineFile], before: str = "") -> dict[str, Document]:
    """The documents by their names without the ending, where that is an identifier, and nothing else is called so."""
    found = [(PurePosixPath(name).stem, file) for name, file in files.items() if is_document(name) and "/" not in name]
    taken = Counter([*files, *(stem for stem, _ in found)])
    return {stem: Document(before + stem, file) for stem, file in found if stem.isidentifier() and taken[stem] == 1}


class NotText:
    """A file that no template can use as a variable; one that doesn't isn't held up by it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __str__(self) -> str:
        """Raises Unfit."""
        raise Unfit(f'{self._name} is not UTF-8 text: take files_bytes["{self._name}"] | b64encode')


def variables(inputs: Inputs, sources: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """The variables of a template. `sources` is empty where there is only one; `environment` is all it may see.

    A source that is called `web-tls` is the variable `web_tls`: in a template `-` is a minus.
    """

    def text(name: str) -> str:
        return text_of(inputs.contents[name])

    names = list(inputs.contents)
    views = {source.replace("-", "_"): _of_source(source, inputs) for source in sources}
    single = {} if sources else _by_name(inputs)
    return {
        **single,
        **views,
        "files": Files("files", names, text),
        "files_bytes": Files("files_bytes", names, lambda name: inputs.contents[name].content),
        "env": Files("env", list(environment), environment.__getitem__),
    }


def _by_name(inputs: Inputs) -> dict[str, Any]:
    named = {name: _value(file) for name, file in inputs.contents.items() if name.isidentifier()}
    return {**documents(inputs.contents), **named}


def _of_source(source: str, inputs: Inputs) -> Files:
    label, prefix = source.replace("-", "_"), f"{source}/"
    below = {name.removeprefix(prefix): file for name, file in inputs.contents.items() if name.startswith(prefix)}
    return Files(label, list(below), lambda name: text_of(below[name]), documents(below, f"{label}."))


def _value(file: InlineFile) -> object:
    try:
        return text_of(file)
    except Unfit:
        return NotText(file.name)
