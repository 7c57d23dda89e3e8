import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from refresher.errors import TransientError
from refresher.notifiers.signal import Process, SignalNotifier, SignalOptions
from tests.fakes.changes import change

APP = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP, signal.SIGUSR1])
print("ready", flush=True)
print(signal.Signals(signal.sigwait([signal.SIGHUP, signal.SIGUSR1])).name, flush=True)
"""
MASTER = f"""
import os, subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", {APP!r}, *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
worker.stdout.readline()
{APP}
signal.sigwait([signal.SIGUSR1])
worker.send_signal(signal.SIGUSR1)
print(worker.communicate()[0].strip(), flush=True)
"""
NAMED = "import ctypes; ctypes.CDLL(None).prctl(15, b{name!r})\n" + APP


@pytest.fixture
def token() -> str:
    """Something that only this test's processes have in their command line."""
    return uuid.uuid4().hex


@contextlib.contextmanager
def running(token: str, program: str = APP) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", program, token]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.kill()


def said(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def notifier(process: str, **options: object) -> SignalNotifier:
    return SignalNotifier(SignalOptions.model_validate({"process": process, **options}))


@pytest.mark.parametrize(
    ("options", "name"), [({}, "SIGHUP"), ({"signal": "USR1"}, "SIGUSR1"), ({"signal": "sigusr1"}, "SIGUSR1")]
)
def test_a_process_is_found_by_its_command_line(token: str, options: dict[str, str], name: str) -> None:
    with running(token) as child:
        notifier(f"*{token}", **options).notify(change())
        assert said(child) == name


def test_a_process_is_found_by_its_name(token: str) -> None:
    with running("x", NAMED.format(name=token[:12])) as child:
        notifier(token[:12]).notify(change())
        assert said(child) == "SIGHUP"


def test_the_pattern_fits_the_whole_command_line(token: str) -> None:
    with running(token), pytest.raises(TransientError, match=f"no process fits '{token}'"):
        notifier(token).notify(change())


def test_a_master_is_told_and_not_its_workers(token: str) -> None:
    with running(token, MASTER) as master:
        notifier(f"*{token}").notify(change())
        assert said(master) == "SIGHUP"
        master.send_signal(signal.SIGUSR1)
        assert said(master) == "SIGUSR1", "the worker had got no other signal before"


def test_every_independent_process_that_fits_is_told(token: str) -> None:
    with running(token) as one, running(token) as other:
        notifier(f"*{token}").notify(change())
        assert (said(one), said(other)) == ("SIGHUP", "SIGHUP")


def test_nobody_there_is_tried_again(token: str) -> None:
    with pytest.raises(TransientError, match="so none got the signal HUP"):
        notifier(token).notify(change())


def test_a_process_that_has_ended_is_nobody(token: str) -> None:
    with running("x", NAMED.format(name=token[:12])) as child:
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(TransientError, match="no process fits"):
            notifier(token[:12]).notify(change())


def test_a_pid_file_chooses_among_those_that_fit(tmp_path: Path, token: str) -> None:
    pid_file = tmp_path / "app.pid"
    with running(token) as one, running(token) as other:
        told = notifier(f"*{token}", pid_file=str(pid_file))
        pid_file.write_text(f"{other.pid}\n/var/lib/app\n")
        told.notify(change())
        assert said(other) == "SIGHUP"
        pid_file.write_text(str(one.pid))
        told.notify(change())
        assert said(one) == "SIGHUP"


def test_a_stale_pid_file_is_not_believed(tmp_path: Path, token: str) -> None:
    pid_file = tmp_path / "app.pid"
    told = notifier("nothing-*", pid_file=str(pid_file))
    with running(token) as child:
        pid_file.write_text(str(child.pid))
        with pytest.raises(TransientError, match=rf"names process {child.pid}, which does not fit 'nothing-\*'"):
            told.notify(change())
        assert child.poll() is None
    with pytest.raises(TransientError, match="does not fit"):
        told.notify(change())


@pytest.mark.parametrize("content", ["", "0", "1", "-1", "-7", "12x", "\u0663", "1" * 100])
def test_a_pid_file_without_a_sensible_number_is_not_believed(tmp_path: Path, content: str) -> None:
    (tmp_path / "app.pid").write_text(content)
    with pytest.raises(TransientError, match=r"does not begin with a process number above 1|does not fit"):
        notifier("*", signal="CONT", pid_file=str(tmp_path / "app.pid")).notify(change())


def test_a_missing_pid_file_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match=r"app\.pid can't be read: No such file"):
        notifier("*", pid_file=str(tmp_path / "app.pid")).notify(change())


def test_it_never_tells_itself(tmp_path: Path) -> None:
    (tmp_path / "own.pid").write_text(str(os.getpid()))
    with pytest.raises(TransientError, match="does not fit"):
        notifier("*", signal="CONT", pid_file=str(tmp_path / "own.pid")).notify(change())


def test_it_never_tells_pid_1() -> None:
    first = Process.read(1)
    assert first is not None
    assert first.command_line
    with pytest.raises(TransientError, match="no process fits"):
        notifier(first.command_line.replace("[", "[[]"), signal="CONT").notify(change())


def test_a_name_with_parentheses_is_read_whole(token: str) -> None:
    with running(token, NAMED.format(name="a) S 1 (b")) as child:
        process = Process.read(child.pid)
    assert process is not None
    assert (process.name, process.parent) == ("a) S 1 (b", os.getpid())


@pytest.mark.parametrize("options", [{}, {"process": ""}, {"process": "x", "signal": "HUPP"}, {"pid_file": "/run/x"}])
def test_options_that_cannot_work_are_configuration_errors(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SignalOptions.model_validate(options)


def test_hup_is_what_is_sent_unless_something_else_is_wanted() -> None:
    assert SignalOptions(process="x").signal == "HUP"
