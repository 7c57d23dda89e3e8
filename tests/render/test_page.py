"""What docs/rendering.md says is so."""

import re
from pathlib import Path

import pytest
import yaml

from refresher.render.entries import Form
from refresher.render.filters import FILTERS
from tests.certificates import Authority
from tests.render.making import rendered

PAGE = (Path(__file__).parents[2] / "docs/rendering.md").read_text()
TEXT = re.sub(r"^```.*?^```$", "", PAGE, flags=re.M | re.S).replace("\\|", "|")


def named_in_table(head: str) -> set[str]:
    """What stands in backquotes in the first column of a table, without its arguments."""
    (table,) = re.findall(rf"^\| {head} \|.*?\n\n", PAGE, flags=re.M | re.S)
    return {name for row in re.findall(r"^\| (`.*?) \|", table, flags=re.M) for name in re.findall(r"`([\w-]+)", row)}


def test_the_template_that_is_shown_makes_yaml_of_what_it_is_given() -> None:
    (template,) = re.findall(r"^```jinja template\n(.*?)^```$", PAGE, flags=re.M | re.S)
    made = yaml.safe_load(rendered(template, {"DB_USER": "app", "DB_PASSWORD": 'a"b: c'}, env=("LOG_LEVEL",)))
    assert made == {"database": {"user": "app", "password": 'a"b: c', "port": 5432}, "log": "info"}


def test_each_expression_that_is_shown_can_be_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTNAME", "pod-1")
    leaf = Authority.root().issue("web.example.com").pem
    files = {"password": "p", "DB_USER": "u", "tls.crt": leaf, "keystore.p12": b"\xff", "config.json": '{"port": 1}'}
    expressions = set(re.findall(r"{{.*?}}", TEXT)) - set(of_several_sources())
    assert len(expressions) > 6
    for expression in expressions:
        assert rendered(expression, files, env=("HOSTNAME",))


def test_each_expression_with_several_sources_can_be_rendered() -> None:
    files = {"db/password": "p", "web-tls/tls.crt": "t", "db/data.json": '{"port": 1}'}
    for expression in of_several_sources():
        assert rendered(expression, files, ("db", "web-tls"))


def of_several_sources() -> list[str]:
    (table,) = re.findall(r"^\| with several sources, .*?\n\n", TEXT, flags=re.M | re.S)
    return re.findall(r"{{.*?}}", table)


def test_every_filter_that_there_is_is_documented_and_no_other() -> None:
    assert named_in_table("filter") == set(FILTERS)


def test_every_form_that_there_is_is_documented_and_no_other() -> None:
    assert named_in_table("form") == set(Form)
