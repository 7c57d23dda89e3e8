"""The provider around a provider: what it shows the one inside, what comes out, and how it goes through a cycle."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from refresher import able, cycle
from refresher.abilities import Building, Follow, Observation
from refresher.contract import (
    Candidate,
    Fetched,
    FileSet,
    Finding,
    Held,
    InlineFile,
    Lease,
    Provider,
    RemoteFile,
    Unchanged,
)
from refresher.errors import PermanentError, TransientError
from refresher.ledger import Refreshed
from refresher.model import Asset, Limits, NamedVerifier, Result, Wish
from refresher.render.entries import Entry, Form
from refresher.render.recipe import recipe
from refresher.render.rendering import Rendering
from refresher.sources import Sources
from tests.fakes.source import Certificates, Judge, Logins, Source, Time, asset, read
from tests.render.making import inputs

URL = {"app.url": Entry(inline="db://app:{{ password }}@db\n")}


class Rendered:
    """An asset that is rendered, and the clock that it goes by."""

    def __init__(
        self,
        volume: Path,
        source: Any,
        entries: Mapping[str, Entry] = URL,
        *,
        implied: Judge | None = None,
        sources: Sequence[str] = (),
        **changes: Any,
    ) -> None:
        self.clock = Time()
        checks = [NamedVerifier(name="implied", verifier=implied)] if implied else []
        made = recipe(entries, sources, {})
        self.provider = Rendering(
            source,
            asset="web",
            recipe=made,
            checks=checks,
            limits=Limits(),
            timeout=timedelta(seconds=60),
            clock=self.clock,
        )
        parts: Any = self.provider
        self.asset: Asset = replace(asset(volume, parts, **changes), source=f"sha256:{made.digest}")

    def refresh(self, wish: Wish = Wish.LOOK) -> Refreshed:
        return cycle.refresh(self.asset, wish=wish, clock=self.clock)

    def published(self) -> dict[str, bytes]:
        return read(self.asset.directory)


def secret(**files: bytes) -> Source:
    source = Source(sensitive=True)
    source.put("r1", **files)
    return source


def test_only_what_is_rendered_is_published_and_as_secret_as_what_it_was_made_of(tmp_path: Path) -> None:
    rendered = Rendered(tmp_path, secret(password=b"p", user=b"u"))
    assert rendered.refresh().outcome.result is Result.PUBLISHED
    assert rendered.published() == {"app.url": b"db://app:p@db\n"}
    assert (rendered.asset.directory / "app.url").stat().st_mode & 0o777 == 0o640


def test_what_is_made_of_public_files_is_public(tmp_path: Path) -> None:
    source = secret(password=b"p")
    source.sensitive = False
    rendered = Rendered(tmp_path, source)
    rendered.refresh()
    assert (rendered.asset.directory / "app.url").stat().st_mode & 0o777 == 0o644


def test_a_keystore_is_as_secret_as_its_text_and_is_published_as_bytes(tmp_path: Path) -> None:
    entries = {"keystore.p12": Entry(form=Form.BASE64, of="keystore")}
    rendered = Rendered(tmp_path, secret(keystore=b"/v8A\n"), entries)
    rendered.refresh()
    assert rendered.published() == {"keystore.p12": b"\xfe\xff\x00"}
    assert (rendered.asset.directory / "keystore.p12").stat().st_mode & 0o777 == 0o640


def test_no_input_touches_the_disk(tmp_path: Path) -> None:
    rendered = Rendered(tmp_path, secret(password=b"p", other=b"not to be found"))
    rendered.refresh()
    assert all(b"not to be found" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_the_source_is_shown_its_own_revision_and_may_say_that_it_is_unchanged(tmp_path: Path) -> None:
    source = secret(password=b"p")
    rendered = Rendered(tmp_path, source)
    first = rendered.refresh().outcome.revision
    assert first is not None
    assert first.startswith("r1+")
    assert rendered.refresh().outcome.result is Result.UNCHANGED
    assert [held and held.revision for held in source.shown] == [None, "r1"]
    assert source.shown[1] is not None
    assert source.shown[1].digests.keys() == {"password"}


def test_after_a_restart_what_it_was_made_of_is_not_known_and_need_not_be(tmp_path: Path) -> None:
    source = secret(password=b"p")
    Rendered(tmp_path, source).refresh()
    again = Rendered(tmp_path, source)
    assert again.refresh().outcome.result is Result.UNCHANGED
    assert source.shown[1] is not None
    assert source.shown[1].digests == {}


def test_another_template_is_rendered_though_the_source_has_nothing_new(tmp_path: Path) -> None:
    source = secret(password=b"p")
    Rendered(tmp_path, source).refresh()
    other = Rendered(tmp_path, source, {"app.url": Entry(inline="{{ password }}")})
    assert other.refresh().outcome.result is Result.PUBLISHED
    assert other.published() == {"app.url": b"p"}
    assert source.shown == [None, None]


def test_of_a_source_that_names_no_revision_what_comes_next_is_not_refused_as_what_was_refused(tmp_path: Path) -> None:
    source = secret()
    source.put("", other=b"o")
    rendered = Rendered(tmp_path, source)
    assert rendered.refresh().outcome.result is Result.REJECTED
    source.put("", password=b"p")
    assert rendered.refresh().outcome.result is Result.PUBLISHED
    assert rendered.refresh().outcome.result is Result.UNCHANGED
    assert source.shown[-1] is not None
    assert (source.shown[-1].revision, list(source.shown[-1].digests)) == ("", ["password"])


def test_a_change_that_makes_the_same_file_tells_nobody(tmp_path: Path) -> None:
    source = secret(password=b"p", counter=b"1")
    rendered = Rendered(tmp_path, source)
    rendered.refresh()
    source.put("r2", password=b"p", counter=b"2")
    assert rendered.refresh().outcome.result is Result.UNCHANGED
    source.shown.clear()
    rendered.refresh()
    assert [held and held.revision for held in source.shown] == ["r2"]


def test_a_new_certificate_that_does_not_show_counts_all_the_same(tmp_path: Path) -> None:
    """Or it would be due again at once, and issued once a second for ever."""
    judge, clock = Judge(), Time()
    rendered = Rendered(tmp_path, Certificates(), {"a": Entry(inline="always the same")}, implied=judge)
    judge.finding = Finding(expires_at=clock.now + timedelta(hours=1))
    rendered.refresh(Wish.RENEW)
    judge.finding = Finding(expires_at=clock.now + timedelta(hours=2))
    outcome = rendered.refresh(Wish.RENEW)
    assert outcome.outcome.result is Result.PUBLISHED
    assert outcome.holding is not None
    assert outcome.holding.current is not None
    assert outcome.holding.current.expires_at == clock.now + timedelta(hours=2)


def test_what_is_known_of_the_content_counts_for_the_generation(tmp_path: Path) -> None:
    source, clock = secret(password=b"p"), Time()
    found = Finding(valid_from=clock.now, expires_at=clock.now + timedelta(hours=1))
    outputs = Judge(
        finding=Finding(valid_from=clock.now - timedelta(hours=1), expires_at=clock.now + timedelta(days=1))
    )
    rendered = Rendered(tmp_path, source, implied=Judge(finding=found), judge=outputs)
    holding = rendered.refresh().holding
    assert holding is not None
    assert holding.current is not None
    assert Finding(valid_from=holding.current.valid_from, expires_at=holding.current.expires_at) == found


def test_what_the_source_implies_judges_what_came_and_the_assets_own_verifiers_what_was_made(tmp_path: Path) -> None:
    implied, own = Judge(), Judge()
    rendered = Rendered(tmp_path, secret(password=b"p", user=b"u"), implied=implied, judge=own)
    rendered.refresh()
    assert (implied.seen, own.seen) == (["password", "user"], ["app.url"])


def test_what_the_implied_verifier_refuses_is_not_rendered(tmp_path: Path) -> None:
    rendered = Rendered(tmp_path, secret(password=b"p"), implied=Judge(reason="it is expired"))
    outcome = rendered.refresh().outcome
    assert (outcome.result, outcome.error) == (Result.REJECTED, "implied: it is expired")
    assert not rendered.asset.directory.joinpath("app.url").exists()


class Comparing(Judge):
    """Notes what was published before, as a verifier may see it."""

    def verify(self, candidate: Candidate) -> Finding:
        before = candidate.published
        self.seen.append(before.open("password").read().decode() if before else "nothing")
        return super().verify(candidate)


def test_an_implied_verifier_may_compare_with_what_the_published_files_were_made_of(tmp_path: Path) -> None:
    source, judge = secret(password=b"one"), Comparing()
    rendered = Rendered(tmp_path, source, implied=judge)
    rendered.refresh()
    source.put("r2", password=b"two")
    rendered.refresh()
    assert judge.seen == ["nothing", "password", "one", "password"]


def test_what_cannot_be_rendered_leaves_the_files_and_is_not_rendered_again(tmp_path: Path) -> None:
    source = secret(password=b"p")
    rendered = Rendered(tmp_path, source)
    rendered.refresh()
    source.put("r2", user=b"u")
    outcome = rendered.refresh().outcome
    assert outcome.result is Result.REJECTED
    assert outcome.error == "app.url: inline: line 1: 'password' is undefined"
    assert rendered.published() == {"app.url": b"db://app:p@db\n"}
    error = rendered.refresh().outcome.error
    assert error is not None
    assert error.startswith("refused before, and it is still the same")


def test_a_login_that_cannot_be_rendered_is_ended(tmp_path: Path) -> None:
    source = Logins()
    rendered = Rendered(tmp_path, source)
    assert rendered.refresh().outcome.result is Result.REJECTED
    cycle.release(rendered.asset, clock=rendered.clock)
    assert source.ended == ["login1"]


def test_a_lease_goes_with_what_was_made_of_it(tmp_path: Path) -> None:
    rendered = Rendered(tmp_path, Logins(), {"a": Entry(inline="{{ login }}")})
    holding = rendered.refresh().holding
    assert holding is not None
    assert holding.ledger.lease is not None
    assert holding.ledger.lease.id == "login1"


def lease() -> Lease:
    return Lease(id="x", granted_at=Time().now, duration=timedelta(hours=1), renewable=False)


def test_a_source_that_cannot_end_a_lease_says_so(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="run out by itself"):
        Rendered(tmp_path, Source()).provider.revoke(lease())


def test_it_does_what_the_source_does(tmp_path: Path) -> None:
    class Able(Source):
        watched = (Path("/etc/token"),)

        def diagnose(self) -> Iterable[Observation]:
            return [Observation.ok("server", "up")]

    able = Rendered(tmp_path, Able()).provider
    assert (list(able.watched), [each.of for each in able.diagnose()]) == ([Path("/etc/token")], ["server"])
    plain = Rendered(tmp_path, Source()).provider
    assert (plain.watched, plain.rechecks, [each.verdict for each in plain.diagnose()]) == ([], False, ["skipped"])
    assert Rendered(tmp_path, Certificates()).provider.rechecks


def test_each_source_is_waited_at_for_something_else_than_what_it_gave(tmp_path: Path) -> None:
    begun: list[str] = []

    class Followed(Source):
        follows = True

        def follow(self, revision: str) -> Follow:
            begun.append(revision)
            return nullcontext()  # type: ignore[return-value]

    several = Sources({"db": Followed(), "flags": Source()}, timeout=timedelta(seconds=60))
    at = able.followed(Rendered(tmp_path, several).provider) | able.followed(Rendered(tmp_path, Followed()).provider)
    assert set(at) == {"", "db"}
    at["db"].follow('{"db":"4","flags":"e1"}+0123456789ab')
    at[""].follow("r1+0123456789ab")
    assert begun == ["4", "r1"]


@dataclass
class Followed(Source):
    """A source that can be waited at."""

    follows: bool = True
    begun: list[str] = field(default_factory=list)

    def follow(self, revision: str) -> "Followed":
        self.begun.append(revision)
        return self

    def wait(self) -> bool:
        return True

    def close(self) -> None: ...


def test_it_is_waited_at_its_source_for_something_else_than_the_sources_own_revision(tmp_path: Path) -> None:
    source = Followed(files={"password": b"p"})
    rendered = Rendered(tmp_path, source)
    revision = rendered.refresh().outcome.revision
    assert revision is not None
    assert able.followed(rendered.provider)[""].follow(revision).wait()
    assert source.begun == ["r1"]


@pytest.mark.parametrize("source", [Source(), Followed(follows=False)])
def test_a_source_that_cannot_be_waited_at_is_not(tmp_path: Path, source: Source) -> None:
    assert not able.followed(Rendered(tmp_path, source).provider)


@dataclass
class Builder(Certificates):
    """Notes what it is to build on: the files' contents by name."""

    built_on: list[dict[str, bytes] | None] = field(default_factory=list)

    def building_on(self, published: FileSet | None) -> Provider:
        self.built_on.append(contents(published) if published else None)
        return self


