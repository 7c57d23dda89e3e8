import base64
import configparser
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refresher.errors import ConfigError, RejectedError
from refresher.render.entries import Entry, Form
from refresher.render.recipe import recipe
from tests.certificates import Authority
from tests.render.making import inputs, made

SECRET = "s3cr3t-Value"
KEYED = "s3cr3t_Value"
UTF8 = st.characters(codec="utf-8")
TEXT = st.text(UTF8)
WITHOUT_CONTROLS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)) | st.sampled_from("\t\n"))
LINE = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp")))
VARIABLE = st.from_regex(r"REFRESHER_[A-Za-z0-9_]{1,8}", fullmatch=True)
SOME = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def refusal(files: dict[str, str | bytes], sources: tuple[str, ...] = (), **entry: Any) -> str:
    with pytest.raises(RejectedError) as raised:
        made(files, sources, **entry)
    assert raised.value.__context__ is None
    assert SECRET not in str(raised.value)
    assert KEYED not in str(raised.value)
    return str(raised.value)


def read_by_shell(text: str, directory: Path, shell: str) -> dict[str, str]:
    """The variables that a shell has which sources the file, without those that any has."""
    (directory / "app.env").write_text(text)
    script = 'set -a; . "$1"; exec env -0'
    argv = [
        shutil.which("env") or "env",
        "-i",
        "PATH=/usr/bin:/bin",
        shell,
        "-c",
        script,
        shell,
        str(directory / "app.env"),
    ]
    printed = subprocess.run(argv, check=True, capture_output=True).stdout.decode()
    variables = dict(each.split("=", 1) for each in printed.split("\0") if each)
    return {name: value for name, value in variables.items() if name.startswith("REFRESHER_")}


@pytest.mark.parametrize("shell", ["sh", "bash"])
@SOME
@given(values=st.dictionaries(VARIABLE, WITHOUT_CONTROLS, min_size=1, max_size=20))
def test_a_shell_reads_from_env_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, shell: str, values: dict[str, str]
) -> None:
    directory = tmp_path_factory.mktemp("env")
    assert read_by_shell(made(values, form=Form.ENV), directory, shell) == values


def test_env_has_quotes_only_where_the_value_needs_them() -> None:
    files = {"PLAIN": "postgres://app@db:5432/x", "EMPTY": "", "QUOTED": 'a "b" $c `d` \\', "PORT": "5432"}
    assert made(files, form=Form.ENV) == (
        'PLAIN=postgres://app@db:5432/x\nEMPTY=\nQUOTED="a \\"b\\" \\$c \\`d\\` \\\\"\nPORT=5432\n'
    )


@pytest.mark.parametrize("char", ["\0", "\r", "\x1b", "\x7f", "\x85"])
def test_env_refuses_what_systemd_ignores(char: str) -> None:
    assert refusal({"A": f"{SECRET}{char}"}, form=Form.ENV).startswith("out: A has control characters")


@pytest.mark.parametrize("form", [Form.ENV, Form.DOCKER_ENV])
def test_a_variable_needs_a_name_that_one_can_have(form: Form) -> None:
    assert refusal({"db.password": SECRET}, form=form) == (
        "out: 'db.password' can't be the name of an environment variable"
    )


@SOME
@given(values=st.dictionaries(VARIABLE, LINE))
def test_docker_reads_each_line_as_it_is(values: dict[str, str]) -> None:
    text = made({**values, "REFRESHER_": ""}, form=Form.DOCKER_ENV)
    assert dict(line.split("=", 1) for line in text.split("\n") if line) == {**values, "REFRESHER_": ""}


