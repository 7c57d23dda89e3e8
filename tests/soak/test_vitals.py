import os
import tempfile
from contextlib import ExitStack

import pytest

from tests.soak.vitals import Sample, Vitals, course


def test_what_grows_rises_and_what_only_varies_does_not() -> None:
    moments = [float(second) for second in range(100)]
    assert course(moments, [100 + second / 10 for second in moments]).rise == pytest.approx(9.9)
    assert course(moments, [100 + second % 2 for second in moments]).rise == pytest.approx(0, abs=0.1)


def test_what_a_process_opens_and_takes_is_seen() -> None:
    vitals = Vitals(os.getpid())
    vitals.take()
    with ExitStack() as files:
        for _ in range(10):
            files.enter_context(tempfile.TemporaryFile())
        taken = b"x" * 64 * 1024 * 1024
        vitals.take()
    before, after = vitals.samples
    assert after.descriptors - before.descriptors == 10
    assert 50 < after.memory - before.memory < 80, len(taken)


def test_a_course_leaves_out_the_warm_up() -> None:
    vitals = Vitals(os.getpid())
    vitals.samples = [Sample(at=float(at), memory=min(at, 5), descriptors=1, threads=1) for at in range(15)]
    assert vitals.course("memory", warm_up=1 / 3).rise == 0
    assert vitals.course("memory", warm_up=0).rise > 3
    assert vitals.by_fifths("memory") == "1.0 4.0 5.0 5.0 5.0"