def contents(files: FileSet) -> dict[str, bytes]:
    found = {}
    for name in files.files:
        with files.open(name) as file:
            found[name] = file.read()
    return found


def test_the_source_builds_on_what_it_gave(tmp_path: Path) -> None:
    source = Builder()
    rendered = Rendered(tmp_path, source, {"bundle": Entry(inline='{{ files["tls.crt"] }}')})
    assert isinstance(rendered.provider, Building)
    rendered.refresh()
    rendered.refresh()
    assert source.built_on == [None, {"tls.crt": b"certificate 1"}]


@pytest.mark.parametrize("wish", [Wish.LOOK, Wish.RENEW, Wish.ANEW])
def test_the_source_builds_on_what_is_published_and_not_on_what_came_before_or_was_refused(
    tmp_path: Path, wish: Wish
) -> None:
    """A key whose certificate was revoked must not come back because all is wanted anew."""
    source, judge = Builder(), Judge()
    rendered = Rendered(tmp_path, source, {"bundle": Entry(inline='{{ files["tls.crt"] }}')}, judge=judge)
    rendered.refresh(Wish.RENEW)
    rendered.refresh(Wish.RENEW)
    judge.reason = "not that one"
    rendered.refresh(Wish.RENEW)
    rendered.refresh(wish)
    assert source.built_on[-1] == {"tls.crt": b"certificate 2"}


