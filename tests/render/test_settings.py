"""`render` in the configuration: what is read, what is refused, and what makes an asset another one."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from refresher.errors import ConfigError
from refresher.model import Asset
from refresher.render.rendering import Rendering
from refresher.settings import SharedParts, assets, load
from refresher.settings.read import read
from refresher.settings.schema import schema
from tests.fakes import acme


@pytest.fixture(autouse=True)
def _acme_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    acme.install(monkeypatch, tmp_path / "packages")


def content(render: Any, **keys: Any) -> dict[str, Any]:
    return {"assets": {"a": {"source": {"acme": {"item": "one"}}, "render": render, **keys}}}


def built(render: Any, **keys: Any) -> Asset:
    (made,) = assets(read(content(render, **keys), {}), SharedParts())
    return made


def problems(render: Any, **keys: Any) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        built(render, **keys)
    return list(raised.value.problems)


def test_an_asset_without_render_is_not_wrapped() -> None:
    assert isinstance(built({}).provider, acme.AcmeProvider)
    assert isinstance(built(None).provider, acme.AcmeProvider)


def test_a_text_alone_is_a_template_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t/app.j2").write_text("x")
    config = tmp_path / "refresher.yaml"
    config.write_text(yaml.safe_dump(content({"app.yaml": "t/app.j2", "b": {"template": str(tmp_path / "t/app.j2")}})))
    settings = load(config, {})
    assert {entry.template for entry in settings.assets["a"].render.values()} == {tmp_path / "t/app.j2"}
    (made,) = assets(settings, SharedParts())
    assert isinstance(made.provider, Rendering)


def test_a_template_that_is_not_there_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "none.j2"
    assert problems({"app.yaml": str(path), "b": {"inline": "{% if %}"}}) == [
        f"assets.a.render.app.yaml: {path} can't be read: No such file or directory",
        "assets.a.render.b: inline: line 1: Expected an expression, got 'end of statement block'",
    ]


@pytest.mark.parametrize(
    ("render", "problem"),
    [
        ({"a": {}}, "assets.a.render.a: must have exactly one of template, inline, form, copy"),
        ({"a": {"inline": "x", "copy": "y"}}, "assets.a.render.a: must have exactly one of"),
        ({"a": {"form": "toml"}}, "assets.a.render.a.form: must be one of 'env', 'docker-env'"),
        ({"a": {"frm": "env"}}, "assets.a.render.a.frm: is not a known key; did you mean 'form'?"),
        ({"a": {"copy": "x", "of": ["y"]}}, "assets.a.render.a: of does nothing without form"),
        ({"a": {"form": "env", "section": "y"}}, "assets.a.render.a: section does nothing without form: ini"),
        ({"a": {"form": "env", "env": ["A"]}}, "assets.a.render.a: env does nothing without template or inline"),
        ({"a": {"copy": "x", "trim_blocks": True}}, "trim_blocks does nothing without template or inline"),
        ({"a": {"form": "base64", "of": ["x", "y"]}}, "assets.a.render.a: of must name one file"),
        ({"a": {"copy": 1}}, "assets.a.render.a.copy: must be text"),
        ({"../a": {"copy": "x"}}, "assets.a.render.../a: the file name '../a' has a part that begins with '..'"),
        ({"/a": {"copy": "x"}}, "the file name '/a' is absolute"),
        ({"": {"copy": "x"}}, "has an empty part"),
        ({"a": {"copy": "x"}, "a/b": {"copy": "x"}}, "assets.a.render.a/b: is below another file"),
        ({"a": {"form": "ini"}}, "assets.a.render.a: form ini needs a section"),
        ({"a": 1}, "assets.a.render.a: must be"),
        (["a"], "assets.a.render: must be a mapping, found a list"),
    ],
)
def test_what_cannot_work_is_told_by_check(render: Any, problem: str) -> None:
    (told,) = problems(render)
    assert problem in told


def test_what_is_rendered_is_not_unpacked() -> None:
    assert "assets.a.unpack: does not go together with render" in problems({"a": {"copy": "x"}}, unpack=True)[0]


def test_the_source_is_another_one_with_another_template_or_option(tmp_path: Path) -> None:
    path = tmp_path / "a.j2"
    path.write_text("one {% include 'b.j2' %}")
    (tmp_path / "b.j2").write_text("b")
    entry = {"template": str(path)}
    first = built({"a": entry}).source
    assert built({"a": entry}).source == first
    others = [{"b": entry}, {"a": {**entry, "trim_blocks": True}}, {"a": {"form": "env"}}, {"a": {"form": "json"}}, {}]
    sources = [first, *(built(each).source for each in others)]
    (tmp_path / "b.j2").write_text("another b")
    sources.append(built({"a": entry}).source)
    path.write_text("two {% include 'b.j2' %}")
    sources.append(built({"a": entry}).source)
    assert len(set(sources)) == len(sources)


def test_the_source_is_another_one_with_another_value_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE", "one")
    render = {"a": {"inline": "{{ env.NODE }}", "env": ["NODE"]}}
    first = built(render).source
    monkeypatch.setenv("NODE", "two")
    assert built(render).source != first
    assert built({"a": {"inline": "x"}}).source == built({"a": {"inline": "x"}}).source


def test_what_the_provider_implies_is_no_verifier_of_what_was_made() -> None:
    plain = built({"a": {"copy": "x"}})
    assert plain.verifiers == ()
    listed = built({"a": {"copy": "x"}}, verify=[{"acme": {"level": 9}}])
    assert [check.name for check in listed.verifiers] == ["acme"]
    assert plain.checks != listed.checks


EXAMPLES = [
    {"app.yaml": "templates/app.yaml.j2", "app.env": {"form": "env", "of": ["a"]}},
    {"a": {"inline": "x", "env": ["HOSTNAME"], "trim_blocks": True, "lstrip_blocks": True}},
    {"a": {"form": "ini", "section": "client"}, "b": {"copy": "tls.crt"}},
    {"keystore.p12": {"form": "base64", "of": "keystore"}, "b": {"form": "pem", "of": ["tls.key", "tls.crt"]}},
]


@pytest.mark.parametrize("render", EXAMPLES)
def test_the_schema_knows_what_can_be_read(render: Any) -> None:
    read(content(render), {})
    assert list(Draft202012Validator(schema()).iter_errors(content(render))) == []


@pytest.mark.parametrize("render", [{"a": 1}, {"a": {"form": "toml"}}, {"a": {"frm": "env"}}, ["a"]])
def test_the_schema_refuses_what_cannot_be_read(render: Any) -> None:
    assert list(Draft202012Validator(schema()).iter_errors(content(render)))
