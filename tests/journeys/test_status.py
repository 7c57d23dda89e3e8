"""`refresher status` on a terminal, and where none is."""

from pathlib import Path

import pytest

from tests.journeys.sidecar import running
from tests.journeys.terminal import on_terminal
from tests.waiting import until


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_what_is_wrong_is_coloured_on_a_terminal_that_wants_it(
    tmp_path: Path, environment: dict[str, str], coloured: bool
) -> None:
    (tmp_path / "flags.json").write_text("{}")
    assets = {"flags": {"source": f"file://{tmp_path}/flags.json"}, "gone": {"source": "file:///nowhere"}}
    with running(tmp_path, {"assets": assets}) as sidecar:
        until(lambda: sidecar.state("flags")["generation"] and sidecar.state("gone")["result"])
        argv = ("-m", "refresher", "status", "-c", str(sidecar.config))
        with on_terminal(*argv, environment=sidecar.environment_of_process(), **environment) as terminal:
            assert terminal.ended() == 0
        lines = terminal.written.splitlines()
        assert lines[1].startswith("\x1b[31m✗ gone" if coloured else "✗ gone")
        assert lines[2].startswith("✓ flags  fresh")
        assert "\x1b" not in sidecar.command("status").stdout
