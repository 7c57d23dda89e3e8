"""One refresh, from source to outcome."""

import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from refresher import cycle
from refresher.contract import FileSet, Finding, Lease
from refresher.errors import PermanentError, RejectedError, TransientError
from refresher.model import Asset, LayoutName, Limits, Outcome, Publish, Refresh, Result, Wish
from refresher.place import opened
from tests.fakes.source import NOON, Certificates, Judge, Source, Time, asset, read

LAYOUTS = list(LayoutName)


def refresh(web: Asset, *, wish: Wish, clock: Time) -> Outcome:
    return cycle.refresh(web, wish=wish, clock=clock).outcome


def generations(volume: Path) -> list[str]:
    return sorted(path.name for path in (volume / "web" / "..refresher").iterdir() if path.name.isdigit())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_the_source_has_becomes_visible_in_every_layout(tmp_path: Path, layout: LayoutName) -> None:
    source, clock = Source(), Time()
    web = asset(tmp_path, source, publish=Publish(layout=layout))
    assert refresh(web, wish=Wish.RENEW, clock=clock).result is Result.PUBLISHED
    shown = tmp_path / "web" / "1" if layout is LayoutName.VERSIONS else tmp_path / "web"
    assert (shown / "app.conf").read_bytes() == b"one"
    source.put("r2", app_conf=b"two")
    assert refresh(web, wish=Wish.RENEW, clock=clock).generation == 2
    shown = tmp_path / "web" / "2" if layout is LayoutName.VERSIONS else tmp_path / "web"
    assert (shown / "app.conf").read_bytes() == b"two"


def test_the_layout_is_that_of_a_mounted_secret(tmp_path: Path) -> None:
    refresh(asset(tmp_path, Source(files={"tls.crt": b"c", "sub/x": b"x"})), wish=Wish.RENEW, clock=Time())
    web = tmp_path / "web"
    assert str((web / "tls.crt").readlink()) == "..data/tls.crt"
    assert str((web / "sub").readlink()) == "..data/sub"
    assert str((web / "..data").readlink()) == "..refresher/00000001/files"
    assert (web / "..refresher/00000001/manifest.json").is_file()
    assert stat.S_IMODE((web / "..refresher/ledger.json").stat().st_mode) == 0o600


def test_what_is_held_is_shown_to_the_source_and_nothing_moves_when_it_is_unchanged(tmp_path: Path) -> None:
    source = Source()
    web = asset(tmp_path, source)
    refresh(web, wish=Wish.RENEW, clock=Time())
    outcome = refresh(web, wish=Wish.RENEW, clock=Time())
    assert (outcome.result, source.opened) == (Result.UNCHANGED, ["app.conf"])
    assert source.shown[1] is not None
    assert source.shown[1].revision == "r1"
    assert refresh(web, wish=Wish.RENEW, clock=Time()).result is Result.UNCHANGED
    assert (tmp_path / "web/..refresher/00000001").is_dir()
    assert generations(tmp_path) == ["00000001"]


def test_an_unchanged_look_writes_nothing(tmp_path: Path) -> None:
    web = asset(tmp_path, Source())
    for _ in range(2):
        refresh(web, wish=Wish.RENEW, clock=Time())
    before = sorted((str(path), path.lstat().st_mtime_ns, path.lstat().st_ino) for path in tmp_path.rglob("*"))
    refresh(web, wish=Wish.RENEW, clock=Time())
    assert sorted((str(path), path.lstat().st_mtime_ns, path.lstat().st_ino) for path in tmp_path.rglob("*")) == before


def test_another_revision_with_the_same_content_publishes_nothing_and_is_remembered(tmp_path: Path) -> None:
    source = Source()
    web = asset(tmp_path, source)
    refresh(web, wish=Wish.RENEW, clock=Time())
    source.revision = "r2"
    assert refresh(web, wish=Wish.RENEW, clock=Time()).result is Result.UNCHANGED
    refresh(web, wish=Wish.RENEW, clock=Time())
    assert source.shown[2] is not None
    assert source.shown[2].revision == "r2"
    assert generations(tmp_path) == ["00000001"]