def test_after_a_start_the_source_builds_on_copies_of_what_it_gave(tmp_path: Path) -> None:
    source = Builder()
    entries = {"chain.pem": Entry(copy="tls.crt"), "tls.crt": Entry(inline="not what came")}
    for _ in range(2):
        Rendered(tmp_path, source, entries).refresh()
    assert source.built_on == [None, {"tls.crt": b"certificate 1"}]


def test_after_a_start_nothing_of_several_sources_is_taken_for_all_that_they_gave(tmp_path: Path) -> None:
    source = Builder()
    for _ in range(2):
        Rendered(tmp_path, source, {"tls.crt": Entry(copy="tls/tls.crt")}, sources=("tls",)).refresh()
    assert source.built_on == [None, None]


def test_what_came_and_was_refused_is_not_what_the_published_files_were_made_of(tmp_path: Path) -> None:
    source, judge, comparing = secret(password=b"one"), Judge(), Comparing()
    rendered = Rendered(tmp_path, source, judge=judge, implied=comparing)
    rendered.refresh()
    judge.reason = "not that one"
    for revision, password in (("r2", b"two"), ("r3", b"three"), ("r4", b"four")):
        source.put(revision, password=password)
        assert rendered.refresh().outcome.result is Result.REJECTED
    assert comparing.seen[::2] == ["nothing", "one", "one", "one"]


