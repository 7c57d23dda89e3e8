"""examples/custom-provider against Git itself: `git http-backend`, with commits that `git` makes."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from refresher.contract import Fetched, Held, Unchanged
from tests.fakes.serving import Asked, Reply, serving
from tests.servers.git import EXAMPLE
from tests.system.programs import debian

AUTHOR = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "init.defaultBranch=main")


@dataclass
class Backend:
    """Git's own program behind a web server; `moved` are the bytes that it answered to each request."""

    projects: Path
    moved: list[int] = field(default_factory=list)

    def answer(self, asked: Asked) -> Reply:
        """RFC 3875, as far as Git needs it."""
        path, _, query = asked.path.partition("?")
        environment = {
            "GIT_PROJECT_ROOT": str(self.projects),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": asked.method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": asked.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(asked.body)),
            "GIT_PROTOCOL": asked.headers.get("Git-Protocol", ""),
        }
        argv = [debian("git"), "http-backend"]
        ran = subprocess.run(argv, input=asked.body, env=environment, capture_output=True, check=True, timeout=60)
        head, _, body = ran.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.moved.append(len(body))
        return Reply(int(headers.pop("Status", "200").split()[0]), body, headers)


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return Backend(tmp_path)


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., str]:
    """Runs git in the repository; what it prints."""
    repository = tmp_path / "settings"
    repository.mkdir()

    def run(*argv: str) -> str:
        command = [debian("git"), *AUTHOR, *argv]
        return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True, timeout=60).stdout

    run("init", "--quiet")
    return run


@pytest.fixture(params=["true", "false"], ids=["partial", "whole"])
def filters(request: pytest.FixtureRequest, git: Callable[..., str]) -> bool:
    """Whether the server leaves the content of files out if it is asked to."""
    git("config", "uploadpack.allowFilter", request.param)
    return bool(request.param == "true")


@pytest.fixture
def provider(backend: Backend, filters: bool, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(EXAMPLE)
    from refresher_git import GitProvider

    with serving(backend.answer) as address:
        yield GitProvider(GitProvider.Options(url=f"{address}/settings/.git", ref="main", path="config"))
    for name in [name for name in sys.modules if name.startswith("refresher_git")]:
        del sys.modules[name]


def commit(git: Callable[..., str], directory: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        path = directory / "settings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    git("add", "--all")
    git("commit", "--quiet", "--message", "A change")
    git("gc", "--quiet")  # everything into one pack, with deltas
    return git("rev-parse", "HEAD").strip()


def test_files_come_from_git_itself_and_an_unchanged_branch_is_seen(
    git: Callable[..., str], provider: Any, backend: Backend, tmp_path: Path
) -> None:
    like = "".join(f"option {number}\n" for number in range(500))
    for number in range(3):
        files = {f"config/{each}.conf": f"{like}{each} {number}".encode() for each in range(3)}
        revision = commit(git, tmp_path, {**files, "config/de/empty": b""})
    with provider.fetch(None) as answer:
        assert isinstance(answer, Fetched)
        found = {file.name: file.open().read() for file in answer.files}
    assert answer.revision == revision
    assert {f"config/{name}": content for name, content in found.items()} == {**files, "config/de/empty": b""}
    before = len(backend.moved)
    with provider.fetch(Held(revision=revision, digests={})) as answer:
        assert isinstance(answer, Unchanged)
    assert len(backend.moved) - before == 2, "a look is what the server can do, and what the branch names"


def test_no_content_moves_before_a_file_is_opened_where_the_server_can_leave_it_out(
    git: Callable[..., str], provider: Any, filters: bool, backend: Backend, tmp_path: Path
) -> None:
    noise = random.Random(0).randbytes(300_000)
    commit(git, tmp_path, {"config/a": noise[:1000], "large": noise})
    with provider.fetch(None) as answer:
        listed = sum(backend.moved)
        (file,) = answer.files
        assert file.open().read() == noise[:1000]
    assert (listed < 2000) is filters, backend.moved
    assert (sum(backend.moved) < 5000) is filters, backend.moved
