import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from refresher.errors import ConfigError, RejectedError
from refresher.render.entries import Entry
from refresher.render.jinja import Sandbox
from refresher.render.meter import TICKS, Meter
from refresher.render.recipe import recipe
from refresher.render.unfit import Unfit
from tests.certificates import Authority
from tests.render.making import inputs, rendered

SECRET = "s3cr3t-Value"
LOGIN = {"user": "app", "password": SECRET}
SEVERAL = {"db/password": SECRET, "db/items": "shoes", "tls/tls.crt": "CRT\n", "db/config.json": '{"port": 5432}'}


def refusal(template: str, files: dict[str, str | bytes] | None = None, sources: tuple[str, ...] = ()) -> str:
    with pytest.raises(RejectedError) as raised:
        rendered(template, files or dict(LOGIN), sources)
    assert raised.value.__context__ is None
    return str(raised.value)


def test_a_file_is_a_variable_of_its_name() -> None:
    assert rendered("{{ user }}:{{ password }}\n", LOGIN) == f"app:{SECRET}\n"


def test_any_file_is_found_by_its_name_in_files() -> None:
    assert rendered('{{ files["db.user"] }}', {"db.user": "app"}) == "app"


def test_with_several_sources_each_is_a_variable_of_its_files() -> None:
    template = '{{ db.password }} {{ tls["tls.crt"] }}{{ files["db/password"] }}'
    assert rendered(template, SEVERAL, ("db", "tls")) == f"{SECRET} CRT\n{SECRET}"


def test_a_source_with_dashes_is_a_variable_with_underscores() -> None:
    assert rendered("{{ web_tls.key }}", {"web-tls/key": "k"}, ("web-tls",)) == "k"


def test_a_source_cannot_be_called_as_what_templates_have() -> None:
    with pytest.raises(ConfigError, match="a source can't be called env here"):
        rendered("x", {"env/a": "b"}, ("env", "db"))


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        (
            ("web-tls", "web_tls"),
            "a source can't be called web_tls here: templates would have web_tls for web-tls as well",
        ),
        (("files-bytes", "db"), "a source can't be called files-bytes here: templates have that already"),
    ],
)
def test_two_things_that_a_template_would_know_by_one_name_are_a_mistake(
    sources: tuple[str, str], problem: str
) -> None:
    with pytest.raises(ConfigError, match=f"^out: {problem}$"):
        rendered("x", {}, sources)


def test_a_file_comes_before_a_method_of_its_name() -> None:
    assert rendered("{{ db.items }}", SEVERAL, ("db", "tls")) == "shoes"


def test_a_document_is_read_where_it_is_used() -> None:
    template = '{{ (db["config.json"] | fromjson).port + 1 }} {{ "a: [1]" | fromyaml }}'
    assert rendered(template, SEVERAL, ("db", "tls")) == '5433 {"a": [1]}'


DOCUMENTS = {
    "db/data.json": '{"host": "h", "maintenance": false, "limit": 25, "items": "shoes", "operators": {"bob": "x"}}',
    "flags/more.yaml": "beta: true\n",
    "flags/broken.json": f'{{"token": "{SECRET}"',
    "flags/list.json": "[1]",
    "flags/taken.json": '{"a": 1}',
    "flags/taken": "text",
    "flags/twice.json": '{"a": 1}',
    "flags/twice.yaml": "a: 2\n",
}


@pytest.mark.parametrize(
    ("template", "written"),
    [
        ("{{ db.data.host }} {{ db.data.limit + 1 }} {{ db.data.items }}", "h 26 shoes"),
        ("{% if db.data.maintenance %}down{% else %}open{% endif %}", "open"),
        ("{% for name, value in db.data.operators | items %}{{ name }}={{ value }}{% endfor %}", "bob=x"),
        ("{{ flags.more.beta }}{{ flags.more }}{{ flags.taken }}", 'true{"beta": true}text'),
        ("{{ db | length }}{% for name in db %}{{ name }}{% endfor %}", "1data.json"),
    ],
)
def test_a_document_is_what_it_says_under_its_name_without_the_ending(template: str, written: str) -> None:
    assert rendered(template, DOCUMENTS, ("db", "flags")) == written