def refused(tmp_path: Path, *files: RemoteFile, **limits: int) -> str:
    class Giving(Source):
        def fetch(self, held: Any) -> Any:
            return nullcontext(Fetched(revision="r1", files=files))

    tmp_path.mkdir(exist_ok=True)
    rendered = Rendered(tmp_path, Giving(), {"a": Entry(inline="x")})
    outcome = rendered.refresh().outcome
    return f"{outcome.result}: {outcome.error}"


MiB = 1024 * 1024


def test_inputs_have_limits(tmp_path: Path) -> None:
    assert "a.bin is too large" in refused(tmp_path, InlineFile("a.bin", b"x" * (4 * MiB + 1)))
    files = [InlineFile(f"{n}.bin", b"x" * 4 * MiB, sensitive=False) for n in range(4)]
    assert refused(tmp_path / "a", *files) == "published: None"
    assert "one.bin is too large" in refused(tmp_path / "b", *files, InlineFile("one.bin", b"x"))
    assert "at most 1000" in refused(tmp_path / "c", *(InlineFile(str(n), b"") for n in range(1001)))
    assert "two files of the same name" in refused(tmp_path / "d", InlineFile("a", b""), InlineFile("a", b""))


class Unsized(InlineFile):
    """One whose source doesn't say how large it is."""

    @property
    def size(self) -> None:  # type: ignore[override]
        return None


