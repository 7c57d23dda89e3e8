"""Configuration files can be parsed, and look as a JSON Schema says.

Messages name the file and the place in it, never a value: documents hold passwords.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, Literal, NoReturn

from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from pydantic import BaseModel, ConfigDict, Field
from referencing import Registry
from referencing.exceptions import Unresolvable

from refresher.contract import Candidate, Finding
from refresher.errors import PermanentError, RejectedError
from refresher.options import LocalFile
from refresher.verifiers.content import listed, text

MiB = 1024 * 1024
SCHEMA_LIMIT = 4 * MiB
PROBLEMS_IN_A_MESSAGE = 3
PATH_LIMIT = 200

Format = Literal["json", "yaml", "toml"]
LIMITS: dict[Format, int] = {"json": 16 * MiB, "yaml": 4 * MiB, "toml": 16 * MiB}
"""Bytes of one document. Measured on two cores: YAML of many small values takes 4 s a MiB, TOML 0.2 s, JSON 0.03 s."""

ENDINGS: dict[str, Format] = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}


class DocumentOptions(BaseModel):
    """Which files, and what they have to be.

    `files` are patterns in which `*` stands for any characters, `/` too; each has to fit some file. Without them every
    file with a known ending is checked, and there has to be one. `format` is what the endings say, or else is given.
    `schema` is a JSON Schema that each document has to satisfy; all its references have to be inside of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    files: tuple[str, ...] = tuple(f"*{ending}" for ending in ENDINGS)
    format: Format | None = None
    json_schema: LocalFile | None = Field(default=None, alias="schema")


class DocumentVerifier:
    """Accepts documents that every parser would read alike: whole, no key twice, no aliases without end."""

    Options = DocumentOptions

    def __init__(self, options: DocumentOptions) -> None:
        self._options = options

    def verify(self, candidate: Candidate) -> Finding:
        """Raises RejectedError with the file and the place; PermanentError if the schema can't be used."""
        schema = _schema(self._options.json_schema) if self._options.json_schema else None
        for name in self._chosen(candidate):
            documents = self._parsed(candidate, name)
            if schema is not None:
                _refuse_unlike(schema, documents, name)
        return Finding()

    def _chosen(self, candidate: Candidate) -> Sequence[str]:
        chosen = {
            pattern: [name for name in candidate.files if fnmatchcase(name, pattern)] for pattern in self._options.files
        }
        unused = [pattern for pattern, names in chosen.items() if not names]
        given = "files" in self._options.model_fields_set
        if unused and (given or len(unused) == len(chosen)):
            raise RejectedError(f"no file is called {listed(unused)}; there are: {listed(candidate.files) or 'none'}")
        return sorted({name for names in chosen.values() for name in names})

    def _parsed(self, candidate: Candidate, name: str) -> list[Any]:
        kind = self._options.format or ENDINGS.get(PurePosixPath(name).suffix.lower())
        if kind is None:
            endings = ", ".join(ENDINGS)
            raise RejectedError(f"{name} has none of the endings {endings}: the verifier's format has to be given")
        content = text(candidate, name, limit=LIMITS[kind])
        try:
            return PARSERS[kind](content, name)
        except RecursionError:
            pass
        raise RejectedError(f"{name} is nested too deeply")


def _json(content: str, name: str) -> list[Any]:
    try:
        return [json.loads(content, object_pairs_hook=_once, parse_constant=_no_constant)]
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
    except _NotJsonError as error:
        place = str(error)
    except ValueError:
        place = "a number has too many digits"
    # Raised out here, without a cause: a JSONDecodeError carries the whole document.
    raise RejectedError(f"{name} is not valid JSON: {place}")


class _NotJsonError(ValueError):
    """Something that Python's parser takes and others don't."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _NotJsonError(f"the key {_shortened(name)} is there twice in one object")
        found[name] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise _NotJsonError(f"{name} is no JSON value")


def _toml(content: str, name: str) -> list[Any]:
    try:
        return [tomllib.loads(content)]
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"\(at (?:line \d+, column \d+|end of document)\)$", str(error))
    except ValueError:
        match = None
    # Raised out here, without a cause: what the parser says quotes the document.
    raise RejectedError(f"{name} is not valid TOML{f' {match[0]}' if match else ''}")


def _yaml(content: str, name: str) -> list[Any]:
    from refresher.verifiers.yaml_documents import documents

    return documents(content, name)


PARSERS: dict[Format, Callable[[str, str], list[Any]]] = {"json": _json, "yaml": _yaml, "toml": _toml}


def _schema(reference: LocalFile) -> Validator:
    content = reference.read(limit=SCHEMA_LIMIT)
    try:
        schema = json.loads(content)
        kind = validator_for(schema, default=Draft202012Validator)
        kind.check_schema(schema)
    except (ValueError, RecursionError, SchemaError, TypeError) as error:
        raise PermanentError(f"schema: {reference} is not a JSON Schema in JSON form") from error
    # The default registry fetches what a schema refers to from the network.
    return kind(schema, registry=Registry())


def _refuse_unlike(schema: Validator, documents: Sequence[Any], name: str) -> None:
    try:
        problems = [problem for document in documents for problem in _problems(schema, _as_json(document, name))]
    except Unresolvable as error:
        raise PermanentError(f"schema: the reference {error.ref} leads out of the schema") from error
    except RecursionError:
        problems = ["it is nested too deeply"]
    if problems:
        raise RejectedError(f"{name} is not as the schema wants it: {'; '.join(problems[:PROBLEMS_IN_A_MESSAGE])}")


def _problems(schema: Validator, document: Any) -> Iterator[str]:
    for problem in islice(schema.iter_errors(document), PROBLEMS_IN_A_MESSAGE):
        yield _described(problem)


def _described(problem: ValidationError) -> str:
    """The place and the keyword. The library's own message quotes the value."""
    return f"{_shortened(problem.json_path)} fails {problem.validator!r}"


def _as_json(document: Any, name: str) -> Any:
    """As JSON shows it: TOML's dates are text, YAML's numbers as keys too; a schema knows nothing else."""
    try:
        return json.loads(json.dumps(document, default=str))
    except (TypeError, ValueError):
        pass
    raise RejectedError(f"{name} has a key that is neither text nor a number")


def _shortened(written: str) -> str:
    shown = written if written.isprintable() else ascii(written)
    return shown if len(shown) <= PATH_LIMIT else f"{shown[:PATH_LIMIT]}…"