@pytest.mark.parametrize("value", ["a\nEVIL=1", "a\rb", "a\u2028b", "a\0b"])
def test_docker_env_refuses_a_second_line(value: str) -> None:
    assert "A has line breaks" in refusal({"A": value}, form=Form.DOCKER_ENV)


ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def read_properties(text: str) -> dict[str, str]:
    """As `java.util.Properties.load` is specified, of Latin-1 text."""
    logical = re.sub(r"(?<!\\)((?:\\\\)*)\\(?:\r\n|\r|\n)[ \t\f]*", r"\1", text.encode("latin-1").decode("latin-1"))
    found = {}
    for line in re.split(r"\r\n|\r|\n", logical):
        stripped = line.lstrip(" \t\f")
        if not stripped or stripped[0] in "#!":
            continue
        key, value = re.fullmatch(r"((?:\\.|[^\\=: \t\f])*)[ \t\f]*[=:]?[ \t\f]*(.*)", stripped, re.S).groups()  # type: ignore[union-attr]
        found[unescaped(key)] = unescaped(value)
    return found


def unescaped(text: str) -> str:
    def char(match: re.Match[str]) -> str:
        return chr(int(match[1], 16)) if match[1] else ESCAPES.get(match[2], match[2])

    units = re.sub(r"\\(?:u([0-9a-f]{4})|(.))", char, text, flags=re.S)
    return units.encode("utf-16-be", "surrogatepass").decode("utf-16-be")


KEY = st.text(UTF8, min_size=1).filter(lambda key: not key.endswith((".json", ".yaml", ".yml")))


@SOME
@given(values=st.dictionaries(KEY, TEXT))
def test_java_reads_from_properties_what_was_written(values: dict[str, str]) -> None:
    text = made({**values, "k": ""}, form=Form.PROPERTIES)
    assert text.isascii()
    assert read_properties(text) == {**values, "k": ""}


def test_keys_inside_of_keys_are_joined_by_dots_in_properties() -> None:
    files = {"app.json": '{"db": {"port": 5432, "tls": true, "hosts": ["a", {"n": 1.5}]}}', "db.password": "p"}
    assert made(files, form=Form.PROPERTIES) == (
        "db.port=5432\ndb.tls=true\ndb.hosts[0]=a\ndb.hosts[1].n=1.5\ndb.password=p\n"
    )


@pytest.mark.parametrize("form", [Form.ENV, Form.DOCKER_ENV, Form.PROPERTIES, Form.INI])
def test_null_is_refused_where_readers_would_take_it_for_a_text(form: Form) -> None:
    section = {"section": "s"} if form is Form.INI else {}
    told = refusal({"a.json": '{"a": 1, "n": null}'}, form=form, **section)
    assert told.endswith(" is null, and only json and yaml have a word for that")


def test_json_and_yaml_keep_null() -> None:
    document: dict[str, str | bytes] = {"a.json": '{"n": null}'}
    assert json.loads(made(document, form=Form.JSON)) == yaml.safe_load(made(document, form=Form.YAML)) == {"n": None}


@pytest.mark.parametrize("value", ["{}", "[]", "[1, []]"])
@pytest.mark.parametrize("form", [Form.ENV, Form.DOCKER_ENV, Form.PROPERTIES])
def test_a_value_that_no_line_would_tell_of_is_refused(form: Form, value: str) -> None:
    files: dict[str, str | bytes] = {"a.json": f'{{"a": 1, "b": {value}}}'}
    told = refusal(files, form=form)
    assert told.startswith("out: entry 2")
    assert "mapping or list" in told or "a mapping or a list" in told


@pytest.mark.parametrize("form", [Form.ENV, Form.DOCKER_ENV, Form.PROPERTIES, Form.INI])
def test_a_document_without_an_entry_makes_an_empty_file(form: Form) -> None:
    section = {"section": "s"} if form is Form.INI else {}
    assert made({"a.json": "{}"}, form=form, **section) == ""


