import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from refresher.contract import Finding
from refresher.errors import PermanentError, RejectedError
from refresher.verifiers.document import DocumentOptions, DocumentVerifier
from tests.fakes.app import App
from tests.fakes.candidate import FakeCandidate, HugeCandidate

SCHEMA = {
    "type": "object",
    "properties": {
        "port": {"type": "integer"},
        "since": {"type": "string"},
        "users": {"type": "array", "items": {"type": "object", "required": ["name"]}},
    },
    "patternProperties": {"^[0-9]+$": {"type": "string"}},
}
NESTED = json.dumps({"users": [{"name": "a"}, {"password": "hunter2"}]}).encode()


def verify(files: dict[str, bytes], /, **options: object) -> Finding:
    return DocumentVerifier(DocumentOptions.model_validate(options)).verify(FakeCandidate(files))


def refusal(files: dict[str, bytes], /, **options: object) -> str:
    with pytest.raises(RejectedError) as refused:
        verify(files, **options)
    assert refused.value.__context__ is None, "a parser's error carries the document"
    return str(refused.value)


@pytest.fixture
def schema(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    return {"file": str(path)}


SOUND = {"a.json": b'{"port": 1}', "b.yaml": b"port: 1\n---\nport: 2\n", "c/d.YML": b"- 1", "e.toml": b"port = 1"}


@pytest.mark.parametrize("name", SOUND)
def test_sound_documents_are_accepted(name: str) -> None:
    assert verify({name: SOUND[name]}, files=["*"]) == Finding()


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("a.json", b'{"a": 1,\n "hunter2}', "not valid JSON: line 2, column 2"),
        ("a.json", b"", "not valid JSON: line 1, column 1"),
        ("a.json", b'{"a": 1} hunter2', "not valid JSON: line 1, column 10"),
        ("a.json", b'{"a": NaN}', "not valid JSON: NaN is no JSON value"),
        ("a.json", b"9" * 5000, "not valid JSON: a number has too many digits"),
        ("a.yaml", b"a: 1\nb: 'hunter2", "not valid YAML: line 2"),
        ("a.yaml", b"a: !hunter2 1", "not valid YAML: line 1, column 4"),
        ("a.yaml", b"a: !!python/object/apply:os.getcwd []", "not valid YAML: line 1, column 4"),
        ("a.yaml", b"a: *hunter2", "not valid YAML: line 1, column 4"),
        ("a.yaml", b"a: \x00hunter2", "not valid YAML: a character that may not be in it"),
        ("a.yaml", b"a: " + b"9" * 5000, "not valid YAML: a number or another value"),
        ("a.yaml", b"? [1]\n: hunter2", "not valid YAML: line 1, column 3"),
        ("a.toml", b"a = 1\nb = hunter2", "not valid TOML (at line 2, column 5)"),
        ("a.toml", b"a = 1\na = 2", "not valid TOML (at end of document)"),
        ("a.toml", b"a = " + b"9" * 5000, "not valid TOML"),
        ("a.json", b"\xff", "not UTF-8 text: byte 0"),
    ],
)
def test_broken_documents_are_refused_with_the_place_and_no_value(name: str, content: bytes, place: str) -> None:
    said = refusal({name: content})
    assert said.startswith(f"{name} is {place}")
    assert "hunter2" not in said


def test_a_key_that_is_there_twice_is_refused() -> None:
    assert "the key port is there twice" in refusal({"a.json": b'{"x": [{"port": 1, "port": 1}]}'})
    assert refusal({"a.yaml": b"x:\n- port: 1\n  port: 1"}) == "a.yaml has a key twice: line 3, column 3"


def test_equal_keys_in_different_places_are_no_duplicates() -> None:
    assert verify({"a.yaml": b"a: {x: 1}\nb: {x: 1}\n'1': 1\n1: 1\n", "a.json": b'{"a": {"x": 1}, "b": {"x": 1}}'})


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b"- ", b"? "])
@pytest.mark.parametrize("name", ["a.json", "a.yaml", "a.toml"])
def test_a_bottomless_document_is_refused(name: str, opening: bytes) -> None:
    start = b"a = " if name == "a.toml" else b""
    assert refusal({name: start + opening * 200_000}).startswith("a.")


def test_depth_that_nobody_needs_is_refused_before_it_is_composed() -> None:
    assert "a.yaml is nested deeper than 100 levels" in refusal({"a.yaml": b"[" * 101 + b"]" * 101})
    assert verify({"a.yaml": b"[" * 100 + b"]" * 100})


@pytest.mark.parametrize("value", ["!!bool s3cr3t", "!!int ''", "!!timestamp s3cr3t", "0x_"])
def test_a_value_that_is_not_what_its_tag_says_is_refused_without_it(value: str) -> None:
    assert refusal({"a.yaml": f"a: {value}".encode()}).endswith("a number or another value that can't be read")


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "its aliases stand for more than 100000 values" in refusal({"a.yaml": "\n".join(lines).encode()})


