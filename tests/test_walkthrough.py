import os
from pathlib import Path

import pytest

from tests.walkthrough.page import Step, as_shown, steps_of
from tests.walkthrough.terminal import Busy, Failed, Shell

PAGE = """\
# A page

```sh
this is only shown
```

```sh try server
python3 -m http.server
```

```sh try
make it
```

```console try
$ refresher status
ASSET      LAST       EXPIRES
✓ web-tls  published  in 23h 59m
$ true
```
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path, dict(os.environ), tmp_path / "log")


def test_what_a_page_says_to_try_is_found_in_order(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    assert list(steps_of(tmp_path / "page.md")) == [
        Step(7, "server", "python3 -m http.server\n"),
        Step(11, "", "make it\n"),
        Step(15, "", "refresher status\n", "ASSET      LAST       EXPIRES\n✓ web-tls  published  in 23h 59m"),
        Step(15, "", "true\n", ""),
    ]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("✓ web-tls  published  in 5h 1m", "✓ web-tls  published  in 23h 59m"),
        ("serial=0a:ff:12", "serial=12:e4:e3"),
        ("generation 12, and whatever", "generation 7, …"),
    ],
)
def test_numbers_serials_and_what_is_left_out_may_differ(said: str, shown: str) -> None:
    assert as_shown(said, shown)


@pytest.mark.parametrize("said", ["✗ web-tls  failed  in 23h 59m", "✓ web-tls  published  in 23h 59m\nmore", ""])
def test_words_may_not_differ(said: str) -> None:
    assert not as_shown(said, "✓ web-tls  published  in 23h 59m")


def test_commands_share_a_shell_and_their_answer_is_what_they_print(shell: Shell) -> None:
    with shell:
        assert shell.run("export NAME=web") == ""
        assert shell.run('echo "$NAME"') == "web\n"


def test_a_command_that_fails_in_the_middle_is_noticed(shell: Shell) -> None:
    with shell, pytest.raises(Failed, match="failed: false"):
        shell.run("false\ntrue")


def test_a_shell_that_is_left_is_noticed(shell: Shell) -> None:
    with shell, pytest.raises(Failed, match="is left"):
        shell.run("exit 3")


def test_a_server_is_up_before_the_next_step_and_gone_afterwards(shell: Shell, tmp_path: Path) -> None:
    # It listens only once everybody can know where.
    serve = (
        "import http.server as h; s = h.HTTPServer(('127.0.0.1', 0), h.SimpleHTTPRequestHandler, False); "
        "s.server_bind(); open('port', 'w').write(str(s.server_port)); s.server_activate(); s.serve_forever()"
    )
    with shell:
        with Busy(f'python3 -c "{serve}"', tmp_path, dict(os.environ), tmp_path / "log"):
            shell.run("curl --silent --fail http://127.0.0.1:$(cat port)/port")
        with pytest.raises(Failed):
            shell.run("curl --silent --fail http://127.0.0.1:$(cat port)/port")


def test_a_server_that_does_not_come_up_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    with pytest.raises(Failed, match="doesn't listen"):
        Busy("exit 1", tmp_path, dict(os.environ), tmp_path / "log")
