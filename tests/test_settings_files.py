import json
from pathlib import Path

import pytest

from refresher.errors import ConfigError
from refresher.settings import load_control
from refresher.settings.files import FILE_LIMIT, read_file


def problems(path: Path, content: str | bytes) -> list[str]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigError) as raised:
        read_file(path)
    assert all(problem.startswith(f"{path}: ") for problem in raised.value.problems)
    return [problem.removeprefix(f"{path}: ") for problem in raised.value.problems]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "refresher.yaml"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "assets: {a: {verify: [x], n: 5, yes: true, none: null}}"),
        ("a.YML", "\ufeffassets:\n  a: {verify: [x], n: 5, 'yes': true, none: ~}\n"),
        ("a.json", '{"assets": {"a": {"verify": ["x"], "n": 5, "yes": true, "none": null}}}'),
    ],
)
def test_yaml_and_json_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text.replace(" yes:", " 'yes':"))
    assert read_file(tmp_path / name) == {"assets": {"a": {"verify": ["x"], "n": 5, "yes": True, "none": None}}}


def test_toml_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[assets.a]\nverify = ["x"]\nn = 5\n')
    assert read_file(tmp_path / "a.toml") == {"assets": {"a": {"verify": ["x"], "n": 5}}}


def test_another_ending_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path / "a.ini", "") == ["the file's name must end in .yaml, .yml, .toml, .json"]


@pytest.mark.parametrize("name", ["a.yaml", "a.toml", "a.json"])
@pytest.mark.parametrize("text", ["", " \n", "\ufeff"])
def test_an_empty_file_is_told_as_such(tmp_path: Path, name: str, text: str) -> None:
    assert problems(tmp_path / name, text) == ["the file is empty; it needs at least `assets`"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", f"a: {'9' * 5000}"),
        ("a.yaml", "a: 0x_"),
        ("a.yaml", "a: !!bool text"),
        ("a.yaml", "a: !!int ''"),
        ("a.json", f'{{"a": {"9" * 5000}}}'),
        ("a.toml", f"a = {'9' * 5000}"),
    ],
)
def test_a_number_that_python_does_not_read_is_told(tmp_path: Path, name: str, text: str) -> None:
    (problem,) = problems(tmp_path / name, text)
    assert problem.startswith("holds a number that can't be read")


def test_a_file_of_comments_is_empty(file: Path) -> None:
    assert problems(file, "# nothing yet\n---\n") == ["the file is empty; it needs at least `assets`"]


@pytest.mark.parametrize(("name", "text"), [("a.yaml", "- a\n"), ("a.yaml", "text"), ("a.json", "[1]")])
def test_what_is_no_mapping_is_refused(tmp_path: Path, name: str, text: str) -> None:
    assert problems(tmp_path / name, text) == ["the file must be a mapping with `assets`"]


def test_a_missing_file_and_a_directory_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml: can't be read: No such file or directory"):
        read_file(tmp_path / "nothing.yaml")
    (tmp_path / "directory.yaml").mkdir()
    with pytest.raises(ConfigError, match="can't be read: Is a directory"):
        read_file(tmp_path / "directory.yaml")


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "endless.yaml").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match=f"is larger than {FILE_LIMIT} bytes"):
        read_file(tmp_path / "endless.yaml")


def test_bytes_that_are_no_text_are_refused(file: Path) -> None:
    assert problems(file, b"a: \0") == ["holds NUL bytes, so it's no text file"]
    assert problems(file, b"a: \xff") == ["is not UTF-8 text"]
    assert problems(file, b"a: \x07") == ["is not valid YAML: it holds characters that YAML doesn't allow"]


def test_a_key_that_is_given_twice_is_refused_with_its_line(file: Path) -> None:
    assert problems(file, "assets:\n  a: 1\n  b: 2\n  a: 3\nassets: 4\n") == [
        "line 5: the key 'assets' is given twice in one mapping",
        "line 4: the key 'a' is given twice in one mapping",
    ]
    assert problems(file.with_suffix(".json"), '{"a": 1, "a": 2}') == ["the key 'a' is given twice in one mapping"]
    (problem,) = problems(file.with_suffix(".toml"), "a = 1\na = 2\n")
    assert problem.startswith("is not valid TOML: ")