def read_ini(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return {section: dict(parser[section]) for section in parser.sections()}


INI_KEY = st.from_regex(r"[a-z][a-z0-9_.]{0,8}", fullmatch=True).filter(lambda key: "." not in key)


@SOME
@given(values=st.dictionaries(INI_KEY, LINE.map(str.strip), min_size=1))
def test_configparser_reads_from_ini_what_was_written(values: dict[str, str]) -> None:
    assert read_ini(made(values, form=Form.INI, section="client")) == {"client": values}


def test_ini_has_a_section_for_each_source_and_for_each_mapping_of_a_document() -> None:
    files = {"db/user": "app", "db/password": "p%s", "flags/flags.yaml": "beta: {active: true}\nname: x\n"}
    assert read_ini(made(files, ("db", "flags"), form=Form.INI)) == {
        "db": {"user": "app", "password": "p%s"},
        "beta": {"active": "true"},
        "flags": {"name": "x"},
    }


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"a": "b\nc"}, "a has line breaks"),
        ({"a": " b"}, "a has line breaks, control characters or blanks at an end"),
        ({"a=b": "c"}, "'a=b' can't be a name"),
        ({"[a": "c"}, "can't be a name"),
        ({"#a": "c"}, "can't be a name"),
        ({"a": "1", "A": "2"}, "differ in case only"),
        ({"a.json": '{"x]": {"a": 1}}'}, "the key of entry 1 of a.json can't be the name of a section"),
        ({"a.json": '{"x": {"a": {"b": 1}}}'}, "entry 1.1 of a.json is a mapping or a list"),
    ],
)
def test_ini_refuses_what_it_cannot_say(files: dict[str, str | bytes], reason: str) -> None:
    assert reason in refusal(files, form=Form.INI, section="s")


def keyed(document: Any) -> dict[str, str | bytes]:
    return {"a": "1", "app.json": json.dumps(document)}


@pytest.mark.parametrize(
    ("form", "files", "sentence"),
    [
        (Form.ENV, keyed({"A": 1, f"{SECRET} 1": 2}), "the key of entry 2 of app.json can't be the name of an environ"),
        (Form.ENV, keyed({"A": 1, KEYED: "\0"}), "entry 2 of app.json has control characters"),
        (Form.ENV, keyed({KEYED: None}), "entry 1 of app.json is null"),
        (Form.DOCKER_ENV, keyed({KEYED: "a\nb"}), "entry 1 of app.json has line breaks"),
        (Form.DOCKER_ENV, keyed({KEYED: {}}), "entry 1 of app.json is a mapping or a list"),
        (Form.PROPERTIES, keyed({"A": 1, SECRET: [1, {"b": None}]}), "entry 2.2.1 of app.json is null"),
        (Form.PROPERTIES, keyed({f"{SECRET}.b": 1, SECRET: {"b": 1}}), "the key of entry 2.1 of app.json is there"),
        (Form.INI, keyed({"A": 1, f"tok={SECRET}": 1}), "'a' and the key of entry 1 of app.json differ in case only"),
        (Form.INI, keyed({"B": 1, f"tok={SECRET}": 1}), "the key of entry 2 of app.json can't be a name"),
        (Form.INI, keyed({SECRET: {f"tok={SECRET}": 1}}), "the key of entry 1.1 of app.json can't be a name"),
        (Form.INI, keyed({SECRET: {"a": "b\nc"}}), "entry 1.1 of app.json has line breaks"),
        (Form.INI, keyed({SECRET: {"a": 1, "A": 2}}), "the key of entry 1.1 of app.json and the key of entry 1.2 of"),
        (Form.INI, keyed({f"{SECRET}]": {}}), "the key of entry 1 of app.json can't be the name of a section"),
        (Form.PEM, {"app.json": json.dumps({SECRET: "x"})}, "entry 1 of app.json has no PEM block"),
    ],
)
def test_no_error_quotes_a_key_of_a_document_and_each_says_where_it_is(
    form: Form, files: dict[str, str | bytes], sentence: str
) -> None:
    """Keys can be secrets: tokens by user, say."""
    section = {"section": "s"} if form is Form.INI else {}
    assert refusal(files, form=form, **section).startswith(f"out: {sentence}")


def test_an_entry_is_told_where_the_value_that_counts_comes_from() -> None:
    files: dict[str, str | bytes] = {
        "one/app.yaml": "x: 1\na: {b: null, c: 1}\n",
        "two/app.yaml": "a: {d: 1, b: null}\n",
        "two/y": "",
    }
    for sources, entry in ((("one", "two"), "1.2 of two"), (("two", "one"), "2.1 of one")):
        told = refusal(files, ("one", "two"), form=Form.PROPERTIES, of=sources)
        assert told.startswith(f"out: entry {entry}/app.yaml is null")
    assert refusal(files, ("one", "two"), form=Form.INI).startswith("out: entry 1.2 of two/app.yaml is null")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
