"""The secrets and files that options lead to."""

from pathlib import Path
from typing import Any

import pytest

from refresher.abilities import Observation, Verdict
from refresher.doctor.files import files
from refresher.settings.read import read


def found(**asset: Any) -> list[Observation]:
    settings = read({"assets": {"web": asset}}, {})
    return list(files(settings.assets["web"]))


def test_a_secret_that_is_missing_fails_and_one_that_is_there_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_TOKEN", "opensesame")
    source = {"http": {"url": "https://host/x", "token": {"file": str(tmp_path / "none")}}}
    notify = [{"http": {"url": "http://127.0.0.1/x", "headers": {"Authorization": {"env": "APP_TOKEN"}}}}]
    missing, there = found(source=source, notify=notify)
    assert (missing.of, missing.verdict) == ("secret", Verdict.FAIL)
    assert (there.seen, there.verdict) == ("environment variable APP_TOKEN can be read", Verdict.OK)
    assert "opensesame" not in str(there)


def test_the_files_of_a_login_and_of_a_check_are_looked_at_once_each(tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_text("roots")
    auth = {"kubernetes": {"role": "web", "token_file": str(tmp_path / "none")}}
    source = {"vault": {"address": "https://v", "path": "pki/issue/web", "auth": auth, "ca_file": str(roots)}}
    seen = found(source=source, verify=[{"certificate": {"trust": {"file": str(roots)}}}])
    assert [(each.seen, each.verdict) for each in seen] == [
        (f"{roots} can be read", Verdict.OK),
        (f"{tmp_path / 'none'} is not there", Verdict.FAIL),
    ]


def test_places_to_write_and_files_of_the_apps_own_are_not_among_them(tmp_path: Path) -> None:
    notify = [{"marker": {"path": str(tmp_path / "m.json")}}, {"signal": {"process": "x", "pid_file": "/none"}}]
    (only,) = found(source="file:///source", notify=notify)
    assert only.verdict is Verdict.OK
