"""Readers that never rest see whole files, and whole generations if they open the directory once."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from refresher import cycle
from refresher.model import LayoutName, Publish, Result, Wish
from tests.crash.readers import BEGUN, content
from tests.fakes.source import Source, asset

PUBLISHES = int(os.environ.get("READER_PUBLISHES", "200"))
MANY = [f"part-{number:02d}" for number in range(20)]
PAIR = ["tls.crt", "tls.key"]
CASES = [
    *((layout, names) for layout in LayoutName if layout is not LayoutName.FILE for names in (MANY, PAIR)),
    (LayoutName.FILE, ["app.conf"]),
]
KINDS = {
    LayoutName.KUBERNETES: ["path", "data"],
    LayoutName.LINK: ["path", "directory"],
    LayoutName.FILE: ["path"],
    LayoutName.VERSIONS: ["version"],
}


def reader(kind: str, root: Path, names: list[str]) -> "subprocess.Popen[str]":
    """One that reads already: however long it takes to start, it sees all that is published from now on."""
    command = [sys.executable, "-m", "tests.crash.readers", kind, str(root), *names]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == f"{BEGUN}\n"
    return process


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize(("layout", "names"), CASES)
def test_readers_see_nothing_torn_nothing_missing_and_one_generation(
    tmp_path: Path, layout: LayoutName, names: list[str]
) -> None:
    web = asset(tmp_path, Source(), publish=Publish(layout=layout, grace=timedelta(seconds=5)))

    def publish(number: int) -> None:
        source = Source(files=dict.fromkeys(names, content(number)), revision=str(number))
        assert (
            cycle.refresh(replace(web, provider=source), wish=Wish.RENEW, clock=now).outcome.result is Result.PUBLISHED
        )
        cycle.tidy(web, clock=now)

    publish(0)
    with ExitStack() as stack:
        readers = {kind: stack.enter_context(reader(kind, web.directory, names)) for kind in KINDS[layout]}
        for number in range(1, PUBLISHES):
            publish(number)
        saw = {kind: json.loads(process.communicate()[0]) for kind, process in readers.items()}
    print(f"{layout}, {len(names)} files, {PUBLISHES} publishes: {saw}")
    for kind, counts in saw.items():
        assert (counts["torn"], counts["missing"]) == (0, 0), saw
        assert counts["mixed"] == 0 or kind == "path", saw
        assert counts["generations"] > 5, saw
