"""A configuration that is read again: what is made of it, and what is said of one that doesn't work."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from refresher.errors import ConfigError
from refresher.reload import SHOWN, ConfigurationFile, Reload
from refresher.settings import Assembly, Settings, SharedParts, assemble, load
from refresher.settings.assembly import named_files
from tests.fakes.source import NOON, Time
from tests.waiting import until

GOOD = "assets: {web: {source: 'https://example.com/one'}}\n"


class Running:
    """A file, what runs of it, and what was handed on."""

    def __init__(self, directory: Path) -> None:
        self.path, self.clock = directory / "refresher.yaml", Time()
        self.path.write_text(GOOD)
        self.trouble: Exception | None = None
        self.changes: list[tuple[Assembly, Assembly]] = []
        self.again = 0
        self.reload = self.started()

    def started(self) -> Reload:
        """As a process makes it, of the file as it is now."""
        file, shared = ConfigurationFile(self.path, self.load), SharedParts()
        return Reload(
            file,
            assemble(file.read(), shared),
            shared=shared,
            clock=self.clock,
            change=lambda before, after: self.changes.append((before, after)),
            again=self.called,
        )

    def load(self) -> Settings:
        if self.trouble:
            raise self.trouble
        return load(self.path, {})

    def called(self) -> None:
        self.again += 1


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    yield made
    made.reload.stop()


def test_what_works_is_handed_on_and_its_moment_is_kept(running: Running) -> None:
    running.clock.passes(minutes=5)
    running.path.write_text(GOOD.replace("one", "two"))
    running.reload.read()
    ((before, after),) = running.changes
    assert before.assets["web"] is not after.assets["web"]
    assert running.reload.state.valid
    assert running.reload.state.loaded_at == running.clock()


def test_what_does_not_work_is_handed_on_to_nobody_and_said_once_for_each_content(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    running.clock.passes(minutes=5)
    for content in ("a: 1\n", "a: 1\n", "b: 1\n", GOOD, "b: 1\n"):
        running.path.write_text(content)
        running.reload.read()
    assert len(running.changes) == 1
    assert [record.levelno for record in caplog.records if "doesn't work" in record.message] == [logging.ERROR] * 3
    assert running.reload.state.problems[0].startswith(("assets: is missing", "b: is not a known key"))


def test_a_file_with_many_mistakes_shows_some_of_them_and_how_many_more(running: Running) -> None:
    running.trouble = ConfigError(*(f"key {number}: is wrong" for number in range(SHOWN + 7)))
    running.reload.read()
    assert running.reload.state.problems[-1] == "and 7 more"
    assert len(running.reload.state.problems) == SHOWN + 1
    assert running.reload.state.loaded_at == NOON


def test_a_plugin_s_bug_keeps_what_runs_and_its_text_to_itself(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    running.trouble = ValueError("hunter2")
    running.reload.read()
    assert "unexpected ValueError" in running.reload.state.problems[0]
    assert running.changes == []
    assert "hunter2" not in caplog.text + str(running.reload.state)


def test_what_changed_while_it_started_is_read(running: Running) -> None:
    running.path.write_text(GOOD.replace("one", "three"))
    running.reload.start()
    assert running.again == 1


def test_what_did_not_change_while_it_started_is_not_read_again(running: Running) -> None:
    running.reload.start()
    assert running.again == 0


def test_a_template_that_changed_while_it_started_is_read(running: Running) -> None:
    template = running.path.with_name("app.j2")
    template.write_text("one")
    running.path.write_text(GOOD.replace("'}", "', render: {app: app.j2}}"))
    running.reload = running.started()
    template.write_text("two")
    running.reload.start()
    assert running.again == 1


def test_what_counts_from_the_next_restart_on_is_named_until_it_is_as_it_was(running: Running) -> None:
    running.path.write_text(GOOD + "control: {hosts: [web]}\nprobes: {listen: off}\n")
    running.reload.read()
    assert running.reload.state.restart_needed == ("control.hosts", "probes.listen")
    running.path.write_text(GOOD)
    running.reload.read()
    assert running.reload.state.restart_needed == ()


def test_what_comes_and_goes_beside_a_template_is_no_change_and_what_it_includes_is_one(
    running: Running, tmp_path: Path
) -> None:
    """The sidecar's own log, say: each line would have the configuration read, which is said in one line more."""
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "a.j2").write_text("{% include 'b.j2' %}")
    (templates / "b.j2").write_text("one")
    render = "render: {a: {template: templates/a.j2}}"
    running.path.write_text(GOOD.replace("'}", f"', {render}}}"))
    running.reload.read()
    assert named_files(running.reload.running.settings) == {templates / "a.j2", templates / "b.j2"}
    (templates / "sidecar.log").write_text("a line")
    (templates / "b.j2").write_text("another")
    until(lambda: running.again)
    (templates / "b.j2").unlink()
    assert named_files(running.reload.running.settings) == {templates / "a.j2", templates / "b.j2"}