def test_the_document_of_a_single_source_is_a_variable_and_a_file_of_that_name_comes_before_it() -> None:
    files: dict[str, str | bytes] = {
        "data.json": '{"a": true}',
        "other.json": "{}",
        "other": "text",
        "sub/deep.json": "{}",
    }
    assert rendered("{{ data.a }} {{ other }} {{ deep is defined }}", files) == "true text false"


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("db.data.hots", "'db.data.hots' is undefined"),
        ("db.data.operators.ann", "'ann' is undefined"),
        ("db.data | upper", "db.data is a document, of which a field has to be named; tojson writes it as a whole"),
        ("db.data._file", "SecurityError"),
        ("flags.twice.a", "'flags.twice' is undefined; did you mean 'flags[\"twice.yaml\"]'?"),
        ("flags.broken.token", "flags/broken.json is not JSON: line 1"),
        ("flags.list.token", "flags/list.json must be a mapping, or its fields have no names"),
    ],
)
def test_what_a_document_does_not_say_is_refused_by_its_name(expression: str, sentence: str) -> None:
    told = refusal(f"{{{{ {expression} }}}}", DOCUMENTS, ("db", "flags"))  # type: ignore[arg-type]
    assert told == f"out: inline: line 1: {sentence}"


@pytest.mark.parametrize(
    ("expression", "written"),
    [
        ("true", "true"),
        ("[1, 'a']", '[1, "a"]'),
        ("{'a': false}", '{"a": false}'),
        ("0.5", "0.5"),
        ("'x' ~ data.on", "xtrue"),
    ],
)
def test_what_is_no_text_is_written_as_json_has_it(expression: str, written: str) -> None:
    assert rendered(f"{{{{ {expression} }}}}", {"data.json": '{"on": true}'}) == written


def test_the_last_line_end_stays() -> None:
    assert rendered("a\n\n", LOGIN) == "a\n\n"


def test_blocks_take_their_lines_away_if_that_is_asked_for() -> None:
    assert rendered("  {% if 1 %}\nx\n  {% endif %}\n", LOGIN, trim_blocks=True, lstrip_blocks=True) == "x\n"
    assert rendered("  {% if 1 %}\nx\n  {% endif %}\n", LOGIN) == "  \nx\n  \n"


def test_the_environment_is_seen_by_the_names_that_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE", "n1")
    monkeypatch.setenv("OTHER", SECRET)
    assert rendered("{{ env.NODE }}", LOGIN, env=("NODE",)) == "n1"
    with pytest.raises(RejectedError, match=r"'env.OTHER' is undefined"):
        rendered("{{ env.OTHER }}", LOGIN, env=("NODE",))


def test_an_undefined_name_is_told_with_its_line_and_what_is_meant() -> None:
    assert refusal("\n\n{{ db.pasword }}", SEVERAL, ("db", "tls")) == (  # type: ignore[arg-type]
        "out: inline: line 3: 'db.pasword' is undefined; did you mean 'db.password'?"
    )


def test_an_undefined_variable_is_told_with_what_is_meant() -> None:
    assert refusal("{{ pasword }}") == "out: inline: line 1: 'pasword' is undefined; did you mean 'password'?"


def test_an_undefined_value_can_have_a_default() -> None:
    assert rendered("{{ nothing | default('d') }}{{ db.x | default('e') }}", SEVERAL, ("db", "tls")) == "de"


@pytest.mark.parametrize("filter_", ["tojson", "toyaml", "b64encode", "quote", "trimSpace", "sha256", "pem"])
def test_a_filter_of_something_undefined_tells_its_name(filter_: str) -> None:
    assert refusal(f"{{{{ nothing | {filter_} }}}}") == "out: inline: line 1: 'nothing' is undefined"