def test_a_file_that_does_not_say_how_large_it_is_has_the_same_limits(tmp_path: Path) -> None:
    assert "a.bin is too large" in refused(tmp_path, Unsized("a.bin", b"x" * (4 * MiB + 1)))
    assert refused(tmp_path / "a", Unsized("a.bin", b"x" * 4 * MiB)) == "published: None"


class Short(InlineFile):
    """One of which less comes than was promised."""

    @property
    def size(self) -> int:
        return len(self.content) + 1


def test_promises_of_sources_are_held_in_memory_too(tmp_path: Path) -> None:
    assert refused(tmp_path, Short("a", b"x")) == "failed: a has 1 bytes where 2 were promised"
    wrong = InlineFile("a", b"x", digest="sha256:00")
    assert refused(tmp_path, wrong) == "failed: a does not have the promised digest"


def test_a_login_page_is_not_rendered(tmp_path: Path) -> None:
    assert "a is an HTML page" in refused(tmp_path, InlineFile("a", b"<!DOCTYPE html>"))


def test_a_source_that_changes_midway_publishes_nothing(tmp_path: Path) -> None:
    source = secret(password=b"p")
    source.changed_midway = True
    outcome = Rendered(tmp_path, source).refresh().outcome
    assert (outcome.result, outcome.error_class) == (Result.FAILED, "TransientError")


def test_what_a_source_raises_is_its_own(tmp_path: Path) -> None:
    source = secret(password=b"p")
    source.trouble = TransientError("503")
    assert Rendered(tmp_path, source).refresh().outcome.error == "503"


def test_an_answer_keeps_what_the_source_says_of_time(tmp_path: Path) -> None:
    source = secret(password=b"p")
    source.as_of, source.changes_at = Time().now, Time().now + timedelta(hours=1)
    provider = Rendered(tmp_path, source).provider
    with provider.fetch(None) as answer:
        assert (answer.as_of, answer.changes_at) == (source.as_of, source.changes_at)
        assert isinstance(answer, Fetched)
        revision = answer.revision
    with provider.fetch(Held(revision=revision, digests={})) as answer:
        assert answer == Unchanged(as_of=source.as_of, changes_at=source.changes_at)


def test_nothing_of_an_input_shows_in_a_repr(tmp_path: Path) -> None:
    read_ = inputs({"password": "s3cr3t"})
    assert "s3cr3t" not in repr(read_)
    with pytest.raises(KeyError):
        read_.open("nothing")
