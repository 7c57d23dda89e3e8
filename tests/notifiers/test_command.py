import os
import signal
import sys
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from refresher.errors import RejectedError, TransientError
from refresher.notifiers.command import CommandNotifier, CommandOptions
from tests.fakes.changes import change
from tests.waiting import until


def notifier(*argv: str, **options: object) -> CommandNotifier:
    return CommandNotifier(CommandOptions.model_validate({"argv": argv, **options}))


def shell(script: str, **options: object) -> CommandNotifier:
    return notifier("/bin/sh", "-c", script, **options)


def test_a_command_that_ends_well_has_heard(tmp_path: Path) -> None:
    notifier("touch", str(tmp_path / "told")).notify(change())
    assert (tmp_path / "told").exists()


def test_65_refuses_the_generation() -> None:
    with pytest.raises(RejectedError) as refused:
        shell("echo 'no such   key'; echo also >&2; exit 65").notify(change())
    assert str(refused.value) == "/bin/sh exited with 65: no such key also"


@pytest.mark.parametrize(
    ("script", "said"), [("exit 1", "/bin/sh exited with 1"), ("kill -9 $$", "/bin/sh was ended by signal 9")]
)
def test_any_other_end_is_tried_again(script: str, said: str) -> None:
    with pytest.raises(TransientError) as failed:
        shell(script).notify(change())
    assert str(failed.value) == said


def test_there_is_no_shell(tmp_path: Path) -> None:
    notifier("touch", f"{tmp_path}/$(id)").notify(change())
    assert os.listdir(tmp_path) == ["$(id)"]


def test_a_command_that_is_not_there_is_tried_again() -> None:
    with pytest.raises(TransientError, match="/no/such can't be started: No such file or directory"):
        notifier("/no/such").notify(change())


def test_an_argument_that_cannot_be_one_is_tried_again() -> None:
    with pytest.raises(TransientError, match="true can't be started: ValueError"):
        notifier("true", "\0").notify(change())


def test_the_environment_is_the_change_and_what_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VAULT_TOKEN", "NAMED"):
        monkeypatch.setenv(name, name.lower())
    shell(f"env > {tmp_path}/env", env=["NAMED", "NOT_THERE"]).notify(change())
    seen = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert {name: value for name, value in seen.items() if name not in ("PWD", "SHLVL", "_", "OLDPWD")} == {
        "PATH": os.environ["PATH"],
        "NAMED": "named",
        "REFRESHER_ASSET": "web-tls",
        "REFRESHER_GENERATION": "7",
        "REFRESHER_CAUSE": "published",
        "REFRESHER_REVISION": "3a:91",
        "REFRESHER_DIGEST": "sha256:aa",
        "REFRESHER_PATH": "/shared/tls",
    }


def test_what_a_command_writes_is_shown_without_the_values_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "s3cret-word")
    with pytest.raises(TransientError) as failed:
        shell('echo "psql: no such user, $PGPASSWORD"; exit 1', env=["PGPASSWORD"]).notify(change())
    assert str(failed.value) == "/bin/sh exited with 1: psql: no such user, ***"


def test_a_command_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/child; echo waiting; wait"
    with pytest.raises(TransientError, match=r"/bin/sh was killed, not done within 3 s: waiting"):
        shell(script, timeout="3s").notify(change())
    child = int((tmp_path / "child").read_text())
    until(lambda: not runs(child))


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_a_command_leaves_in_the_background_is_neither_waited_for_nor_killed(tmp_path: Path) -> None:
    started = time.monotonic()
    shell(f"sleep 60 & echo $! > {tmp_path}/child").notify(change())
    assert time.monotonic() - started < 20
    child = int((tmp_path / "child").read_text())
    assert runs(child)
    os.kill(child, signal.SIGKILL)


def test_a_command_that_writes_without_end_is_cut_short_and_not_held_up() -> None:
    program = "import sys; sys.stdout.write('x' * 10_000_000); sys.exit(3)"
    with pytest.raises(TransientError) as failed:
        notifier(sys.executable, "-c", program).notify(change())
    assert str(failed.value).startswith(f"{sys.executable} exited with 3: xxx")
    assert str(failed.value).count("x") < 4096 + 100


def test_a_command_that_closes_its_output_is_still_waited_for(tmp_path: Path) -> None:
    with pytest.raises(RejectedError):
        shell("exec >&- 2>&-; sleep 0.2; exit 65").notify(change())


def test_a_command_gets_no_input() -> None:
    shell('test -z "$(cat)"').notify(change())


@pytest.mark.parametrize("options", [{}, {"argv": []}, {"argv": "reload"}, {"argv": ["x"], "env": ["A=B"]}])
def test_options_that_cannot_work_are_configuration_errors(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CommandOptions.model_validate(options)
