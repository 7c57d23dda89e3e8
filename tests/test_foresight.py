"""What `check` can see beforehand."""

from pathlib import Path

import pytest

from refresher.foresight import foreseen
from refresher.model import LayoutName, Publish
from tests.fakes.source import Source, asset


def test_an_ordinary_volume_is_no_reason_to_warn(tmp_path: Path) -> None:
    assert foreseen([asset(tmp_path, Source(), publish=Publish(layout=layout)) for layout in LayoutName]) == []


def test_a_volume_that_is_not_here_is_said_once(tmp_path: Path) -> None:
    assets = [asset(tmp_path / "none", Source()) for _ in range(2)]
    (sentence,) = foreseen(assets)
    assert "is not here" in sentence


def test_a_directory_where_a_link_must_go_is_named(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (sentence,) = foreseen([asset(tmp_path, Source(), publish=Publish(layout=LayoutName.LINK))])
    assert f"{tmp_path}/web is a directory where" in sentence


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_directory_where_files_must_go_is_named(tmp_path: Path, kind: str) -> None:
    web = tmp_path / "web"
    web.touch() if kind == "file" else web.symlink_to(tmp_path)
    assert any("is not a directory" in sentence for sentence in foreseen([asset(tmp_path, Source())]))


def test_a_mount_point_where_a_link_must_go_is_named(tmp_path: Path) -> None:
    proc = asset(Path("/"), Source(), directory=Path("/proc"), publish=Publish(layout=LayoutName.LINK))
    assert any("is a mount point" in sentence for sentence in foreseen([proc]))
