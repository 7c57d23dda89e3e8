"""The filters of templates, besides Jinja2's: under the names that Ansible, Helm and consul-template gave them.

All are pure: the same inputs make the same file. What goes wrong raises Unfit, which quotes no value.
"""

import base64
import binascii
import hashlib
import json
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from refresher.render.fields import from_json, from_yaml
from refresher.render.pem import Block, blocks
from refresher.render.unfit import Unfit
from refresher.render.writable import go_json, plain, to_json, written
from refresher.render.yaml_text import yaml_text

_ESCAPED = re.compile(r"[\x7f-\xa0\u2028\u2029\ufeff]")


def b64encode(value: object) -> str:
    """Of text (as UTF-8) or bytes."""
    return base64.b64encode(_bytes(value)).decode()


def b64decode(value: object) -> str:
    """Text again."""
    try:
        return base64.b64decode(_bytes(value).strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        pass
    raise Unfit("b64decode: it is not base64, or not of UTF-8 text; bytes are written by form base64")


def go_json_pretty(value: object) -> str:
    """The same, with two blanks a level."""
    return go_json(value, 2)


def to_yaml(value: object) -> str:
    """In block style, without the last line end."""
    return yaml_text(plain(value)).removesuffix("\n").removesuffix("\n...")


def parse_json(value: object) -> Any:
    """The document's content."""
    return from_json(_text(value))


def parse_yaml(value: object) -> Any:
    """The document's content, as JSON could say it."""
    return from_yaml(_text(value))


def nindent(value: object, width: int) -> str:
    """On a new line, with each line that isn't empty moved in."""
    pad = " " * width
    return "\n" + "\n".join(pad + line if line else line for line in _text(value).split("\n"))


def quote(value: object) -> str:
    """In double quotes, as JSON, YAML and TOML read it."""
    # JSON lets these stand there as they are, and the others don't.
    return _ESCAPED.sub(lambda char: f"\\u{ord(char[0]):04x}", json.dumps(_text(value), ensure_ascii=False))


def shell_quote(value: object) -> str:
    """One word for a POSIX shell."""
    return shlex.quote(_text(value))


def split(value: object, separator: str) -> list[str]:
    """The parts between separators."""
    return _text(value).split(separator)


def replace_all(value: object, old: str, new: str) -> str:
    """With all of the one for the other."""
    return _text(value).replace(old, new)


def sha256(value: object) -> str:
    """In hexadecimal digits."""
    return hashlib.sha256(_bytes(value)).hexdigest()


def pem(value: object) -> list[Block]:
    """The blocks of a bundle; each has `label` and `text`, and is written as its text."""
    return blocks(_text(value))


def trim_space(value: object) -> str:
    """Without blanks and line ends at both ends."""
    return _text(value).strip()


def _text(value: object) -> str:
    return written(value)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else _text(value).encode()


FILTERS: Mapping[str, Callable[..., Any]] = {
    "b64decode": b64decode,
    "b64encode": b64encode,
    "fromjson": parse_json,
    "fromyaml": parse_yaml,
    "json": to_json,
    "nindent": nindent,
    "pem": pem,
    "quote": quote,
    "sha256": sha256,
    "shellquote": shell_quote,
    "split": split,
    "tojson": to_json,
    "toyaml": to_yaml,
    # as consul-template calls them
    "base64Decode": b64decode,
    "base64Encode": b64encode,
    "parseJSON": parse_json,
    "parseYAML": parse_yaml,
    "replaceAll": replace_all,
    "sha256Hex": sha256,
    "toJSON": go_json,
    "toJSONPretty": go_json_pretty,
    "toLower": lambda value: _text(value).lower(),
    "toUpper": lambda value: _text(value).upper(),
    "toYAML": to_yaml,
    "trimSpace": trim_space,
}