FAILING = [
    "{{ files[password] }}",
    "{{ password[password] }}",
    "{{ password.nothing }}",
    "{{ password | b64decode }}",
    "{{ password | fromjson }}",
    "{{ (password ~ ': [') | fromyaml }}",
    "{{ (password ~ ': 0640') | fromyaml }}",
    "{{ ('-----BEGIN ' ~ password ~ '-----') | pem }}",
    "{{ password | int + password }}",
    "{{ password ** 2 }}",
    "{{ -password }}",
    "{{ password < 1 }}",
    "{{ [password] | sum }}",
    "{{ [1, password] | sort }}",
    "{{ password | round }}",
    "{{ password | filesizeformat }}",
    "{{ password | xmlattr }}",
    "{{ password | attr('__class__') }}",
    "{{ password.__class__ }}",
    "{{ password | nindent(password) }}",
    "{{ password | indent(password, password, password, password) }}",
    "{{ password | batch(2, password) | join(1, 2) }}",
    "{{ '%d' | format(password) }}",
    "{{ '%d' % password }}",
    "{{ '{:d}'.format(password) }}",
    "{{ '{x}'.format_map({password: 1}) }}",
    "{{ [1] | map(password) | list }}",
    "{{ [1] | select(password) | list }}",
    "{{ [{}] | map(attribute=password) | join }}",
    "{{ password(1) }}",
    "{{ dict([password]) }}",
    "{{ range(password) }}",
    "{{ {}[password] }}",
    "{{ password | tojson(password, password) }}",
    "{% for a, b in [password] %}{% endfor %}",
    "{% set ns = namespace() %}{{ ns[password] }}",
    "{% set x = password %}{% set x.y = 1 %}",
    "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(password, **{password: 1}) }}",
    "{% if password | nofilter %}{% endif %}{% if false %}{{ x | nofilter }}{% endif %}",
    "{{ files }}",
]


@pytest.mark.parametrize("template", FAILING)
def test_what_fails_with_a_secret_tells_the_line_and_not_the_secret(template: str) -> None:
    with pytest.raises((RejectedError, ConfigError)) as raised:
        rendered(f"\n{template}", LOGIN)
    assert "out: inline: line 2: " in str(raised.value)
    assert SECRET not in str(raised.value)
    assert SECRET not in repr(raised.value.__context__)
    assert SECRET not in repr(raised.value.__cause__)


def test_a_surrogate_that_a_filter_makes_is_refused_without_its_text() -> None:
    assert refusal("""{{ '"\\\\ud800"' | fromjson }}""") == "out: it would not be valid Unicode text"


