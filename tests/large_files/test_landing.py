"""How files come: side by side, within their limits and those of the machine."""

import os
import resource
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from refresher.contract import InlineFile
from refresher.errors import PermanentError, RejectedError
from refresher.model import Limits, Result
from refresher.place import opened
from tests.fakes.models import MiB, Model, Models, Stream, Unmeasured
from tests.fakes.source import Judge, Source, asset
from tests.large_files.assets import ONE, THREE, refresh, web


@pytest.mark.parametrize("revision", [None, 5])
def test_a_plugin_s_own_idea_of_a_revision_is_none(tmp_path: Path, revision: object) -> None:
    the = web(tmp_path, [Model("m", ONE, revision=revision)])  # type: ignore[arg-type]
    assert refresh(the).result is Result.PUBLISHED
    with opened(the) as place:
        assert place.current() is not None


def test_a_source_that_never_stops_is_stopped_where_it_promised_to(tmp_path: Path) -> None:
    class Endless(Model):
        size = MiB  # type: ignore[assignment]

        def open(self, offset: int = 0) -> Stream:
            return self._open(offset, len(self.content))

    endless = Endless("m", ONE)
    assert "were promised" in str(refresh(web(tmp_path, [endless])).error)
    assert endless.moved <= 4 * MiB


def test_few_descriptors_are_enough_for_many_files(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 100, limits[1]))
    try:
        outcome = refresh(web(tmp_path, [Model(str(number), b"x") for number in range(300)]))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert outcome.result is Result.PUBLISHED, outcome.error


def test_other_files_are_landed_side_by_side_and_the_first_failure_ends_it(tmp_path: Path) -> None:
    files = [Model(str(number), ONE, delay=0.02) for number in range(4)]
    bad = Model("bad", ONE, trouble=PermanentError("no such file"))
    the = web(tmp_path, [files[0], bad, *files[1:]])
    assert refresh(the).error == "no such file"
    assert sum(model.moved for model in files) < 4 * len(ONE)
    assert all(model.at_once == 0 for model in files)


def test_the_total_is_limited_however_files_come(tmp_path: Path) -> None:
    the = web(tmp_path, [Unmeasured(str(number), THREE) for number in range(5)], limits=Limits(total=3 * MiB))
    outcome = refresh(the)
    assert outcome.result is Result.REJECTED
    assert "limits.total" in str(outcome.error)


def test_what_comes_with_the_answer_needs_no_threads(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    seen: list[set[threading.Thread]] = []

    class Counting(InlineFile):
        def open(self, offset: int = 0):  # type: ignore[no-untyped-def]
            seen.append(set(threading.enumerate()) - before)
            return super().open(offset)

    the = web(tmp_path, [Counting(str(number), b"x") for number in range(5)])  # type: ignore[list-item]
    assert refresh(the).result is Result.PUBLISHED
    assert seen == [set()] * 5


def test_a_rejected_lesson_is_learnt_once(tmp_path: Path) -> None:
    the = replace(
        asset(tmp_path, Source(), judge=Judge(trouble=RejectedError("bad"))), provider=Models([Model("m", ONE)])
    )
    refresh(the)
    with opened(the) as place:
        assert len(place.store.ledger().refused) == 1
