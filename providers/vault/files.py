"""Fields become files: one each, or one document."""

import json
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from providers.vault.options import Format, VaultOptions
from refresher.contract import InlineFile
from refresher.errors import PermanentError

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TYPED = frozenset({Format.JSON, Format.YAML})
_ESCAPED = re.compile(r'([\\"$`])')


def files_of(fields: Mapping[str, Any], options: VaultOptions) -> list[InlineFile]:
    """The files that the options make of the fields, by name. Raises PermanentError if a field is missing.

    One that is null is not there, or an app would read the password `null`; JSON and YAML have a word for it.
    """
    typed = options.document_format in _TYPED
    chosen = _chosen(fields if typed else _without_null(fields, options.path), options)
    if options.file is None or options.document_format is None:
        return [_file(name, _text(value)) for name, value in sorted(chosen.items())]
    return [_file(options.file, _WRITERS[options.document_format](chosen))]


def content_revision(files: list[InlineFile]) -> str:
    """A revision for what has none of its own: SHA-256 over the names and the SHA-256 digests of the files.

    The digests are public by contract (status, marker, manifest), so this says nothing about a secret that they don't.
    It covers the chosen fields only, so that a counter beside them doesn't look like a change.
    """
    parts = (f"{sha256(file.content).hexdigest()} {file.name}\n" for file in files)
    return "sha256:" + sha256("".join(parts).encode(errors="surrogatepass")).hexdigest()


def _without_null(fields: Mapping[str, Any], path: str) -> dict[str, Any]:
    there = {name: value for name, value in fields.items() if value is not None}
    if not there:
        raise PermanentError(f"{path} has no fields but those that are null")
    return there


def _chosen(fields: Mapping[str, Any], options: VaultOptions) -> dict[str, Any]:
    names = options.file_names
    if names is None:
        return dict(fields)
    missing = [field for field in names.values() if field not in fields]
    if missing:
        present = ", ".join(sorted(fields))[:300]
        raise PermanentError(f"{options.path} has no field {', '.join(missing)}; it has {present}")
    return {name: fields[field] for name, field in names.items()}


def _file(name: str, text: str) -> InlineFile:
    try:
        return InlineFile(name, text.encode())
    except UnicodeEncodeError:
        raise PermanentError(f"{name!r} is not valid Unicode text") from None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def _yaml(fields: Mapping[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(dict(fields), allow_unicode=True))


def _env(fields: Mapping[str, Any]) -> str:
    """`NAME="value"` lines, quoted so that a shell, systemd and the dotenv readers all take them for the same."""
    unfit = [name for name in sorted(fields) if not _VARIABLE.fullmatch(name)]
    if unfit:
        raise PermanentError(f"{', '.join(unfit)[:300]} can't be the name of an environment variable")
    quoted = ((name, _ESCAPED.sub(r"\\\1", _text(value))) for name, value in sorted(fields.items()))
    return "".join(f'{name}="{value}"\n' for name, value in quoted)


def _raw(fields: Mapping[str, Any]) -> str:
    if len(fields) != 1:
        raise PermanentError(f"format raw writes one field, and there are {len(fields)}: choose it with fields")
    return _text(next(iter(fields.values())))


_WRITERS: Mapping[Format, Callable[[Mapping[str, Any]], str]] = {
    Format.JSON: _json,
    Format.YAML: _yaml,
    Format.ENV: _env,
    Format.RAW: _raw,
}
