"""Ready forms: what a source has, written so that readers of that format read the very same values.

What a format can't say is refused, because its readers would take it for something else, or for one more line.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from refresher.contract import InlineFile
from refresher.render.entries import Form
from refresher.render.fields import Fields, Keys, Place, merged, place_in
from refresher.render.unfit import Unfit
from refresher.render.yaml_text import yaml_text

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")
_ESCAPED = re.compile(r'([\\"$`])')
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_BREAK = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_DEFAULT = "DEFAULT"
"""The section whose values Python's configparser has in every other one as well (`configparser.DEFAULTSECT`)."""


def env(files: Sequence[Fields]) -> str:
    """`NAME="value"` lines, as a POSIX shell and systemd's EnvironmentFile read them.

    Quotes only where the value needs them. systemd ignores a variable with control characters besides tab and newline
    (`env_value_is_valid`), so those are refused.
    """
    return "".join(f"{name}={_quoted(place, value)}\n" for name, place, value in _variables(files))


def _quoted(place: Place, value: str) -> str:
    if _CONTROL.search(value):
        raise Unfit(f"{place} has control characters, which not every reader of such a file takes")
    return value if _PLAIN.fullmatch(value) else '"' + _ESCAPED.sub(r"\\\1", value) + '"'


def docker_env(files: Sequence[Fields]) -> str:
    """`NAME=value` lines, as `docker run --env-file` reads them: to the end of the line, quotes and all."""
    lines = []
    for name, place, value in _variables(files):
        if _BREAK.search(value):
            raise Unfit(f"{place} has line breaks or control characters, which docker's file can't say")
        lines.append(f"{name}={value}\n")
    return "".join(lines)


def _variables(files: Sequence[Fields]) -> Iterator[tuple[str, Place, str]]:
    for name, value in _together(files).items():
        place = place_in(files, (name,))
        if not _VARIABLE.fullmatch(name):
            raise Unfit(f"{place.key} can't be the name of an environment variable")
        yield name, place, _scalar(place, value)


_IN_PROPERTIES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"}
_IN_KEY = _IN_PROPERTIES | {char: f"\\{char}" for char in " :=#!"}


def properties(files: Sequence[Fields]) -> str:
    """Java's `.properties` (`java.util.Properties.load`), in ASCII; keys inside of keys joined by dots."""
    lines: dict[str, str] = {}
    for key, path, value in _flat(_together(files)):
        place = place_in(files, path)
        if isinstance(value, Mapping | list):
            raise Unfit(f"{place} is an empty mapping or list, of which no line would tell")
        if key in lines:
            raise Unfit(f"{place.key} is there twice once the keys are joined by dots, and readers take the last one")
        lines[key] = f"{_escaped(key, _IN_KEY)}={_value(_scalar(place, value))}\n"
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


def _flat(content: Any, name: str = "", path: Keys = ()) -> Iterator[tuple[str, Keys, Any]]:
    if path and (content == {} or content == []):
        yield name, path, content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from _flat(value, f"{name}.{key}" if path else key, (*path, key))
    elif isinstance(content, list):
        for number, value in enumerate(content):
            yield from _flat(value, f"{name}[{number}]", (*path, number))
    else:
        yield name, path, content


Section = dict[str, tuple[Place, Any]]
"""Where each value stands, and the value, by its key."""


def ini(files: Sequence[Fields], section: str | None) -> str:
    """Sections with `key = value` lines, one for each source; mappings of documents are sections of their own.

    `section` is None, or one that is not refused; a source's name never is.

    Read by Python's configparser without interpolation, and by what reads lines as they are.
    """
    sections: dict[str, Section] = {}
    named: dict[str, Place] = {}
    for file in files:
        for key, value in file.says.items():
            if isinstance(value, Mapping):
                named[key] = file.place(key)
                sections.setdefault(key, {}).update({each: (file.place(key, each), value[each]) for each in value})
            else:
                sections.setdefault(section or file.source, {})[key] = file.place(key), value
    for key, place in named.items():
        refuse_section(key, place)
    return "\n".join(f"[{name}]\n{_in_section(said)}" for name, said in sections.items())


def refuse_section(name: str, place: Place) -> None:
    """Raise Unfit for what readers don't take for the name of a section, or for one of another kind."""
    if not name or "]" in name or _BREAK.search(name):
        raise Unfit(f"{place.key} can't be the name of a section")
    if name == _DEFAULT:
        raise Unfit(f"{place.key} is {_DEFAULT}, a section that Python's configparser copies into every other one")


def _in_section(said: Section) -> str:
    alike: dict[str, Place] = {}
    for key, (place, _) in said.items():
        before = alike.setdefault(key.lower(), place)
        if before is not place:
            raise Unfit(f"{before.key} and {place.key} differ in case only, which readers take for one")
    return "".join(f"{_ini_key(key, place)} = {_ini_value(place, value)}\n" for key, (place, value) in said.items())


def _ini_key(key: str, place: Place) -> str:
    if not key or key != key.strip() or key[0] in "#;[" or re.search("[=:]", key) or _BREAK.search(key):
        raise Unfit(f"{place.key} can't be a name in an INI file")
    return key


def _ini_value(place: Place, value: object) -> str:
    text = _scalar(place, value)
    if text != text.strip() or _BREAK.search(text):
        raise Unfit(f"{place} has line breaks, control characters or blanks at an end, which an INI file can't say")
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

    found = [(file.place(name), blocks(str(text))) for file in files for name, text in file.says.items()]
    if missing := [place for place, its in found if not its]:
        raise Unfit(f"{missing[0]} has no PEM block")
    return "".join(block.text for _, its in found for block in its)


_WEB_SAFE = bytes.maketrans(b"-_", b"+/")
"""From the alphabet for URLs (RFC 4648, section 5) to the other one."""


def base64_bytes(files: Sequence[InlineFile]) -> bytes:
    """What the text of the only file decodes to: a keystore, say. Blanks and line ends in it don't count."""
    if len(files) != 1:
        raise Unfit(f"form base64 makes the bytes of one file, and there are {len(files)}: choose it with of")
    text = b"".join(files[0].content.split())
    if not text:
        raise Unfit(f"{files[0].name} is empty")
    # Of one alphabet: a text of both was damaged on its way.
    of_urls = not set(text) & set(b"+/")
    try:
        return base64.b64decode(text.translate(_WEB_SAFE) if of_urls else text, validate=True)
    except binascii.Error:
        pass
    raise Unfit(f"{files[0].name} is not base64 with its padding")


def _together(files: Iterable[Fields]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for file in files:
        whole = merged(whole, file.says)
    return whole


def _scalar(place: Place, value: object) -> str:
    """A value that has no parts, as JSON writes it; text as it is."""
    if isinstance(value, Mapping | list):
        raise Unfit(f"{place} is a mapping or a list, which can't be written in one line")
    if value is None:
        raise Unfit(f"{place} is null, and only json and yaml have a word for that")
    return value if isinstance(value, str) else json.dumps(value)


WRITERS: Mapping[Form, Callable[[Sequence[Fields]], str]] = {
    Form.ENV: env,
    Form.DOCKER_ENV: docker_env,
    Form.PROPERTIES: properties,
    Form.JSON: json_text,
    Form.YAML: yaml_form,
    Form.PEM: pem,
}
"""All but `ini`, which takes a section's name, too, and `base64`, which makes no text."""
