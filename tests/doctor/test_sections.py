"""What is examined of an asset."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from refresher import cycle
from refresher.abilities import Observation, Verdict
from refresher.contract import Change
from refresher.doctor import examination_document, examine
from refresher.model import Asset, Wish
from refresher.settings.read import read
from tests.fakes.source import App, Source, Time, asset


@dataclass
class Window(App):
    """An app that can be looked at."""

    looks: list[Change | None] = field(default_factory=list)

    def diagnose(self, change: Change | None) -> Iterator[Observation]:
        self.looks.append(change)
        yield Observation.ok("window", "open")


def section(web: Asset, title: str) -> list[str]:
    """The verdicts of one section."""
    settings = read({"assets": {"web": {"source": "file:///source"}}, "control": {"listen": "off"}}, {})
    document = examination_document(examine(settings, [web], clock=Time()))
    (found,) = [each for each in document["sections"] if each["section"] == title]
    return [finding["verdict"] for finding in found["findings"]]


def test_an_app_is_looked_at_with_what_it_would_be_told_and_told_nothing(tmp_path: Path) -> None:
    app = Window()
    web = asset(tmp_path, Source(), app=app)
    assert section(web, "notify app") == [Verdict.OK]
    cycle.refresh(web, wish=Wish.RENEW, clock=Time())
    assert section(web, "notify app") == [Verdict.OK]
    before, after = app.looks
    assert before is None
    assert after is not None
    assert (after.generation, after.path) == (1, tmp_path / "web")
    assert app.heard == []


def test_an_app_is_looked_at_even_if_the_volume_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "web").write_text("a file")
    app = Window()
    web = asset(tmp_path, Source(), app=app)
    assert section(web, "notify app") == [Verdict.OK]
    assert Verdict.FAIL in section(web, "volume")
    assert app.looks == [None, None]


def test_a_notifier_that_cannot_look_is_skipped(tmp_path: Path) -> None:
    assert section(asset(tmp_path, Source(), app=App()), "notify app") == [Verdict.SKIPPED]
