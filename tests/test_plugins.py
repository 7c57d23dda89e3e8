from pathlib import Path

import pytest

from refresher.abilities import ImplyingVerifiers, Watched
from refresher.errors import ConfigError
from refresher.plugins import Kind, as_from_url, as_sharing, installed, plugin
from tests.fakes import acme


def test_a_third_partys_plugin_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    acme.install(monkeypatch, tmp_path)
    assert plugin(Kind.PROVIDER, "acme") is acme.AcmeProvider
    assert plugin(Kind.VERIFIER, "acme") is acme.AcmeVerifier
    assert plugin(Kind.NOTIFIER, "acme") is acme.AcmeNotifier


def test_the_built_in_plugins_come_through_the_same_door() -> None:
    assert {"vault", "s3", "http", "file"} <= set(installed(Kind.PROVIDER))
    assert {"certificate", "checksums", "document", "signature"} <= set(installed(Kind.VERIFIER))


def test_an_unknown_name_is_answered_with_the_names_that_there_are() -> None:
    with pytest.raises(ConfigError) as raised:
        plugin(Kind.PROVIDER, "vautl")
    assert "no provider 'vautl'; did you mean 'vault'? installed are: " in str(raised.value)
    assert all(name in str(raised.value) for name in installed(Kind.PROVIDER))


def test_a_plugin_that_cannot_be_imported_is_told_with_its_package_and_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken_acme.py").write_text("import a_library_that_is_not_there\n")
    acme.install(monkeypatch, tmp_path, {"providers": {"broken": "broken_acme:Provider"}})
    with pytest.raises(
        ConfigError, match=r"'broken' of package acme-\d+ can't be imported: ModuleNotFoundError: No mod"
    ):
        plugin(Kind.PROVIDER, "broken")


def test_what_is_not_named_is_not_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "exploding_acme.py").write_text("raise RuntimeError('imported')\n")
    acme.install(monkeypatch, tmp_path, {"providers": {"exploding": "exploding_acme:Provider"}})
    assert "exploding" in installed(Kind.PROVIDER)


def test_a_class_without_options_is_no_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    acme.install(monkeypatch, tmp_path, {"verifiers": {"odd": "tests.fakes.acme:Pool"}})
    with pytest.raises(ConfigError, match="must be a class with an Options model"):
        plugin(Kind.VERIFIER, "odd")


def test_one_name_from_two_packages_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for number, value in enumerate(("AcmeVerifier", "Pool")):
        (tmp_path / str(number)).mkdir()
        acme.install(monkeypatch, tmp_path / str(number), {"verifiers": {"twin": f"tests.fakes.acme:{value}"}})
    with pytest.raises(ConfigError, match=r"'twin' comes from several packages \(acme-\d+, acme-\d+\)"):
        plugin(Kind.VERIFIER, "twin")


def test_optional_abilities_are_seen_where_they_are() -> None:
    assert as_from_url(acme.AcmeProvider)
    assert as_sharing(acme.AcmeProvider)
    shared = acme.AcmeProvider(acme.AcmeOptions(item="one"), shared=acme.Pool())
    assert isinstance(shared, ImplyingVerifiers)
    assert isinstance(shared, Watched)
    assert not isinstance(acme.PlainProvider(acme.PlainProvider.Options()), ImplyingVerifiers | Watched)
    assert as_from_url(acme.PlainProvider) is None
    assert as_sharing(acme.PlainProvider) is None