@pytest.mark.parametrize(
    "trouble",
    [TransientError("away"), PermanentError("no right"), RejectedError("an HTML page"), ZeroDivisionError("x")],
)
def test_a_source_in_trouble_leaves_the_last_good_files(tmp_path: Path, trouble: Exception) -> None:
    source = Source()
    web = asset(tmp_path, source)
    refresh(web, wish=Wish.RENEW, clock=Time())
    source.trouble = trouble
    outcome = refresh(web, wish=Wish.RENEW, clock=Time())
    assert outcome.result is (Result.REJECTED if isinstance(trouble, RejectedError) else Result.FAILED)
    assert read(tmp_path / "web") == {"app.conf": b"one"}


def test_a_bug_in_a_plugin_is_logged_with_its_place_and_without_its_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = refresh(asset(tmp_path, Source(trouble=ZeroDivisionError("hunter2"))), wish=Wish.RENEW, clock=Time())
    assert outcome.error_class == "PermanentError"
    assert "hunter2" not in f"{outcome} {caplog.text}"
    assert "source.py" in caplog.text


def test_a_rejected_candidate_leaves_the_published_generation_untouched(tmp_path: Path) -> None:
    source, judge = Source(), Judge()
    web = asset(tmp_path, source, judge=judge)
    refresh(web, wish=Wish.RENEW, clock=Time())
    judge.reason = "it is bad"
    source.put("r2", app_conf=b"two")
    outcome = refresh(web, wish=Wish.RENEW, clock=Time())
    assert (outcome.result, outcome.error) == (Result.REJECTED, "judge: it is bad")
    assert read(tmp_path / "web") == {"app.conf": b"one"}
    assert generations(tmp_path) == ["00000001"]


def test_a_refused_revision_is_not_downloaded_again_until_the_checks_change_or_somebody_asks(tmp_path: Path) -> None:
    source, judge = Source(), Judge(reason="it is bad")
    web = asset(tmp_path, source, judge=judge)
    refresh(web, wish=Wish.RENEW, clock=Time())
    assert refresh(web, wish=Wish.RENEW, clock=Time()).result is Result.REJECTED
    assert source.opened == ["app.conf"]
    assert refresh(web, wish=Wish.ANEW, clock=Time()).result is Result.REJECTED
    assert source.opened == ["app.conf"] * 2
    judge.reason = None
    assert refresh(replace(web, checks="sha256:repaired"), wish=Wish.RENEW, clock=Time()).result is Result.PUBLISHED


def test_refused_content_of_a_source_without_revisions_is_not_judged_again(tmp_path: Path) -> None:
    source, judge = Source(revision=""), Judge(reason="it is bad")
    web = asset(tmp_path, source, judge=judge)
    refresh(web, wish=Wish.RENEW, clock=Time())
    refresh(web, wish=Wish.RENEW, clock=Time())
    assert judge.seen == ["app.conf"]


def test_a_source_that_changes_while_it_is_read_is_never_published(tmp_path: Path) -> None:
    outcome = refresh(asset(tmp_path, Source(changed_midway=True)), wish=Wish.RENEW, clock=Time())
    assert outcome.error_class == "TransientError"
    assert list((tmp_path / "web").glob("[!.]*")) == []
    assert [path.name for path in (tmp_path / "web/..refresher").iterdir() if path.name.startswith("incoming")] == []


def test_a_changed_source_configuration_is_fetched_although_the_revision_is_the_same(tmp_path: Path) -> None:
    source = Source()
    web = asset(tmp_path, source)
    refresh(web, wish=Wish.RENEW, clock=Time())
    refresh(replace(web, source="sha256:other"), wish=Wish.RENEW, clock=Time())
    refresh(replace(web, source="sha256:other"), wish=Wish.RENEW, clock=Time())
    assert [held is None for held in source.shown] == [True, True, False]


def test_things_made_anew_are_made_anew_when_somebody_asks(tmp_path: Path) -> None:
    source = Source(minted=True)
    web = asset(tmp_path, source)
    refresh(web, wish=Wish.RENEW, clock=Time())
    source.put("r2", app_conf=b"two")
    assert refresh(web, wish=Wish.ANEW, clock=Time()).generation == 2
    assert source.shown[-1] is None