@pytest.mark.parametrize("number", ["0640", "010", "1:30", "127:50"])
def test_what_yaml_reads_as_another_number_must_be_quoted(file: Path, number: str) -> None:
    found = problems(file, f"\npublish: {{mode: {number}}}\n")
    assert found == [f'line 2: YAML reads {number} as another number; write it in quotes: "{number}"']
    file.write_text(f'publish: {{mode: "{number}"}}\n')
    assert read_file(file) == {"publish": {"mode": number}}


def test_ordinary_numbers_need_no_quotes(file: Path) -> None:
    file.write_text("a: 0\nb: 640\nc: -5\nd: 1.5\ne: 0x10\n")
    assert read_file(file) == {"a": 0, "b": 640, "c": -5, "d": 1.5, "e": 16}


def test_a_date_stays_text(file: Path) -> None:
    file.write_text("a: 2026-11-22\nb: 2026-11-22T09:00:00Z\n")
    assert read_file(file) == {"a": "2026-11-22", "b": "2026-11-22T09:00:00Z"}


@pytest.mark.parametrize("text", ["5: a", "on: a", "~: a", "[a]: b", "2026-11-22: a"])
def test_a_key_must_be_text(file: Path, text: str) -> None:
    assert problems(file, text) == ["line 1: a key must be text; write it in quotes"]


@pytest.mark.parametrize(
    "text", ["a: !!python/object/apply:os.system [id]", "a: !vault x", "a: !!set {b}", "a: !!binary YQ=="]
)
def test_no_tag_makes_an_object(file: Path, text: str) -> None:
    (problem,) = problems(file, text)
    assert "isn't read here; write the plain value" in problem


def test_aliases_and_merges_may_be_used(file: Path) -> None:
    file.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a\n")
    assert read_file(file) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2}}


def test_an_alias_bomb_is_refused_without_being_followed(file: Path) -> None:
    levels = [f"l{number}: &l{number} [{', '.join([f'*l{number - 1}'] * 9)}]" for number in range(1, 12)]
    (problem,) = problems(file, "\n".join(["l0: &l0 [x, x, x, x, x, x, x, x, x]", *levels]))
    assert problem.endswith("its aliases stand for more than 200000 values, or for as much text")


def test_an_alias_to_what_it_is_inside_of_is_refused(file: Path) -> None:
    (problem,) = problems(file, "a: &a [1, *a]")
    assert problem.endswith("its aliases stand for more than 200000 values, or for as much text")


@pytest.mark.parametrize("depth", [150, 1_000, 100_000])
@pytest.mark.parametrize("name", ["a.yaml", "a.json", "a.toml"])
def test_a_file_that_is_nested_without_end_is_refused(tmp_path: Path, name: str, depth: int) -> None:
    opening = "[" * depth + "]" * depth
    texts = {"a.yaml": f"a: {opening}", "a.json": f'{{"a": {opening}}}', "a.toml": f"a = {opening}"}
    (problem,) = problems(tmp_path / name, texts[name])
    assert "nested" in problem or "depth" in problem


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "a: [1\nb: hunter2"),
        ("a.yaml", "a: *hunter"),
        ("a.json", '{"a": hunter2}'),
        ("a.toml", "a = hunter2"),
    ],
)
def test_a_mistake_in_the_form_is_told_with_its_line_and_without_the_text(tmp_path: Path, name: str, text: str) -> None:
    (problem,) = problems(tmp_path / name, text)
    assert "line " in problem
    assert "hunter2" not in problem


def test_several_documents_are_refused(file: Path) -> None:
    (problem,) = problems(file, "a: 1\n---\nb: 2\n")
    assert problem.startswith("is not valid YAML: line ")


def test_a_big_ordinary_file_is_read(tmp_path: Path) -> None:
    content = {f"key-{number}": {"a": [1, 2]} for number in range(20_000)}
    (tmp_path / "big.yaml").write_text(json.dumps(content))
    assert read_file(tmp_path / "big.yaml") == content


def test_who_asks_a_sidecar_needs_no_more_of_the_configuration_than_where_it_listens(tmp_path: Path) -> None:
    path = tmp_path / "refresher.yaml"
    path.write_text("control: {listen: '127.0.0.1:9000'}\nasets: {}\n")
    assert str(load_control(path, {}).listen) == "127.0.0.1:9000"
    path.write_text("control: {listen: nowhere}\nasets: {}\n")
    with pytest.raises(ConfigError, match="asets: is not a known key"):
        load_control(path, {})
