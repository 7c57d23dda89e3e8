"""What every provider has to pass."""

# ruff: noqa: S101 - a kit of tests asserts, and without pytest
import gc
import os
import socket
import time
import warnings
from contextlib import closing, nullcontext, suppress
from threading import Event, Thread
from urllib.parse import urlsplit

from refresher.abilities import (
    Checked,
    Diagnosable,
    Follow,
    Following,
    Observation,
    Ranged,
    Reaching,
    Verdict,
    Versioned,
)
from refresher.contract import Provider, Unchanged
from refresher.errors import PermanentError, RefresherError, TransientError, UnavailableError
from refresher.testing.expecting import in_time, raises
from refresher.testing.reading import as_fetched, contents_of, hold, hold_and_read, longest, read, rest, some


class ProviderContract:
    """Tests of `refresher.contract.Provider`, against a source with at least one file of at least two bytes.

    `mints` is True for a source that makes something new at each fetch (a certificate, say): it never answers
    `Unchanged`, and has to say so with `Fetched.minted`; nothing is said about its bytes at another look.
    `settles_within`: seconds after which a connection that was given up has to be gone. `gives_up_within`: seconds
    after which a fetch from a source that says nothing has to have failed. `several_servers` is True for a source over
    a network that isn't one server's, so that it has no `endpoint`.
    """

    mints: bool = False
    several_servers: bool = False
    settles_within: float = 5.0
    gives_up_within: float = 60.0

    def provider(self) -> Provider:
        """A new provider for the source, which exists and which nobody changes meanwhile."""
        raise NotImplementedError

    def change(self) -> None:
        """Give the source other content. Not called if `mints`."""
        raise NotImplementedError

    def missing_provider(self) -> Provider:
        """A provider for something that a source which answers doesn't have."""
        raise NotImplementedError

    def unreachable_provider(self) -> Provider:
        """A provider for a source that nobody answers for, such as a closed port."""
        raise NotImplementedError

    def silent_provider(self, host: str, port: int) -> Provider | None:
        """A provider for a source at this address, where connections are accepted and nothing is ever said.

        With time limits as short as you can set them. None for a source that isn't asked over a network.
        """
        return None

    def open_connections(self) -> int:
        """How many connections and files are open now. All descriptors of this process, unless you know better."""
        return len(os.listdir("/proc/self/fd"))

    def test_the_first_fetch_answers_fetched(self) -> None:
        """Nothing is held, so there is something to fetch."""
        with self.provider().fetch(None) as answer:
            fetched = as_fetched(answer)
            assert fetched.files, "Fetched without files"
            assert fetched.minted == self.mints, "Fetched.minted and the contract's `mints` have to agree"

    def test_shown_what_it_gave_it_answers_unchanged(self) -> None:
        """A look at an unchanged source is cheap; one that makes things anew is never asked just to look."""
        provider = self.provider()
        held = hold(provider)
        with provider.fetch(held) as answer:
            if self.mints:
                assert as_fetched(answer).minted, "a minting source has to say so at each fetch"
            else:
                assert isinstance(answer, Unchanged), f"shown its own revision it answers {answer!r}"

    def test_after_a_change_it_answers_another_revision(self) -> None:
        """A change at the source is seen, by its revision and in the bytes."""
        provider = self.provider()
        held, before = hold_and_read(provider)
        if not self.mints:
            self.change()
        with provider.fetch(held) as answer:
            fetched = as_fetched(answer)
            assert fetched.revision != held.revision, "the revision says that nothing changed"
            assert contents_of(fetched) != before, "other revision, same content"

    def test_the_names_are_relative_and_safe(self) -> None:
        """Parts joined by `/`, none of them empty, `.` or `..`, and no name twice."""
        with self.provider().fetch(None) as answer:
            names = [file.name for file in as_fetched(answer).files]
        assert len(names) == len(set(names))
        for name in names:
            assert not {"", ".", ".."} & set(name.split("/")), f"unsafe name {name!r}"

    def test_a_promised_size_holds(self) -> None:
        """`size` is what a reader gets."""
        with self.provider().fetch(None) as answer:
            for file in as_fetched(answer).files:
                assert file.size in (None, len(read(file.open()))), f"{file.name} has another size than promised"

    def test_reading_can_start_at_any_offset_and_again(self) -> None:
        """The rest of a file is the same bytes, wherever reading starts; and from the start once more."""
        with self.provider().fetch(None) as answer:
            for file in as_fetched(answer).files:
                whole = read(file.open())
                for offset in sorted({1, len(whole) // 2, max(len(whole) - 1, 0)}):
                    assert read(file.open(offset)) == whole[offset:], f"{file.name} differs from byte {offset} on"
                assert read(file.open()) == whole

    def test_two_streams_of_one_file_are_independent(self) -> None:
        """Big files are fetched in several ranges at once."""
        with self.provider().fetch(None) as answer:
            file = longest(as_fetched(answer))
            with closing(file.open()) as first:
                head = some(first, 1)
                assert read(file.open(1)) == rest(first)
                assert head

    def test_ranges_are_the_bytes_that_were_asked_for(self) -> None:
        """Side by side, each exactly as long as it was asked to be; where the provider has ranges at all."""
        with self.provider().fetch(None) as answer:
            for file in as_fetched(answer).files:
                if isinstance(file, Ranged) and file.ranged:
                    whole = read(file.open())
                    middle = len(whole) // 2
                    with closing(file.open_range(0, middle)) as first, closing(file.open_range(middle, 1)) as second:
                        assert (rest(second), rest(first)) == (whole[middle : middle + 1], whole[:middle])

    def test_a_file_has_a_revision_of_its_own_until_it_changes(self) -> None:
        """The same one at each fetch, and never the same one for other bytes."""
        before = self._revisions()
        if not self.mints:
            assert self._revisions().keys() >= before.keys(), "a revision of a file changes by itself"
            self.change()
        for (name, revision), content in self._revisions().items():
            known = before.get((name, revision), content)
            assert known == content, f"{name} has other bytes under the same revision"

    def test_a_checksum_is_that_of_the_bytes(self) -> None:
        """What the source sent is right for what it sends, and wrong for anything else."""
        with self.provider().fetch(None) as answer:
            for file in as_fetched(answer).files:
                with closing(file.open()) as stream:
                    content = rest(stream)
                    checks = [file.check() for _ in range(2)] if isinstance(file, Checked) else []
                for check, seen in zip(checks, (content, content + b"x"), strict=False):
                    if check is not None:
                        check.update(memoryview(seen))
                        with nullcontext() if seen == content else raises(TransientError):
                            check.verify()

    def test_what_is_missing_is_permanent(self) -> None:
        """Asking again soon doesn't help against a missing path."""
        with raises(PermanentError):
            hold(self.missing_provider())

    def test_who_is_unreachable_is_transient(self) -> None:
        """A source that is down may be up soon."""
        with raises(TransientError):
            hold(self.unreachable_provider())

    def test_who_says_nothing_is_given_up(self) -> None:
        """A source that hangs is as good as down: nobody else ends a fetch that waits for ever."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            provider = self.silent_provider(*silent.getsockname())
            if provider is None:
                return
            with raises(TransientError):
                in_time(lambda: hold(provider), within=self.gives_up_within)

    def test_who_names_an_endpoint_says_when_it_is_away_and_shows_no_path_and_no_login(self) -> None:
        """All assets of one endpoint wait together, and it is shown in status, metrics and logs.

        Whoever is asked over a network, and so has a `silent_provider`, has one.
        """
        away = self.unreachable_provider()
        if not isinstance(away, Reaching) or not away.endpoint:
            local = self.silent_provider("127.0.0.1", 9) is None
            assert local or self.several_servers, "no `endpoint`: each asset asks a server that is away by itself"
            return
        parts = urlsplit(away.endpoint)
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        assert away.endpoint == shown, "an endpoint is scheme, host and port, and nothing else"
        with raises(UnavailableError):
            hold(away)

    def test_a_diagnosis_finds_what_works_and_what_does_not(self) -> None:
        """Nothing fails where a fetch works, and something where nobody answers; what fails comes with advice."""
        provider, away = self.provider(), self.unreachable_provider()
        if not isinstance(provider, Diagnosable):
            return
        well = _diagnosed(provider)
        assert Verdict.OK in {each.verdict for each in well}, "nothing is found to work"
        failing = [each for each in well if each.verdict is Verdict.FAIL]
        assert not failing, f"it works, and the diagnosis says {failing}"
        ill = [each for each in _diagnosed(away) if each.verdict is Verdict.FAIL]
        assert ill, "nobody answers, and the diagnosis finds nothing wrong"
        assert all(each.seen and each.advice for each in ill), "a failure without what to do about it"

    def test_waiting_at_the_source_ends_with_a_change_and_when_it_is_told_to(self) -> None:
        """A change while it waits is seen, and so is one before; who is told to end does, and leaves nothing open."""
        provider = self.provider()
        if not (isinstance(provider, Following) and provider.follows):
            return
        follow = provider.follow(hold(provider).revision)
        seen, closed, ended = Event(), Event(), Event()
        Thread(target=_keep_waiting, args=(follow, seen, closed, ended), daemon=True).start()
        try:
            if not self.mints:
                self.change()
                assert seen.wait(self.settles_within), "a change at the source ends no wait"
        finally:
            closed.set()
            follow.close()
        assert ended.wait(self.settles_within), "close doesn't end a wait"

    def test_every_connection_is_given_back(self) -> None:
        """Neither streams that are left half read nor fetches whose files nobody opens leave anything open."""
        provider = self.provider()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ResourceWarning)
            self._leave_early(provider)
            allowed = self._settled()
            for _ in range(5):
                self._leave_early(provider)
            deadline = time.monotonic() + self.settles_within
            while (left := self._settled()) > allowed and time.monotonic() < deadline:
                time.sleep(0.01)
        leaks = [str(warning.message) for warning in caught if issubclass(warning.category, ResourceWarning)]
        assert left <= allowed, f"{left - allowed} connections or files stay open"
        assert not leaks, f"left for the garbage collector: {leaks}"

    def _revisions(self) -> dict[tuple[str, str], bytes]:
        with self.provider().fetch(None) as answer:
            files = [file for file in as_fetched(answer).files if isinstance(file, Versioned)]
            return {(file.name, file.revision): read(file.open()) for file in files if file.revision}

    def _leave_early(self, provider: Provider) -> None:
        with provider.fetch(None) as answer:
            as_fetched(answer)
        with provider.fetch(None) as answer, closing(longest(as_fetched(answer)).open()) as stream:
            some(stream, 1)
        if isinstance(provider, Diagnosable):
            _diagnosed(provider)

    def _settled(self) -> int:
        gc.collect()
        return self.open_connections()


def _keep_waiting(follow: Follow, seen: Event, closed: Event, ended: Event) -> None:
    """Until it is closed, which may end a wait with an error."""
    with suppress(RefresherError):
        while not closed.is_set():
            if follow.wait():
                seen.set()
    ended.set()


def _diagnosed(provider: Provider) -> list[Observation]:
    """Its observations; what it raises is one, too."""
    assert isinstance(provider, Diagnosable)
    found: list[Observation] = []
    try:
        found.extend(provider.diagnose())
    except RefresherError as error:
        found.append(Observation.fail("source", str(error), "see the error"))
    return found