def test_files_get_the_modes_that_the_contract_promises(tmp_path: Path) -> None:
    files = {"plain": b"x", "key": b"-----BEGIN EC PRIVATE KEY-----\n"}
    refresh(asset(tmp_path, Source(files=files)), wish=Wish.RENEW, clock=Time())
    web = tmp_path / "web"
    assert [stat.S_IMODE((web / name).stat().st_mode) for name in ("plain", "key")] == [0o644, 0o640]
    other = asset(
        tmp_path, Source(files=files, sensitive=True), directory=tmp_path / "other", publish=Publish(key_mode=0o600)
    )
    refresh(other, wish=Wish.RENEW, clock=Time())
    assert [stat.S_IMODE((tmp_path / "other" / name).stat().st_mode) for name in ("plain", "key")] == [0o640, 0o600]


def test_a_file_that_the_source_no_longer_has_disappears_with_the_swap(tmp_path: Path) -> None:
    source = Source(files={"a": b"1", "b": b"2"})
    web = asset(tmp_path, source)
    refresh(web, wish=Wish.RENEW, clock=Time())
    source.put("r2", b=b"2")
    refresh(web, wish=Wish.RENEW, clock=Time())
    assert not (tmp_path / "web/a").is_symlink()
    assert read(tmp_path / "web") == {"b": b"2"}


def test_a_file_may_become_a_directory(tmp_path: Path) -> None:
    source = Source(files={"a": b"1"})
    web = asset(tmp_path, source)
    refresh(web, wish=Wish.RENEW, clock=Time())
    source.put("r2", a__b=b"2")
    assert refresh(web, wish=Wish.RENEW, clock=Time()).result is Result.PUBLISHED
    assert read(tmp_path / "web") == {"a/b": b"2"}