@pytest.mark.parametrize(
    "expression", ["db.values", "db.get", "db.label", "db", "'a'.upper", "namespace", "('null' | fromjson)"]
)
def test_no_nonsense_is_written_for_what_is_no_value(expression: str) -> None:
    refusal(f"{{{{ {expression} }}}}", SEVERAL, ("db", "tls"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "expression",
    [
        "'a, b'.split(',') | map('trim')",
        "[[1] | map('string')]",
        "user ~ ([1] | map('string'))",
        "[[1] | map('string')] | join",
        "[1] | map('string') | quote",
        "{'a': 1}.keys()",
        "cycler(1)",
        "[cycler(1)]",
        "namespace(a=1)",
        "self",
        "files_bytes.user",
        "[files_bytes.user] | join",
        "files.get | tojson",
        "'null' | fromjson | quote",
        "user ~ ('null' | fromjson)",
        "['null' | fromjson] | join",
        "('null' | fromjson) | string",
    ],
)
def test_what_has_no_text_is_refused_wherever_it_is_written(expression: str) -> None:
    """Its repr holds an address, so that each start would write another file."""
    assert refusal(f"{{{{ {expression} }}}}").startswith("out: inline: line 1: it is ")


@pytest.mark.parametrize(
    "expression", ["[nothing]", "{'a': nothing}", "[{}] | map(attribute='nothing') | list", "[[nothing]] | string"]
)
def test_nothing_undefined_is_written_as_a_part_of_something_else(expression: str) -> None:
    assert refusal(f"{{{{ {expression} }}}}") == "out: inline: line 1: 'nothing' is undefined"


NULLS = {
    "d.json": '{"n": null, "host": "h", "list": [1, null], "map": {"n": null, "b": "x y"}, "rows": [{"n": null}]}',
    "text": "a",
}
NO_NULL = 'it is null: default("…", true) says what to write then, and tojson writes null'
ANSWERING = {"d", "default", "json", "toJSON", "toJSONPretty", "toYAML", "tojson", "toyaml"}
"""Filters that say what is written for null."""


@pytest.mark.parametrize("filter_", sorted(Sandbox({}, Meter()).filters.keys() - ANSWERING))
def test_no_filter_takes_null_or_what_is_undefined(filter_: str) -> None:
    """One that a later Jinja2 adds has to be asked about as well."""
    assert refusal(f"{{{{ d.n | {filter_} }}}}", NULLS) == f"out: inline: line 1: {NO_NULL}"  # type: ignore[arg-type]
    assert refusal(f"{{{{ nothing | {filter_} }}}}") == "out: inline: line 1: 'nothing' is undefined"


INTO_TEXT = [
    "{} | upper",
    "{} | title",
    "{} | trim",
    "{} | e",
    "{} | forceescape",
    "{} | safe",
    "{} | center(8)",
    "{} | replace('a', 'b')",
    "text | replace('a', {})",
    "text | replace({}, 'a')",
    "text | indent({})",
    "text | truncate(1, true, {})",
    "text | replaceAll('a', {})",
    "text | split({})",
    "[text, text] | join({})",
    "{{'a': {}}} | urlencode",
    "{{'a': {}}} | items | urlencode",
    "{{'a': {}}} | xmlattr",
    "{} | pprint",
    "[{}] | map('upper') | join",
    "'%s' | format({})",
    "'%(a)s' | format(a={})",
    "'%s' % {}",
    "'%s %s' % (text, {})",
    "'%(a)s' % {{'a': {}}}",
    "'%s' % {{'a': {}}}",
    "'{{}}'.format({})",
    "'{{a}}'.format(a={})",
    "'{{a}}'.format_map({{'a': {}}})",
    "('<{{}}>' | safe).format({})",
    "('<%s>' | safe) % {}",
    "('{{}}' | attr('format'))({})",
]


@pytest.mark.parametrize("expression", INTO_TEXT)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("d.n", NO_NULL),
        ("d.list", NO_NULL),
        ("d.map", NO_NULL),
        ("nothing", "'nothing' is undefined"),
        ("[nothing]", "'nothing' is undefined"),
        ("{'a': [nothing]}", "'nothing' is undefined"),
    ],
)
def test_no_filter_and_no_format_makes_a_text_of_what_is_nothing(expression: str, value: str, reason: str) -> None:
    template = f"{{{{ {expression.format(value)} }}}}"
    assert refusal(template, NULLS) == f"out: inline: line 1: {reason}"  # type: ignore[arg-type]


def test_a_field_that_is_joined_may_not_be_null_either() -> None:
    told = refusal("{{ d.rows | join(',', attribute='n') }}", NULLS)  # type: ignore[arg-type]
    assert told == f"out: inline: line 1: {NO_NULL}"


@pytest.mark.parametrize("expression", ["'%r' % d", "'%s' % d", "'{!r}'.format(d)", "d | pprint", "[d] | upper"])
def test_a_document_as_a_whole_gets_into_no_text(expression: str) -> None:
    told = refusal(f"{{{{ {expression} }}}}", NULLS)  # type: ignore[arg-type]
    assert told.startswith("out: inline: line 1: d is a document")


@pytest.mark.parametrize(
    ("expression", "written"),
    [
        ("d.n | default('-', true)", "-"),
        ("d.n is none", "true"),
        ("d.n | tojson", "null"),
        ("d.map | toYAML", '"n": null\nb: x y'),
        ("d.list", "[1, null]"),
        ("d.list | string ~ d.list", "[1, null][1, null]"),
        ("d.list | length", "2"),
        ("d.list | reject('none') | join", "1"),
        ("d.list | reject('equalto', none) | join", "1"),
        ("d.list | map('default', '-', true) | join", "1-"),
        ("d.rows | selectattr('n', 'none') | list | length", "1"),
        ("'x' | int(none) is none", "true"),
        ("'%(host)s' % d", "h"),
        ("'%(b)s' % d.map", "x y"),
        ("'%(host)s' | format(**d)", "h"),
        ("'{host}'.format(**d)", "h"),
        ("'{host}{0[host]}'.format(d, host=1)", "1h"),
        ("'{host}'.format_map(d)", "h"),
        ("('<{}>' | safe).format('<')", "<&lt;>"),
        ("('<%s>' | safe) % '<'", "<&lt;>"),
        ("'%s' % {'a': 1}", "{'a': 1}"),
        ("'%s %%' | format(text)", "a %"),
        ("{'a': 'x y'} | items | urlencode", "a=x+y"),
        ("'x y/' | urlencode", "x%20y/"),
    ],
)
def test_null_may_be_where_it_is_not_written(expression: str, written: str) -> None:
    assert rendered(f"{{{{ {expression} }}}}", NULLS) == written


