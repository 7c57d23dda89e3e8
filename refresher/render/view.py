"""What a template sees of the files: each by its name, and with several sources also by source."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from refresher.contract import InlineFile
from refresher.render.fields import text_of
from refresher.render.inputs import Inputs
from refresher.render.unfit import Unfit

OURS = ("files", "files_bytes", "env")
"""Variables that no file and no source takes."""


class Files(Mapping[str, Any]):
    """Contents by file name. It shows neither in a repr nor when a template writes it as a whole."""

    def __init__(self, label: str, names: Sequence[str], read: Callable[[str], Any]) -> None:
        # With an underscore, or a template could take them for files.
        self._label, self._names, self._read = label, dict.fromkeys(names), read

    def __getitem__(self, name: str) -> Any:
        """The file's content; KeyError if there is none. Raises Unfit for what isn't text, where text is asked for."""
        if name not in self._names:
            raise KeyError(name)
        return self._read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<the files of {self._label}>"

    def __str__(self) -> str:
        """Raises Unfit: written as a whole, it would be nonsense in a file."""
        raise Unfit(f"{self._label} is several files, of which one has to be named")


def called(files: Files, name: str) -> str:
    """What a template calls one of them, or one that isn't there."""
    return f"{files._label}.{name}" if name.isidentifier() else f'{files._label}["{name}"]'


class NotText:
    """A file that no template can use as a variable; one that doesn't isn't held up by it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __str__(self) -> str:
        """Raises Unfit."""
        raise Unfit(f'{self._name} is not UTF-8 text: take files_bytes["{self._name}"] | b64encode')


def variable_of(source: str) -> str:
    """What templates call it: `web_tls` for `web-tls`, because there a `-` is a minus."""
    return source.replace("-", "_")


def variables(inputs: Inputs, sources: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """The variables of a template. `sources` is empty where there is only one; `environment` is all it may see."""

    def text(name: str) -> str:
        return text_of(inputs.contents[name])

    names = list(inputs.contents)
    views: dict[str, Any] = {variable_of(source): _of_source(source, names, text) for source in sources}
    single = {} if sources else {name: _value(inputs.contents[name]) for name in names if name.isidentifier()}
    return {
        **single,
        **views,
        "files": Files("files", names, text),
        "files_bytes": Files("files_bytes", names, lambda name: inputs.contents[name].content),
        "env": Files("env", list(environment), environment.__getitem__),
    }


def _of_source(source: str, names: Sequence[str], text: Callable[[str], str]) -> Files:
    prefix = f"{source}/"
    below = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    return Files(variable_of(source), below, lambda name: text(prefix + name))


def _value(file: InlineFile) -> object:
    try:
        return text_of(file)
    except Unfit:
        return NotText(file.name)