def test_somebody_elses_file_in_the_way_is_left_alone_and_named(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/app.conf").write_text("mine")
    outcome = refresh(asset(tmp_path, Source()), wish=Wish.RENEW, clock=Time())
    assert outcome.error is not None
    assert "app.conf is in the way" in outcome.error
    assert (tmp_path / "web/app.conf").read_text() == "mine"
    assert generations(tmp_path) == []


@pytest.mark.parametrize(
    "name",
    ["../x", "/x", "a/../x", "..x", "a/..b/c", "", "a//b", "./a", "x" * 256, "a\nb", "a\\b", "a\0b", "a/" * 600 + "b"],
)
def test_a_name_that_leaves_the_directory_or_is_ours_is_rejected(tmp_path: Path, name: str) -> None:
    outcome = refresh(asset(tmp_path, Source(files={name: b"x"})), wish=Wish.RENEW, clock=Time())
    assert outcome.result is Result.REJECTED
    assert [path.name for path in tmp_path.iterdir()] == ["web"]


def test_a_name_at_the_limit_of_the_file_system_is_published(tmp_path: Path) -> None:
    assert (
        refresh(asset(tmp_path, Source(files={"x" * 255: b"x"})), wish=Wish.RENEW, clock=Time()).result
        is Result.PUBLISHED
    )


def test_two_names_that_cannot_both_exist_are_rejected(tmp_path: Path) -> None:
    outcome = refresh(asset(tmp_path, Source(files={"a": b"x", "a/b": b"y"})), wish=Wish.RENEW, clock=Time())
    assert outcome.result is Result.REJECTED


def test_a_source_without_files_is_rejected(tmp_path: Path) -> None:
    assert refresh(asset(tmp_path, Source(files={})), wish=Wish.RENEW, clock=Time()).result is Result.REJECTED


def test_nothing_empty_replaces_something_but_an_empty_file_may_be_new(tmp_path: Path) -> None:
    source = Source(files={"a": b"", "b": b"1"})
    web = asset(tmp_path, source)
    assert refresh(web, wish=Wish.RENEW, clock=Time()).result is Result.PUBLISHED
    source.put("r2", a=b"", b=b"")
    outcome = refresh(web, wish=Wish.RENEW, clock=Time())
    assert outcome.result is Result.REJECTED
    assert read(tmp_path / "web") == {"a": b"", "b": b"1"}


def test_an_html_page_is_rejected_where_none_is_expected(tmp_path: Path) -> None:
    page = b"\n <!DOCTYPE HTML><html>please log in</html>"
    assert (
        refresh(asset(tmp_path, Source(files={"ca.pem": page})), wish=Wish.RENEW, clock=Time()).result
        is Result.REJECTED
    )
    assert (
        refresh(
            asset(tmp_path, Source(revision="r2", files={"index.html": page})), wish=Wish.RENEW, clock=Time()
        ).result
        is Result.PUBLISHED
    )


@pytest.mark.parametrize("limits", [Limits(file=2), Limits(total=5), Limits(files=1)])
def test_what_is_over_a_limit_is_rejected(tmp_path: Path, limits: Limits) -> None:
    web = asset(tmp_path, Source(files={"a": b"123", "b": b"456"}), limits=limits)
    assert refresh(web, wish=Wish.RENEW, clock=Time()).result is Result.REJECTED


def test_the_times_that_a_verifier_and_a_lease_give_are_kept_with_the_generation(tmp_path: Path) -> None:
    lease = Lease(id="l", granted_at=NOON, duration=timedelta(hours=1), renewable=True)
    judge = Judge(finding=Finding(valid_from=NOON, expires_at=NOON + timedelta(hours=2)))
    web = asset(tmp_path, Source(lease=lease, minted=True), judge=judge)
    refresh(web, wish=Wish.RENEW, clock=Time())
    with opened(web) as place:
        current = place.current()
    assert current is not None
    assert (current.valid_from, current.expires_at) == (NOON, NOON + timedelta(hours=2))
    assert current.leased_until == NOON + timedelta(hours=1)


def test_a_look_makes_nothing_anew_and_does_not_even_ask_a_source_that_only_makes(tmp_path: Path) -> None:
    source = Source(minted=True)
    web = asset(tmp_path, source)
    refresh(web, wish=Wish.LOOK, clock=Time())
    assert refresh(web, wish=Wish.LOOK, clock=Time()).result is Result.UNCHANGED
    assert len(source.shown) == 1
    refresh(web, wish=Wish.RENEW, clock=Time())
    assert len(source.shown) == 2


def test_a_look_replaces_what_was_revoked_and_nothing_else(tmp_path: Path) -> None:
    source = Certificates()
    web = asset(tmp_path, source)
    refresh(web, wish=Wish.LOOK, clock=Time())
    assert refresh(web, wish=Wish.LOOK, clock=Time()).result is Result.UNCHANGED
    source.revoked = True
    assert refresh(web, wish=Wish.LOOK, clock=Time()).result is Result.PUBLISHED
    assert source.made == 2


def test_a_look_says_how_old_an_answer_may_be_and_a_person_wants_a_new_one(tmp_path: Path) -> None:
    source = Source()
    web = asset(tmp_path, source, refresh=Refresh(every=timedelta(minutes=5), jitter=0.1))
    for wish in (Wish.LOOK, Wish.LOOK, Wish.ANEW):
        refresh(web, wish=wish, clock=Time())
    seconds = [held.fresh_for.total_seconds() for held in source.shown if held]
    assert seconds == [60, 0]


def test_a_provider_that_builds_on_what_is_published_is_shown_it(tmp_path: Path) -> None:
    web = asset(tmp_path, (building := Continued()))
    refresh(web, wish=Wish.RENEW, clock=Time())
    refresh(web, wish=Wish.RENEW, clock=Time())
    assert read(web.directory) == {"story": b"once upon a time and then"}
    assert building.files == {"story": b"once upon a time"}


class Continued(Source):
    """Goes on where what is published ends."""

    def __init__(self) -> None:
        super().__init__(files={"story": b"once upon a time"}, minted=True)

    def building_on(self, published: FileSet | None) -> Source:
        if published is None:
            return self
        with published.open("story") as file:
            return Source(files={"story": file.read() + b" and then"}, revision="r2", minted=True)


def test_the_next_look_counts_from_when_the_source_was_asked(tmp_path: Path) -> None:
    asked_at = NOON - timedelta(seconds=20)
    outcome = refresh(asset(tmp_path, Source(as_of=asked_at)), wish=Wish.LOOK, clock=Time())
    assert (outcome.looked_at, outcome.finished_at) == (asked_at, NOON)


def test_the_moment_at_which_the_source_changes_is_remembered_over_a_restart(tmp_path: Path) -> None:
    source = Source(changes_at=NOON + timedelta(minutes=3))
    web = asset(tmp_path, source)
    refresh(web, wish=Wish.LOOK, clock=Time())
    assert cycle.begin(web).ledger.changes_at == NOON + timedelta(minutes=3)
    source.changes_at = None
    refresh(web, wish=Wish.LOOK, clock=Time())
    assert cycle.begin(web).ledger.changes_at is None