def test_values_of_a_format_come_by_place_or_by_name() -> None:
    assert "by place or by name" in refusal("{{ '%s' | format(1, a=2) }}")


def test_what_is_made_step_by_step_is_written_as_the_list_that_it_is() -> None:
    template = "{{ 'a, b'.split(',') | map('trim') | tojson }} {{ {'a': 1}.items() | tojson }}"
    assert rendered(template, LOGIN) == '["a", "b"] [["a", 1]]'


def test_no_json_is_written_that_no_reader_takes() -> None:
    assert refusal("{{ (1e308 * 10) | tojson }}") == "out: inline: line 1: JSON has no number that is infinite, or none"


def test_what_is_joined_may_be_any_value_that_has_a_text() -> None:
    template = "{{ [1, true, user] | join(',') }} {{ [{'a': user}] | join(attribute='a') }} {{ 1 | string ~ 'x' }}"
    assert rendered(template, LOGIN) == "1,true,app app 1x"


def test_null_is_written_where_that_is_meant() -> None:
    assert rendered("{{ 'null' | fromjson | tojson }}{{ 'null' | fromjson | default('-', true) }}", LOGIN) == "null-"


def test_bytes_are_refused_as_text_and_taken_as_base64() -> None:
    files: dict[str, str | bytes] = {"key": b"\xff\xfe"}
    assert rendered('{{ files_bytes["key"] | b64encode }}', files) == "//4="
    assert "key is not UTF-8 text" in refusal("{{ key }}", files)
    assert "key is not UTF-8 text" in refusal("{{ files.key }}", files)
    assert "only b64encode and sha256 take those" in refusal("{{ files_bytes.key | trimSpace }}", files)
    assert rendered("fine", files) == "fine"


def test_a_bundle_is_split_into_its_blocks() -> None:
    authority = Authority.root()
    leaf = authority.issue("web.example.com")
    files = {"tls.key": leaf.key_pem.decode().strip(), "tls.crt": leaf.pem.decode() + authority.pem.decode().strip()}
    one_line = '{{ files["tls.key"] | pem | first }}{{ files["tls.crt"] | pem | join }}'
    bundle = rendered(one_line, files)
    assert re.findall("-----BEGIN ([A-Z ]+)-----\n", bundle) == ["PRIVATE KEY", "CERTIFICATE", "CERTIFICATE"]
    assert bundle.endswith("-----END CERTIFICATE-----\n")
    assert rendered('{{ (files["tls.crt"] | pem)[1].label }}', files) == "CERTIFICATE"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("'a<b' | tojson", '"a<b"'),
        ("{'b': '<&>', 'a': [true, none]} | toJSON", '{"a":[true,null],"b":"\\u003c\\u0026\\u003e"}'),
        ("{'a': 1} | toJSONPretty", '{\n  "a": 1\n}'),
        ("{'a': {'b': ['1e3', 'x']}} | toYAML", 'a:\n  b:\n  - "1e3"\n  - x'),
        ("'x' | toyaml", "x"),
        ("'aGk=\\n' | base64Decode", "hi"),
        ("'hi' | base64Encode", "aGk="),
        ("'a.b' | replaceAll('.', '-')", "a-b"),
        ("('a,b' | split(','))[1]", "b"),
        ("'hi' | sha256Hex", "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"),
        ("' a ' | trimSpace", "a"),
        ("'a' | toUpper ~ ('B' | toLower)", "Ab"),
        ("'a\\nb' | nindent(2)", "\n  a\n  b"),
        ("'a\\nb' | indent(2, true)", "  a\n  b"),
        ("'say \"hi\"' | quote", '"say \\"hi\\""'),
        ('"it\'s" | shellquote', "'it'\"'\"'s'"),
        ("'[1, 2]' | parseJSON | last", "2"),
        ("'a: 1' | parseYAML | tojson", '{"a": 1}'),
    ],
)
def test_the_filters_that_people_know_are_there(expression: str, value: str) -> None:
    assert rendered(f"{{{{ {expression} }}}}", LOGIN) == value


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(codec="utf-8")))
def test_what_is_quoted_is_read_alike_by_json_yaml_and_toml(text: str) -> None:
    quoted = rendered("{{ value | quote }}", {"value": text})
    assert json.loads(quoted) == yaml.safe_load(quoted) == tomllib.loads(f"value = {quoted}")["value"] == text