DOCUMENT = st.dictionaries(TEXT, JSON, max_size=6)


def as_json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False)


@SOME
@given(content=DOCUMENT)
def test_json_keeps_every_type(content: dict[str, Any]) -> None:
    assert json.loads(made({"a.json": as_json(content)}, form=Form.JSON)) == content


class OneTwo(yaml.SafeLoader):
    """A reader of YAML 1.2's core schema, as far as numbers, true and null go."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


FLOAT, INT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
for tag, pattern in (
    ("null", "null|Null|NULL|~|"),
    ("bool", "true|True|TRUE|false|False|FALSE"),
    ("int", INT),
    ("float", FLOAT),
):
    OneTwo.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), None)


@SOME
@given(content=DOCUMENT)
def test_readers_of_yaml_1_1_and_of_1_2_read_the_same(content: dict[str, Any]) -> None:
    text = made({"a.json": as_json(content)}, form=Form.YAML)
    assert yaml.safe_load(text) == content
    assert yaml.load(text, Loader=OneTwo) == content


@pytest.mark.parametrize(
    "text", ["1e3", "0o17", "0x1F", "012", "1_000", "1:30", "yes", "null", "~", ".5", "-.5", "+.5e3", "+1", "-", ""]
)
def test_yaml_keeps_text_that_looks_like_something_else(text: str) -> None:
    written = made({"value": text}, form=Form.YAML)
    assert yaml.load(written, Loader=OneTwo) == yaml.safe_load(written) == {"value": text}


@pytest.mark.parametrize("text", ["y", "N"])
def test_yaml_keeps_text_that_some_readers_of_1_1_take_for_yes_or_no(text: str) -> None:
    assert made({text: text}, form=Form.YAML) == f'"{text}": "{text}"\n'


def test_documents_and_fields_are_merged_deeply_in_the_order_given() -> None:
    files = {
        "base/app.yaml": "db: {host: localhost, port: 5432}\ntags: [a]\n",
        "db/password": "p",
        "flags/flags.json": '{"db": {"host": "db", "pool": {"size": 3}}, "tags": ["b"], "password": "q"}',
    }
    merged = {"db": {"host": "db", "port": 5432, "pool": {"size": 3}}, "tags": ["b"], "password": "q"}
    sources = ("base", "db", "flags")
    assert json.loads(made(files, sources, form=Form.JSON)) == merged
    assert yaml.safe_load(made(files, sources, form=Form.YAML)) == merged
    backwards = json.loads(made(files, sources, form=Form.JSON, of=("flags", "db/password", "base")))
    assert (backwards["db"]["host"], backwards["password"]) == ("localhost", "p")


def test_a_form_takes_what_is_named_and_nothing_else() -> None:
    assert made({"a": "1", "b": "2", "c": "3"}, form=Form.DOCKER_ENV, of=("c", "a")) == "c=3\na=1\n"
    assert refusal({"a": "1"}, form=Form.ENV, of=("b",)) == "out: the source has no file 'b'"
    assert refusal({"db/a": "1"}, ("db",), form=Form.ENV, of=("db/b",)) == "out: the source has no file 'db/b'"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.json", "{", "a.json is not JSON: line 1"),
        ("a.json", f'{{\n"{SECRET}" 1}}', "a.json is not JSON: line 2"),
        ("a.json", "[1]", "a.json must be a mapping"),
        ("a.json", '{"a": 1, "a": 2}', "a key twice"),
        ("a.json", '{"a": NaN}', "a number that is none"),
        ("a.json", '{"a": 1e999}', "a number that is none"),
        ("a.yaml", "a: [.inf]", "a.yaml is not YAML"),
        ("a.yaml", "a: {b: .nan}", "a.yaml is not YAML"),
        ("a.json", "[" * 100_000, "too deep"),
        ("a.json", '{"a":' * 200 + "1" + "}" * 200, "too deep"),
        ("a.json", "", "a.json is not JSON"),
        ("a.yaml", f"a: 1\n{SECRET}: [", "a.yaml is not YAML, or YAML that is read in different ways: line"),
        ("a.yaml", f"a: 1\n{SECRET}: 0640", "line 2"),
        ("a.yaml", f"{SECRET}: 1\n{SECRET}: 2", "line 2"),
        ("a.yaml", f"a: !!python/name:os.{SECRET}", "line 1"),
        ("a.yaml", f"a: !!bool {SECRET}", "a.yaml is not YAML"),
        ("a.yaml", "a: !!int ''", "a.yaml is not YAML"),
        ("a.yaml", "a: 0x_", "a.yaml is not YAML"),
        ("a.yaml", "[" * 1000, "line 1"),
        ("a.yaml", "", "a.yaml must be a mapping"),
        ("a.yaml", "a: &a [1]\n" + "".join(f"b{n}: &b{n} [{'*a, ' * 9}]\n" for n in range(9)), ""),
        ("a", b"\xff", "a is not UTF-8 text"),
    ],
)
def test_a_document_that_cannot_be_read_is_refused_without_what_it_says(
    name: str, content: str | bytes, reason: str
) -> None:
    if reason:
        assert reason in refusal({name: content}, form=Form.JSON)
    else:
        assert made({name: content}, form=Form.JSON)


def test_an_alias_bomb_is_refused() -> None:
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    assert "not YAML" in refusal({"a.yaml": bomb}, form=Form.JSON)


def test_a_long_text_that_many_aliases_repeat_is_refused() -> None:
    bomb = f"a: &a {'x' * 1_000_000}\nb: [{', '.join(['*a'] * 1000)}]\n"
    assert "not YAML" in refusal({"a.yaml": bomb}, form=Form.JSON)
    assert made({"a.yaml": f"a: {'x' * 4_000_000}\n"}, form=Form.JSON)


@pytest.mark.parametrize("document", ['{"a.b": 1, "a": {"b": 2}}', '{"a[0]": 1, "a": [2]}'])
def test_two_keys_that_properties_would_make_one_of_are_refused(document: str) -> None:
    assert "is there twice once the keys are joined" in refusal({"a.json": document}, form=Form.PROPERTIES)


def test_pem_puts_all_blocks_into_one_file_in_the_order_given() -> None:
    authority = Authority.root()
    leaf = authority.issue("web.example.com")
    files = {"tls/tls.crt": leaf.pem, "tls/tls.key": b"Bag: x\n" + leaf.key_pem.strip(), "tls/ca.crt": authority.pem}
    bundle = made(files, ("tls",), form=Form.PEM, of=("tls/tls.key", "tls/tls.crt"))
    assert bundle == leaf.key_pem.decode() + leaf.pem.decode()
    assert made(files, ("tls",), form=Form.PEM).count("BEGIN") == 3


def test_a_pem_block_without_an_end_is_refused() -> None:
    assert refusal({"a": f"-----BEGIN {SECRET}-----\n"}, form=Form.PEM) == "out: a PEM block has no end"


def test_a_file_without_a_pem_block_is_refused_where_a_bundle_needs_it() -> None:
    key = Authority.root().issue("web.example.com").key_pem
    assert refusal({"tls.key": key, "tls.crt": SECRET}, form=Form.PEM) == "out: tls.crt has no PEM block"


KEYSTORE = bytes(range(256)) * 3
"""What is no UTF-8 text, and has every sign of both alphabets in its base64."""


def bytes_made(text: str | bytes, **entry: Any) -> bytes:
    (file,) = recipe({"out": Entry(form=Form.BASE64, **entry)}, (), {}).files(inputs({"keystore": text, "x": "y"}))
    assert file.sensitive
    return file.content


@pytest.mark.parametrize("written", [base64.standard_b64encode, base64.urlsafe_b64encode, base64.encodebytes])
def test_base64_makes_the_bytes_that_a_text_stands_for(written: Callable[[bytes], bytes]) -> None:
    for size in (1, 2, 3, 256, 768):
        text = written(KEYSTORE[-size:])
        for of in ("keystore", ("keystore",)):
            assert bytes_made(text, of=of) == bytes_made(b" \t" + text + b"\r\n", of=of) == KEYSTORE[-size:]


@pytest.mark.parametrize(
    "text",
    [
        "a2V5c3RvcmU",  # without its padding, as what is cut off
        "a2V5c3RvcmU==",
        "a2V5c3RvcmU=a2V5",
        "a2V5c3Rvcm",
        "a2V5c3RvcmU=!",
        "ab+_",  # of two alphabets
        "=",
        "é",
        b"\xff\xfe",
        "-----BEGIN PKCS12-----",
    ],
)
def test_what_is_not_base64_is_refused_without_what_it_is(text: str | bytes) -> None:
    told = refusal({"keystore": text}, form=Form.BASE64, of="keystore")
    assert told == "out: keystore is not base64 with its padding"


@pytest.mark.parametrize("text", ["", " \n"])
def test_a_keystore_without_a_byte_is_refused(text: str) -> None:
    assert refusal({"keystore": text}, form=Form.BASE64) == "out: keystore is empty"


def test_base64_takes_one_file_and_no_more() -> None:
    both: dict[str, str | bytes] = {"db/a": "YQ==", "db/b": "Yg=="}
    assert made(both, ("db",), form=Form.BASE64, of="db/b") == "b"
    assert made({"a": "YQ=="}, form=Form.BASE64) == "a"
    assert "of one file, and there are 2: choose it with of" in refusal(both, ("db",), form=Form.BASE64, of="db")
    assert refusal(both, ("db",), form=Form.BASE64, of="db/c") == "out: the source has no file 'db/c'"
    with pytest.raises(ValueError, match="of must name one file"):
        Entry(form=Form.BASE64, of=("a", "b"))


def test_a_form_of_one_file_may_name_it_without_a_list() -> None:
    files: dict[str, str | bytes] = {"a": "1", "b": "2"}
    assert made(files, form=Form.ENV, of="b") == made(files, form=Form.ENV, of=("b",)) == "b=2\n"


def test_a_file_can_be_copied_as_it_is() -> None:
    bytes_ = b"\x00\xff"
    (file,) = recipe({"out": Entry(copy="db/bin")}, ("db",), {}).files(inputs({"db/bin": bytes_}))
    assert file.content == bytes_
    assert refusal({"db/a": "1"}, ("db",), copy="db/b") == "out: the source has no file 'db/b'"


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"form": Form.JSON, "of": ("dp",)}, "a: of: there is no source 'dp'; there are db, tls"),
        ({"copy": "tsl/tls.crt"}, "a: copy: there is no source 'tsl'; there are db, tls"),
    ],
)
def test_a_source_that_there_is_not_is_a_mistake(entry: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        recipe({"a": Entry(**entry)}, ("db", "tls"), {})
    assert raised.value.problems == (problem,)


def test_a_section_that_no_reader_takes_for_one_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"^a: section: 'x\]' can't be the name of a section$"):
        recipe({"a": Entry(form=Form.INI, section="x]")}, (), {})


def test_a_section_that_configparser_copies_into_every_other_is_refused() -> None:
    named = "is DEFAULT, a section that Python's configparser copies into every other one"
    document: dict[str, str | bytes] = {"a.json": f'{{"x": {{"a": 1}}, "{configparser.DEFAULTSECT}": {{}}}}'}
    assert refusal(document, form=Form.INI, section="s") == f"out: the key of entry 2 of a.json {named}"
    with pytest.raises(ConfigError, match=f"^a: section: 'DEFAULT' {named}$"):
        recipe({"a": Entry(form=Form.INI, section="DEFAULT")}, ("db",), {})


def test_a_section_that_is_written_otherwise_is_one_like_any() -> None:
    files: dict[str, str | bytes] = {"a.json": '{"default": {"a": 1}}', "b": "2"}
    assert read_ini(made(files, form=Form.INI, section="Default")) == {"default": {"a": "1"}, "Default": {"b": "2"}}


def test_ini_of_one_source_needs_a_section() -> None:
    with pytest.raises(ConfigError, match="form ini needs a section"):
        recipe({"a": Entry(form=Form.INI)}, (), {})
