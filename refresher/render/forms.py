"""Ready forms: what a source has, written so that readers of that format read the very same values.

What a format can't say is refused, because its readers would take it for something else, or for one more line.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from refresher.render.entries import Form
from refresher.render.fields import Fields, merged
from refresher.render.unfit import Unfit
from refresher.render.yaml_text import yaml_text

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")
_ESCAPED = re.compile(r'([\\"$`])')
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_BREAK = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


def env(files: Sequence[Fields]) -> str:
    """`NAME="value"` lines, as a POSIX shell and systemd's EnvironmentFile read them.

    Quotes only where the value needs them. systemd ignores a variable with control characters besides tab and newline
    (`env_value_is_valid`), so those are refused.
    """
    return "".join(f"{name}={_quoted(name, value)}\n" for name, value in _variables(files))


def _quoted(name: str, value: str) -> str:
    if _CONTROL.search(value):
        raise Unfit(f"{name} has control characters, which not every reader of such a file takes")
    return value if _PLAIN.fullmatch(value) else '"' + _ESCAPED.sub(r"\\\1", value) + '"'


def docker_env(files: Sequence[Fields]) -> str:
    """`NAME=value` lines, as `docker run --env-file` reads them: to the end of the line, quotes and all."""
    lines = []
    for name, value in _variables(files):
        if _BREAK.search(value):
            raise Unfit(f"{name} has line breaks or control characters, which docker's file can't say")
        lines.append(f"{name}={value}\n")
    return "".join(lines)


def _variables(files: Sequence[Fields]) -> Iterator[tuple[str, str]]:
    for name, value in _together(files).items():
        if not _VARIABLE.fullmatch(name):
            raise Unfit(f"{name!r} can't be the name of an environment variable")
        yield name, _scalar(name, value)


_IN_PROPERTIES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"}
_IN_KEY = _IN_PROPERTIES | {char: f"\\{char}" for char in " :=#!"}


def properties(files: Sequence[Fields]) -> str:
    """Java's `.properties` (`java.util.Properties.load`), in ASCII; keys inside of keys joined by dots."""
    lines: dict[str, str] = {}
    for key, value in _flat(_together(files)):
        if key in lines:
            raise Unfit(f"{key!r} is there twice once the keys are joined by dots, and readers take the last one")
        lines[key] = f"{_escaped(key, _IN_KEY)}={_value(_scalar(key, value))}\n"
    return "".join(lines.values())


def _value(text: str) -> str:
    # Blanks at the beginning of a value belong to the separator.
    bare = text.lstrip(" ")
    return "\\ " * (len(text) - len(bare)) + _escaped(bare, _IN_PROPERTIES)


def _escaped(text: str, known: Mapping[str, str]) -> str:
    return "".join(known.get(char) or (char if " " <= char <= "~" else _utf16(char)) for char in text)


def _utf16(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{int.from_bytes(units[at : at + 2]):04x}" for at in range(0, len(units), 2))


def _flat(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        elif isinstance(value, list):
            yield from _flat({f"{before}{key}[{number}]": each for number, each in enumerate(value)})
        else:
            yield f"{before}{key}", value


def ini(files: Sequence[Fields], section: str | None) -> str:
    """Sections with `key = value` lines, one for each source; mappings of documents are sections of their own.

    Read by Python's configparser without interpolation, and by what reads lines as they are.
    """
    sections: dict[str, dict[str, Any]] = {}
    for file in files:
        for key, value in file.says.items():
            named, said = (key, value) if isinstance(value, Mapping) else (section or file.source, {key: value})
            sections[named] = merged(sections.get(named), said)
    return "\n".join(_section(name, said) for name, said in sections.items())


def _section(name: str, said: Mapping[str, Any]) -> str:
    if not name or "]" in name or _BREAK.search(name):
        raise Unfit(f"{name!r} can't be the name of a section")
    if len({key.lower() for key in said}) < len(said):
        raise Unfit(f"the section {name} has names that differ in case only, which readers take for one")
    return f"[{name}]\n" + "".join(f"{_ini_key(key)} = {_ini_value(key, value)}\n" for key, value in said.items())


def _ini_key(key: str) -> str:
    if not key or key != key.strip() or key[0] in "#;[" or re.search("[=:]", key) or _BREAK.search(key):
        raise Unfit(f"{key!r} can't be a name in an INI file")
    return key


def _ini_value(key: str, value: object) -> str:
    text = _scalar(key, value)
    if text != text.strip() or _BREAK.search(text):
        raise Unfit(f"{key} has line breaks, control characters or blanks at an end, which an INI file can't say")
    return text


def json_text(files: Sequence[Fields]) -> str:
    """One document, merged in the order given."""
    return json.dumps(_together(files), ensure_ascii=False, indent=2) + "\n"


def yaml_form(files: Sequence[Fields]) -> str:
    """The same as YAML, which readers of 1.1 and of 1.2 take for the same."""
    return yaml_text(_together(files))


def pem(files: Sequence[Fields]) -> str:
    """All blocks of all files, in the order given, with nothing between them.

    A file without any is refused: a bundle without its key would be published, and its reader wouldn't start.
    """
    from refresher.render.pem import blocks

    found = [(name, blocks(str(text))) for file in files for name, text in file.says.items()]
    if missing := [name for name, its in found if not its]:
        raise Unfit(f"{missing[0]} has no PEM block")
    return "".join(block.text for _, its in found for block in its)


def _together(files: Iterable[Fields]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for file in files:
        whole = merged(whole, file.says)
    return whole


def _scalar(name: str, value: object) -> str:
    """A value that has no parts, as JSON writes it; text as it is."""
    if isinstance(value, Mapping | list):
        raise Unfit(f"{name} is a mapping or a list, which can't be written in one line")
    if value is None:
        raise Unfit(f"{name} is null, and only json and yaml have a word for that")
    return value if isinstance(value, str) else json.dumps(value)


WRITERS: Mapping[Form, Callable[[Sequence[Fields]], str]] = {
    Form.ENV: env,
    Form.DOCKER_ENV: docker_env,
    Form.PROPERTIES: properties,
    Form.JSON: json_text,
    Form.YAML: yaml_form,
    Form.PEM: pem,
}
"""All but `ini`, which takes a section's name, too."""