@settings(max_examples=20, deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_what_is_quoted_for_a_shell_is_one_word(text: str) -> None:
    script = f"printf %s {rendered('{{ value | shellquote }}', {'value': text})}"
    assert subprocess.run(["sh", "-c", script], check=True, capture_output=True).stdout.decode() == text


@pytest.mark.parametrize("call", ["[1, 2, 3] | random", "lipsum()", "now()"])
def test_nothing_is_there_that_answers_something_else_each_time(call: str) -> None:
    with pytest.raises((ConfigError, RejectedError)):
        rendered(f"{{{{ {call} }}}}", LOGIN)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for i in range(10**9) %}{% endfor %}", "OverflowError"),
        ("{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}", "text"),
        ("{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", "text"),
        ("{{ 'a' * 10**10 }}", "it makes a text of more than"),
        ("{{ 10**10 * 'a' }}", "it makes a text of more than"),
        ("{{ [1] * 10**10 }}", "it makes a list of more than"),
        ("{{ 9 ** (9 ** 9) }}", "it makes a number of more than"),
        ("{% set ns = namespace(n=3) %}{% for i in range(60) %}{% set ns.n = ns.n * ns.n %}{% endfor %}", "number"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
        ("{% for i in range(90000) %}{{ 'a' * 100 }}{% endfor %}", "it makes a text of more than"),
        ("{% set x %}{% for i in range(90000) %}{{ 'a' * 100 }}{% endfor %}{% endset %}", "it makes a text of"),
        (
            "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
            "a list of",
        ),
        ("{{ '%1000000000d' % 1 }}", "it makes a text of"),
        ("{{ '%*d' % (10**9, 1) }}", "it makes a text of"),
        ("{{ '%1000000000d' | format(1) }}", "it makes a text of"),
        ("{{ '{:>1000000000}'.format(1) }}", "it makes a text of"),
        ("{{ '{:>{}}'.format(1, 10**9) }}", "it makes a text of"),
        ("{{ user | center(10**9) | length }}", "it makes a text of"),
        ("{{ [user] | map('center', 10**9) | list }}", "it makes a text of"),
        ("{{ user.center(10**9) | length }}", "it makes a text of"),
        ("{{ user.ljust(10**9) | length }}", "it makes a text of"),
        ("{{ user.zfill(10**9) | length }}", "it makes a text of"),
        ("{{ '\t'.expandtabs(10**9) | length }}", "it makes a text of"),
        ("{{ 'a\nb' | indent(10**9) | length }}", "it makes a text of"),
        ("{{ 'a\nb' | nindent(10**9) | length }}", "it makes a text of"),
        ("{{ {'a': 1} | tojson(10**9) | length }}", "it makes a text of"),
        ("{{ [1] | batch(10**9, 'x') | list | length }}", "it makes a text of"),
        ("{{ [1] | slice(10**9) | list | length }}", "it makes a text of"),
        ("{{ ('a' * 1000000) | replace('a', 'b' * 4000) | length }}", "it makes a text of"),
        ("{{ ('a' * 1000000).replace('a', 'b' * 4000) | length }}", "it makes a text of"),
        ("{{ range(100000) | join('a' * 40000) | length }}", "it makes a text of"),
        ("{{ ('a' * 40000).join(['x'] * 100000) | length }}", "it makes a text of"),
    ],
)
def test_a_template_that_grows_without_end_is_stopped(template: str, reason: str) -> None:
    assert reason in refusal(template)