def test_ordinary_aliases_and_merges_are_accepted() -> None:
    assert verify({"a.yaml": b"base: &base {x: 1}\nmore:\n  <<: *base\n  y: 2\nagain: *base\n"})


def test_an_alias_inside_of_what_it_stands_for_is_refused() -> None:
    assert "an alias" in refusal({"a.yaml": b"a: &a [*a]"})


def test_every_chosen_file_is_checked() -> None:
    assert "b.yaml is not valid" in refusal(SOUND | {"b.yaml": b"["})
    assert verify({"x.json": b"1", "notes.txt": b"["})


def test_patterns_choose_the_files_and_each_has_to_fit_one() -> None:
    files = {"conf/a.json": b"1", "broken.json": b"["}
    assert verify(files, files=["conf/*"])
    assert refusal(files, files=["conf/*", "more/*"]).startswith("no file is called more/*; there are: broken.json")


def test_nothing_to_check_is_a_refusal() -> None:
    assert refusal({"config": b"a"}).startswith("no file is called *.json, *.toml, *.yaml, *.yml; there are: config")


def test_a_file_without_a_known_ending_needs_the_format() -> None:
    assert "config has none of the endings .json, .yaml, .yml, .toml" in refusal({"config": b"1"}, files=["config"])
    assert verify({"config": b"a: 1"}, files=["config"], format="yaml")
    assert "not valid JSON" in refusal({"config": b"a: 1"}, files=["config"], format="json")


def test_a_huge_document_is_refused_unread() -> None:
    with pytest.raises(RejectedError, match=r"a\.json has 1000000000000 bytes"):
        DocumentVerifier(DocumentOptions()).verify(HugeCandidate({"a.json": b""}))


@pytest.mark.parametrize(("name", "limit"), [("a.json", 16), ("a.toml", 16), ("a.yaml", 4)])
def test_how_much_is_read_depends_on_what_it_costs(name: str, limit: int) -> None:
    with pytest.raises(RejectedError, match=f"at most {limit * 1024 * 1024} are read"):
        DocumentVerifier(DocumentOptions()).verify(HugeCandidate({name: b""}, size=limit * 1024 * 1024 + 1))


def test_documents_as_the_schema_wants_them_are_accepted(schema: dict[str, str]) -> None:
    files = {"a.json": b'{"port": 1}', "b.yaml": b"since: 2026-11-22\n1: one\n", "c.toml": b"since = 2026-11-22"}
    assert verify(files, schema=schema)


def test_others_are_refused_with_the_path_and_the_keyword_and_no_value(schema: dict[str, str]) -> None:
    assert (
        refusal({"a.json": NESTED}, schema=schema)
        == "a.json is not as the schema wants it: $.users[1] fails 'required'"
    )
    said = refusal({"a.yaml": b"port: 1\n---\nport: hunter2\n"}, schema=schema)
    assert said == "a.yaml is not as the schema wants it: $.port fails 'type'"
    assert "$.port fails 'type'" in refusal({"a.toml": b"port = 'hunter2'"}, schema=schema)
    assert "fails 'type'" in refusal({"a.yaml": b"1: 1\n"}, schema=schema)


def test_a_schema_that_cannot_be_used_refuses_nothing_for_good(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    with pytest.raises(PermanentError, match="can't be read"):
        verify(SOUND, schema={"file": str(path)})
    for content in ("[", '{"type": "nothing"}', "[1]"):
        path.write_text(content)
        with pytest.raises(PermanentError, match="is not a JSON Schema"):
            verify(SOUND, schema={"file": str(path)})


def test_a_schema_fetches_nothing(tmp_path: Path) -> None:
    path, app = tmp_path / "schema.json", App()
    app.answering(200, b"{}", Content_Type="application/json")
    with app.running():
        path.write_text(json.dumps({"$ref": f"{app.url}/schema.json"}))
        with pytest.raises(PermanentError, match="leads out of the schema"):
            verify({"a.json": b"1"}, schema={"file": str(path)})
    assert app.heard == []


def test_a_schema_that_leads_in_a_circle_refuses_the_document(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text('{"$ref": "#"}')
    with pytest.raises(RejectedError, match="nested too deeply"):
        verify({"a.json": b"1"}, schema={"file": str(path)})


def test_unknown_options_are_configuration_errors() -> None:
    for options in ({"format": "ini"}, {"scheme": {}}, {"schema": {"url": "x"}}):
        with pytest.raises(ValidationError):
            DocumentOptions.model_validate(options)


@given(st.text(max_size=100), st.sampled_from(["a.json", "a.yaml", "a.toml"]))
def test_any_text_is_either_accepted_or_refused(content: str, name: str) -> None:
    try:
        assert verify({name: content.encode()}) == Finding()
    except RejectedError as refused:
        shown = str(refused)
        assert shown.startswith(name)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_every_json_document_is_accepted(document: object) -> None:
    assert verify({"a.json": json.dumps(document).encode()}) == Finding()
