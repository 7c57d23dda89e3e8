"""Whoever should read the log and doesn't: the work that it is about goes on."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.journeys.sidecar import Sidecar
from tests.waiting import until

SMALLEST = 4096
"""Bytes of a pipe: a dozen lines."""


@contextmanager
def logging_into_a_pipe(directory: Path) -> Iterator[tuple[Sidecar, int]]:
    """A sidecar that keeps one file, and the end of the pipe that its log can be read from."""
    (directory / "source").mkdir()
    (directory / "source/one").write_text("0")
    asset = {"source": {"file": {"path": str(directory / "source/one")}}, "refresh": {"every": "200ms"}}
    sidecar = Sidecar(directory, {"assets": {"one": asset}}, {})
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, SMALLEST)
    argv = [sys.executable, "-m", "refresher", "run", "-c", str(sidecar.config)]
    sidecar.process = subprocess.Popen(argv, stderr=theirs, env=sidecar.environment_of_process())
    os.close(theirs)
    try:
        until(sidecar.answers, within=60)
        until((sidecar.volume / "one/one").exists)
        yield sidecar, ours
    finally:
        sidecar.process.kill()
        sidecar.process.wait()


def published(sidecar: Sidecar, number: int) -> None:
    (sidecar.directory / "source/one").write_text(str(number))
    until(lambda: (sidecar.volume / "one/one").read_text() == str(number), within=30)


def test_a_pipe_that_nobody_reads_holds_up_no_refresh_and_later_tells_what_is_missing(tmp_path: Path) -> None:
    with logging_into_a_pipe(tmp_path) as (sidecar, ours):
        for number in range(1, 20):
            published(sidecar, number)
        log, number = b"", 20
        while b"nobody read the log" not in log:
            log += os.read(ours, SMALLEST)
            published(sidecar, number)
            number += 1
            assert number < 30
        os.close(ours)
    lines = [json.loads(line) for line in log.splitlines()]
    (missing,) = [line["left_out"] for line in lines if line["message"].startswith("nobody read the log")]
    assert missing > 10
    before = [line["generation"] for line in lines if line.get("result") == "published"]
    assert before == sorted(before)


def test_a_log_whose_reader_is_gone_is_no_trouble(tmp_path: Path) -> None:
    with logging_into_a_pipe(tmp_path) as (sidecar, ours):
        os.close(ours)
        for number in range(1, 4):
            published(sidecar, number)
        assert sidecar.stop() == 0
