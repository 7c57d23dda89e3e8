import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from refresher.cli import app
from tests.test_docs import blocks

CONFIGURATION = """
volume: {volume}
defaults: {{refresh: {{every: 2m}}}}
assets:
  web: {{source: "https://example.com/web", refresh: {{every: 1m}}}}
  still: {{source: "https://example.com/still", refresh: {{every: 0s}}}}
"""


def simulate(*words: str) -> Result:
    return CliRunner().invoke(app, ["simulate", "--pods", "20", *words])


def phases(*words: str) -> dict[str, dict[str, float]]:
    """The first course's phases by their names."""
    ran = simulate("--json", *words)
    assert ran.exit_code == 0, ran.output
    return {phase["phase"]: phase for phase in json.loads(ran.stdout)[0]["phases"]}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "refresher.yaml"
    path.write_text(CONFIGURATION.format(volume=tmp_path))
    return path


def test_what_the_documentation_shows_is_what_is_printed() -> None:
    (block,) = (block for block in blocks("console") if block.text.startswith("$ refresher simulate"))
    command, shown = block.text.removeprefix("$ refresher ").split("\n", 1)
    assert CliRunner().invoke(app, command.split()).stdout == shown


def test_the_refresh_of_an_asset_or_of_all_that_say_nothing_is_the_configurations(config: Path) -> None:
    assert phases("web", "-c", str(config))["steady"]["mean"] == pytest.approx(20 / 60, rel=0.1)
    assert phases("-c", str(config))["steady"]["mean"] == pytest.approx(20 / 120, rel=0.1)
    assert phases()["steady"]["mean"] == pytest.approx(20 / 300, rel=0.1)


def test_what_has_no_interval_is_simulated_as_certificates_alone(config: Path) -> None:
    (only,) = json.loads(simulate("still", "-c", str(config), "--json").stdout)
    assert (only["course"], only["lifetime"], only["expired"]) == ("certificates", 86400, 0)


def test_json_says_null_where_nobody_asked_in_the_steady_phase() -> None:
    ran = simulate("--json", "--lifetime", "1s", "--pods", "10")
    certificates = json.loads(ran.stdout, parse_constant=pytest.fail)[1]
    assert certificates["chance"] is None
    assert {phase["times_steady"] for phase in certificates["phases"]} == {None}


def test_certificates_of_a_year_are_simulated_in_little_memory() -> None:
    """Their course has a hundred million seconds, in hardly any of which somebody asks."""
    code = (
        "import resource, sys; from refresher.cli import app\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        "app(['simulate', '--pods', '5', '--lifetime', '365d'])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Nobody's certificate expired." in ran.stdout


def test_expired_certificates_are_counted_in_words(config: Path) -> None:
    ran = simulate("still", "-c", str(config), "--lifetime", "1h", "--outage", "1h", "--pods", "3")
    assert "3 pods had an expired certificate, for " in ran.stdout


def test_a_source_that_is_too_small_refuses_a_deployment() -> None:
    assert phases("--capacity", "5", "--rollout", "0s")["deployment"]["failed"] >= 15


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pods", "0"], "greater than or equal to 1"),
        (["--capacity", "0"], "greater than or equal to 1"),
        (["--outage", "5"], "Invalid value for '--outage'"),
        (["--outage", "3651d"], "at most 3650d"),
        (["--picture", "fleet.pdf"], "fleet.pdf has to end in .svg or .png"),
        (["web", "-c", "missing.yaml"], "missing.yaml"),
        (["still", "-c", "{config}", "--lifetime", "0s"], "there is nothing to simulate"),
        (["other", "-c", "{config}"], "no such asset: other"),
    ],
)
def test_what_can_not_be_simulated_is_said_and_nothing_is_printed(words: list[str], said: str, config: Path) -> None:
    ran = simulate(*[word.format(config=config) for word in words])
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert said in ran.stderr


def test_a_picture_is_drawn_and_the_same_each_time(tmp_path: Path) -> None:
    drawn = []
    for name in ("one.svg", "other.svg"):
        assert simulate("--picture", str(tmp_path / name)).exit_code == 0
        drawn.append((tmp_path / name).read_bytes())
    assert drawn[0] == drawn[1]
    assert all(text in drawn[0].decode() for text in ("20 pods, values", "20 pods, certificates", "come-back"))


def test_a_picture_that_can_not_be_written_is_an_error_after_the_figures(tmp_path: Path) -> None:
    ran = simulate("--picture", str(tmp_path / "missing" / "fleet.png"))
    assert ran.exit_code == 1
    assert "No such file or directory" in ran.stderr
    assert "20 pods, certificates" in ran.stdout


def test_without_matplotlib_a_picture_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ran = simulate("--picture", "fleet.svg")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "pip install 'refresher[simulate]'" in ran.stderr
