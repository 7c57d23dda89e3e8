import os
import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from providers.file import FileOptions, FileProvider
from refresher.contract import Fetched, Provider, Unchanged
from refresher.errors import PermanentError, TransientError
from refresher.testing import ProviderContract
from tests.providers.reading import content, fetched, holding, left_after, opened_after


def provider_of(path: Path, name: str | None = None) -> FileProvider:
    return FileProvider(FileOptions(path=path, name=name))


def write(path: Path, text: str, *, seconds_ago: int = 60) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    stamp = path.stat().st_mtime - seconds_ago
    os.utime(path, (stamp, stamp))
    return path


def mount(directory: Path, version: str, files: dict[str, str]) -> None:
    """Files as the kubelet mounts them: user links, `..data`, a directory per version."""
    for name, text in files.items():
        write(directory / version / name, text)
        if not (directory / name.split("/")[0]).is_symlink():
            (directory / name.split("/")[0]).symlink_to(Path("..data", name.split("/")[0]))
    (directory / "..new").symlink_to(version)
    (directory / "..new").rename(directory / "..data")


class TestOneFile(ProviderContract):
    @pytest.fixture(autouse=True)
    def _source(self, tmp_path: Path) -> None:
        self.path = write(tmp_path / "source", "the first content")

    def provider(self) -> Provider:
        return provider_of(self.path)

    def change(self) -> None:
        write(self.path, "the other content", seconds_ago=30)

    def missing_provider(self) -> Provider:
        return provider_of(self.path.with_name("missing"))

    def unreachable_provider(self) -> Provider:
        # What a network file system that lost its server gives: the way there fails, and nobody knows what is behind.
        loop = self.path.with_name("loop")
        loop.symlink_to(loop)
        return provider_of(loop)


class TestADirectory(TestOneFile):
    @pytest.fixture(autouse=True)
    def _source(self, tmp_path: Path) -> None:
        self.path = tmp_path / "source"
        write(self.path / "a", "the first content")
        write(self.path / "below" / "b", "another file")

    def change(self) -> None:
        write(self.path / "below" / "c", "one more")


def test_a_mounted_volume_is_read_through_its_links_without_its_own_names(tmp_path: Path) -> None:
    mount(tmp_path, "..1", {"tls.crt": "certificate", "below/deep": "x"})
    _, files = fetched(provider_of(tmp_path))
    assert files == {"tls.crt": b"certificate", "below/deep": b"x"}


def test_a_swap_of_data_is_another_revision(tmp_path: Path) -> None:
    mount(tmp_path, "..1", {"a": "same size 1"})
    revision, _ = fetched(provider_of(tmp_path))
    mount(tmp_path, "..2", {"a": "same size 2"})
    other, files = fetched(provider_of(tmp_path), holding(revision))
    assert other != revision
    assert files == {"a": b"same size 2"}


def test_a_swap_between_two_files_is_transient_and_never_a_mixture(tmp_path: Path) -> None:
    mount(tmp_path, "..1", {"a": "1", "b": "1"})
    with provider_of(tmp_path).fetch(None) as answer:
        assert isinstance(answer, Fetched)
        first, second = answer.files
        assert content(first) == b"1"
        mount(tmp_path, "..2", {"a": "2", "b": "2"})
        with pytest.raises(TransientError, match="changed"):
            second.open()
        mount(tmp_path, "..1", {})


def test_a_change_after_reading_is_noticed_on_leaving(tmp_path: Path) -> None:
    path = write(tmp_path / "file", "one")

    with pytest.raises(TransientError, match="changed"):
        left_after(provider_of(path), lambda: write(path, "two", seconds_ago=5))


def test_a_file_written_this_very_moment_is_looked_at_again(tmp_path: Path) -> None:
    path = write(tmp_path / "file", "one", seconds_ago=0)
    now = path.stat().st_mtime_ns + 1_000_000
    young = FileProvider(FileOptions(path=path), clock=lambda: now)
    revision, _ = fetched(young)
    old = FileProvider(FileOptions(path=path), clock=lambda: now + 1_000_000_000)
    settled, _ = fetched(old, holding(revision))
    with old.fetch(holding(settled)) as answer:
        assert isinstance(answer, Unchanged)


@pytest.mark.parametrize("below", ["", "directory"])
def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path, below: str) -> None:
    fifo = tmp_path / "directory" / "fifo"
    fifo.parent.mkdir()
    os.mkfifo(fifo)
    with pytest.raises(PermanentError, match="not a regular file"):
        fetched(provider_of(fifo.parent if below else fifo))


def test_a_fifo_that_takes_a_files_place_is_refused_without_waiting(tmp_path: Path) -> None:
    path = write(tmp_path / "file", "one")

    def swap() -> None:
        path.unlink()
        os.mkfifo(path)

    with pytest.raises(TransientError, match="changed"):
        opened_after(provider_of(path), swap)


def test_a_directory_without_files_is_permanent(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    with pytest.raises(PermanentError, match="no files"):
        fetched(provider_of(tmp_path))


def test_a_link_to_a_directory_above_is_permanent_and_ends(tmp_path: Path) -> None:
    write(tmp_path / "a", "x")
    (tmp_path / "up").symlink_to(tmp_path)
    with pytest.raises(PermanentError, match="leads back"):
        fetched(provider_of(tmp_path))


def test_a_source_that_goes_away_midway_is_transient(tmp_path: Path) -> None:
    source = write(tmp_path / "source" / "a", "x").parent
    with pytest.raises(TransientError, match="at the moment"):
        opened_after(provider_of(source), lambda: shutil.rmtree(source))


def test_what_others_may_not_read_is_sensitive(tmp_path: Path) -> None:
    write(tmp_path / "open", "x").chmod(0o644)
    write(tmp_path / "secret", "x").chmod(0o600)
    with provider_of(tmp_path).fetch(None) as answer:
        assert isinstance(answer, Fetched)
        assert {file.name: file.sensitive for file in answer.files} == {"open": False, "secret": True}


def test_a_single_file_can_be_renamed_and_a_directory_cannot(tmp_path: Path) -> None:
    path = write(tmp_path / "file", "x")
    assert fetched(provider_of(path, name="other"))[1] == {"other": b"x"}
    with pytest.raises(PermanentError, match="single file"):
        fetched(provider_of(tmp_path, name="other"))


def test_the_source_is_watched_as_it_is_named_whatever_comes_there(tmp_path: Path) -> None:
    path = write(tmp_path / "file", "x")
    for source in (path, tmp_path, tmp_path / "missing"):
        assert provider_of(source).watched == [source]


def test_urls_become_options() -> None:
    assert FileProvider.from_url("file:///a/b%20c") == {"path": "/a/b c"}


@pytest.mark.parametrize("url", ["file://elsewhere/a", "file:///a?b", "http:///a", "file:///a#b"])
def test_urls_that_are_no_local_file_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="file:///path"):
        FileProvider.from_url(url)


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(ValidationError, match="absolute"):
        FileOptions(path=Path("a/b"))
