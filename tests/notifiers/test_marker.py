import json
import os
import stat
import threading
from pathlib import Path

import pytest

from refresher.errors import TransientError
from refresher.notifiers.marker import MarkerNotifier, MarkerOptions
from tests.fakes.changes import change


def notifier(path: Path, **options: object) -> MarkerNotifier:
    return MarkerNotifier(MarkerOptions.model_validate({"path": str(path), **options}))


def test_the_marker_holds_the_change_as_json(tmp_path: Path) -> None:
    notifier(tmp_path / "tls.json").notify(change())
    assert json.loads((tmp_path / "tls.json").read_text()) == change().document()
    assert os.listdir(tmp_path) == ["tls.json"]


def test_the_newest_change_replaces_the_one_before(tmp_path: Path) -> None:
    marker = notifier(tmp_path / "tls.json")
    marker.notify(change())
    marker.notify(change(generation=8, cause="rolled-back"))
    assert json.loads((tmp_path / "tls.json").read_text())["generation"] == 8


@pytest.mark.parametrize(("options", "mode"), [({}, 0o644), ({"mode": "0600"}, 0o600), ({"mode": "0666"}, 0o666)])
def test_the_mode_is_the_wanted_one_whatever_the_umask(tmp_path: Path, options: dict[str, str], mode: int) -> None:
    notifier(tmp_path / "tls.json", **options).notify(change())
    assert stat.S_IMODE((tmp_path / "tls.json").stat().st_mode) == mode


def test_a_reader_finds_the_old_or_the_new_one_and_nothing_between(tmp_path: Path) -> None:
    marker, path, stop = notifier(tmp_path / "tls.json"), tmp_path / "tls.json", threading.Event()
    marker.notify(change(generation=0))

    def write() -> None:
        for generation in range(1, 200):
            marker.notify(change(generation=generation))
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = [json.loads(path.read_text())["generation"] for _ in iter(stop.is_set, True)]
    writer.join()
    assert seen == sorted(seen)
    assert json.loads(path.read_text())["generation"] == 199


def test_a_link_at_the_markers_path_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("untouched")
    (tmp_path / "tls.json").symlink_to("victim")
    notifier(tmp_path / "tls.json").notify(change())
    assert (tmp_path / "victim").read_text() == "untouched"
    assert not (tmp_path / "tls.json").is_symlink()


def test_what_a_crash_left_is_swept_and_blocks_nothing(tmp_path: Path) -> None:
    (tmp_path / "..tls.json.0123456789abcdef.new").write_text("{")
    (tmp_path / "..tls.json.trap.new").symlink_to("/dev/full")
    (tmp_path / "..tls.json.directory.new").mkdir()
    (tmp_path / "..data").symlink_to("elsewhere")
    notifier(tmp_path / "tls.json").notify(change())
    assert sorted(os.listdir(tmp_path)) == ["..data", "..tls.json.directory.new", "tls.json"]


def test_a_marker_that_cannot_be_written_is_tried_again_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match=r"the marker .*missing/tls\.json can't be written: No such file"):
        notifier(tmp_path / "missing" / "tls.json").notify(change())
    (tmp_path / "tls.json").mkdir()
    with pytest.raises(TransientError, match="Is a directory"):
        notifier(tmp_path / "tls.json").notify(change())
    assert os.listdir(tmp_path) == ["tls.json"]


def test_a_link_in_place_of_the_markers_directory_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "marks").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TransientError, match="can't be written"):
        MarkerNotifier(MarkerOptions(path=tmp_path / "volume" / "marks" / "web.json")).notify(change())
    assert list((tmp_path / "elsewhere").iterdir()) == []