def test_what_stays_small_is_made_though_it_could_have_grown() -> None:
    template = (
        "{{ user | center(5) }}|{{ 'a\n' | indent }}|{{ '%3d' % 1 }}|{{ 'a%*' | replace('%', 'p', 1) }}|{{ 7 % 4 }}"
    )
    assert rendered(template, LOGIN) == " app |a\n|  1|ap*|3"
    assert rendered("{{ '{:>4}{}'.format(user, 1) }}{{ ','.join(['a', 'b']) }}", LOGIN) == " app1a,b"


class Passing:
    """A clock on which each look takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in r %}{% for j in r %}{% endfor %}{% endfor %}",
        "{% for i in r if i > 100 %}{% endfor %}{% for i in r %}{% for j in r %}x{% endfor %}{% endfor %}",
        "{% macro f() %}{% endmacro %}{% for i in r %}{{ f() }}{% endfor %}",
    ],
)
def test_a_template_that_goes_on_for_ever_is_stopped_without_any_output(template: str) -> None:
    from refresher.render.jinja import rendered as rendered_by

    with pytest.raises(RejectedError, match="it takes more than 5 s"):
        rendered_by("t", {"t": template}, {"r": list(range(1000))}, {}, meter=Meter(clock=Passing()))


def test_a_meter_is_patient_until_its_time_is_over() -> None:
    meter = Meter(clock=Passing())
    for _ in range(6 * TICKS - 1):
        meter.tick()
    with pytest.raises(Unfit):
        meter.tick()


def check(directory: Path, text: str, **others: str) -> list[str]:
    for name, content in others.items():
        (directory / name).write_text(content)
    (directory / "a.j2").write_text(text)
    try:
        recipe({"app.yaml": Entry(template=directory / "a.j2")}, (), {})
    except ConfigError as error:
        return list(error.problems)
    return []


def test_mistakes_in_a_template_are_found_without_any_values(tmp_path: Path) -> None:
    assert check(tmp_path, "fine {{ anything }}") == []
    assert check(tmp_path, "\n{{ x | nofilter }}") == ["app.yaml: a.j2: line 2: No filter named 'nofilter'."]
    (problem,) = check(tmp_path, "\n{% if x %}")
    assert problem.startswith("app.yaml: a.j2: line 2: Unexpected end of template.")


@pytest.mark.parametrize(
    "text",
    [
        "{{ " + "(" * 2000 + "1" + ")" * 2000 + " }}",
        "{% for a in [1] %}" * 30 + "x" + "{% endfor %}" * 30,
        "{% if 1 %}" * 2000 + "{% endif %}" * 2000,
        "{{ 1" + " + 1" * 5000 + " }}",
    ],
)
def test_a_template_that_is_nested_too_deeply_is_a_mistake(tmp_path: Path, text: str) -> None:
    assert check(tmp_path, text) == ["app.yaml: a.j2: it is nested too deeply"]


def test_a_template_that_includes_itself_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "a.j2").write_text("{% include 'a.j2' %}")
    with pytest.raises(RejectedError, match=r"^out: a\.j2: line 1: RecursionError$"):
        recipe({"out": Entry(template=tmp_path / "a.j2")}, (), {}).files(inputs(LOGIN))


def test_mistakes_in_an_included_template_are_told_with_its_name(tmp_path: Path) -> None:
    assert check(tmp_path, "{% include 'b.j2' %}", **{"b.j2": "{{ x | y }}"}) == [
        "app.yaml: b.j2: line 1: No filter named 'y'."
    ]


def test_an_included_template_is_rendered_and_its_failure_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.j2").write_text("{% import 'm.j2' as m %}{{ m.twice(user) }}{% include 'b.j2' %}")
    (tmp_path / "m.j2").write_text("{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}")
    (tmp_path / "b.j2").write_text("\n{{ host }}")
    made = recipe({"out": Entry(template=tmp_path / "a.j2")}, (), {})
    assert made.files(inputs({**LOGIN, "host": "h"}))[0].content == b"appapp\nh"
    with pytest.raises(RejectedError, match=r"^out: b.j2: line 2: 'host' is undefined$"):
        made.files(inputs(LOGIN))


@pytest.mark.parametrize("name", ["missing.j2", "../outside.j2", "/etc/passwd", "link.j2", "."])
def test_nothing_is_included_that_is_not_in_the_directory(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "templates"
    inside.mkdir()
    (tmp_path / "outside.j2").write_text("outside")
    (inside / "link.j2").symlink_to("../outside.j2")
    (problem,) = check(inside, f"{{% include '{name}' %}}")
    assert problem.startswith(f"app.yaml: {inside / name}")


def test_what_is_included_has_to_be_there_also_where_it_might_be_missing(tmp_path: Path) -> None:
    (problem,) = check(tmp_path, "{% include 'b.j2' ignore missing %}")
    assert problem == f"app.yaml: {tmp_path / 'b.j2'} can't be read: No such file or directory"
    assert check(tmp_path, "{% include 'b.j2' ignore missing %}", **{"b.j2": "b"}) == []


def test_what_is_included_has_to_be_named(tmp_path: Path) -> None:
    (problem,) = check(tmp_path, "{% include user %}")
    assert problem == ("app.yaml: a.j2: a template must be named literally where it is included, imported or extended")


def test_the_templates_of_a_mounted_configmap_are_found_through_its_links(tmp_path: Path) -> None:
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..data").symlink_to("..2026")
    for name in ("a.j2", "b.j2"):
        (tmp_path / name).symlink_to(f"..data/{name}")
        (tmp_path / "..2026" / name).write_text("{% include 'b.j2' %}" if name == "a.j2" else "b")
    made = recipe({"out": Entry(template=tmp_path / "a.j2")}, (), {})
    assert made.files(inputs(LOGIN))[0].content == b"b"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(b"\xff"), "not UTF-8 text"),
        (lambda path: path.write_text("x" * 1024 * 1025), "larger than"),
        (lambda path: (path.unlink(), path.mkdir()), "is no file in"),
    ],
)
def test_a_template_that_cannot_be_read_is_told(tmp_path: Path, spoil: Callable[[Path], object], reason: str) -> None:
    path = tmp_path / "a.j2"
    path.write_text("fine")
    spoil(path)
    with pytest.raises(ConfigError, match=reason):
        recipe({"out": Entry(template=path)}, (), {})


@pytest.mark.parametrize("text", ["{% include 'a\\0b' %}", "{% import '\\0' as x %}"])
def test_a_path_that_no_file_can_have_is_told(tmp_path: Path, text: str) -> None:
    (problem,) = check(tmp_path, text)
    assert problem.endswith("can't be the path of a file")


def test_more_templates_than_anybody_needs_are_refused(tmp_path: Path) -> None:
    for number in range(101):
        (tmp_path / f"{number}.j2").write_text(f"{{% include '{number + 1}.j2' %}}" if number < 100 else "")
    with pytest.raises(ConfigError, match="more than 100 templates"):
        recipe({"out": Entry(template=tmp_path / "0.j2")}, (), {})


WITHOUT = """
import sys
sys.modules["jinja2"] = None
from refresher.errors import ConfigError
from refresher.render.entries import Entry, Form
from refresher.render.recipe import recipe
recipe({"a.env": Entry(form=Form.ENV)}, (), {})
try:
    recipe({"a.yaml": Entry(inline="x")}, (), {})
except ConfigError as error:
    print(error)
"""


def test_without_jinja_forms_work_and_a_template_says_what_to_install() -> None:
    ended = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    assert ended.stdout == "a.yaml: templates need Jinja2: pip install 'refresher[render]'\n"


def test_nobody_loads_jinja_who_has_no_template_nor_the_rest_who_renders_nothing() -> None:
    code = (
        "import sys\n"
        "from refresher.render.entries import Entry, Form\n"
        "import refresher.settings\n"
        "assert 'refresher.crew' not in sys.modules\n"
        "from refresher.render.recipe import recipe\n"
        "recipe({'a.env': Entry(form=Form.ENV)}, (), {})\n"
        "assert 'jinja2' not in sys.modules\n"
        "recipe({'a.env': Entry(inline='')}, (), {})\n"
        "assert 'jinja2' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
