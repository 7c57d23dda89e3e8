"""An asset's place on the volume, looked at without a trace."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from refresher import cycle
from refresher.abilities import Observation, Verdict
from refresher.doctor.examination import Section
from refresher.doctor.mounts import Mount, mount_of
from refresher.doctor.volume import volume
from refresher.model import LayoutName, Publish, Refresh, StoreName, Wish
from tests.doctor.disks import CASES
from tests.fakes.source import Source, Time, asset
from tests.traces import traces


def by_thing(observations: list[Observation]) -> dict[str, Observation]:
    return {each.of: each for each in observations}


@pytest.mark.parametrize("layout", list(LayoutName))
@pytest.mark.parametrize("store", list(StoreName))
def test_a_volume_that_works_is_well_before_and_after_the_first_publish(
    tmp_path: Path, layout: LayoutName, store: StoreName
) -> None:
    web = asset(tmp_path, Source(), publish=Publish(layout=layout, store=store))
    for held in (False, True):
        before = traces(tmp_path)
        found = by_thing(list(volume(web)))
        assert list(found) == ["rights", "file system", "one mount", "room"]
        assert {each.verdict for each in found.values()} <= {Verdict.OK, Verdict.WARN}
        assert ("generation 1 has 3.0 B, and 2 more of that may come" in found["room"].seen) == held
        assert traces(tmp_path) == before
        cycle.refresh(web, wish=Wish.RENEW, clock=Time())


def test_a_volume_that_is_not_mounted_is_named(tmp_path: Path) -> None:
    (only,) = volume(asset(tmp_path / "none", Source()))
    assert (only.verdict, only.of) == (Verdict.FAIL, "volume")


def test_what_stands_where_files_must_go_fails_with_what_to_do(tmp_path: Path) -> None:
    shared = tmp_path / "shared: by two"
    shared.mkdir()
    (shared / "web").write_text("a file")
    section = Section("web", "volume", partial(volume, asset(shared, Source())))
    section.examine()
    failed = [finding.observation for finding in section.findings if finding.observation.verdict is Verdict.FAIL]
    (found,) = [each for each in failed if "is not a directory" in each.seen]
    assert f"{shared}/web is not a directory" in found.seen
    assert found.advice == "Remove it."


@pytest.mark.parametrize(("path", "verdict"), [("now", Verdict.OK), ("not-there/now", Verdict.FAIL)])
def test_a_trigger_file_needs_a_directory(tmp_path: Path, path: str, verdict: Verdict) -> None:
    web = asset(tmp_path, Source(), refresh=Refresh(trigger=tmp_path / path))
    found = by_thing(list(volume(web)))["trigger file"]
    assert found.verdict is verdict
    assert bool(found.advice) == (verdict is Verdict.FAIL)


@pytest.mark.parametrize("case", CASES)
def test_a_disk_in_trouble_is_found_out_before_anything_is_written(tmp_path: Path, case: str) -> None:
    # Mounts of its own, which end with the process; who isn't root is root in a user namespace of his own.
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    command = [*unshare, sys.executable, "-m", "tests.doctor.disks", case, str(tmp_path / "volume")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr


MOUNTINFO = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
35 21 0:31 / /tmp rw - tmpfs tmpfs rw
36 35 0:31 /inside /tmp/a\\040b rw - nfs4 server:/x rw
37 21 0:32 / /tmp rw - xfs /dev/sdb rw
"""


def test_the_mount_is_the_last_one_at_the_longest_point_above() -> None:
    assert mount_of(Path("/etc/x"), MOUNTINFO) == Mount(21, Path("/"), "ext4")
    assert mount_of(Path("/tmp/a b/c"), MOUNTINFO) == Mount(36, Path("/tmp/a b"), "nfs4")
    assert mount_of(Path("/tmp/a"), MOUNTINFO) == Mount(37, Path("/tmp"), "xfs")
