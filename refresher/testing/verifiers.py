"""What every verifier has to pass."""

# ruff: noqa: PT017, S101 - a kit of tests asserts, and without pytest
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO

from refresher.contract import FileSet, Finding, StagedFile, Verifier
from refresher.errors import PermanentError, RejectedError
from refresher.testing.expecting import raises

NOISE = (b"", b"\0", b"\xff\xfe" * 500, b"{" * 5000, b"-----BEGIN CERTIFICATE-----\n")
"""Content that many a parser trips over."""


@dataclass(frozen=True, kw_only=True)
class Files:
    """A file set in memory; `opened` are the streams that somebody asked for."""

    contents: Mapping[str, bytes]
    opened: list[BinaryIO] = field(default_factory=list)

    @property
    def files(self) -> Mapping[str, StagedFile]:
        """As `FileSet.files`."""
        return {
            name: StagedFile(size=len(data), digest=f"sha256:{hashlib.sha256(data).hexdigest()}", sensitive=False)
            for name, data in self.contents.items()
        }

    def open(self, name: str) -> BinaryIO:
        """As `FileSet.open`."""
        self.opened.append(io.BytesIO(self.contents[name]))
        return self.opened[-1]


@dataclass(frozen=True, kw_only=True)
class FilesToJudge(Files):
    """A `refresher.contract.Candidate` in memory."""

    asset: str = "candidate"
    now: datetime
    published: FileSet | None = None


class VerifierContract:
    """Tests of `refresher.contract.Verifier`."""

    def verifier(self) -> Verifier:
        """A new verifier, which has all that it needs to judge."""
        raise NotImplementedError

    def good(self) -> Mapping[str, bytes]:
        """Files by name, at least one, that it accepts, whether something is published already or not."""
        raise NotImplementedError

    def bad(self) -> Mapping[str, bytes]:
        """Files that it refuses where `good` is published."""
        raise NotImplementedError

    def unable_verifier(self) -> Verifier | None:
        """One that can't judge, because the key that it is configured with isn't there, say. None: it always can."""
        return None

    def now(self) -> datetime:
        """The moment to judge for."""
        return datetime.now(UTC)

    def test_what_is_good_is_accepted(self) -> None:
        """As the first thing and in place of itself, each time with the same finding, whose moments have a zone."""
        verifier, published = self.verifier(), Files(contents=self.good())
        first = verifier.verify(self._candidate(self.good(), None))
        assert isinstance(first, Finding), f"{first!r} where a Finding is due"
        assert verifier.verify(self._candidate(self.good(), published)) == first, "another look, another finding"
        for moment in (first.valid_from, first.expires_at):
            assert moment is None or moment.utcoffset() is not None, f"{moment} has no time zone"

    def test_what_is_bad_is_rejected(self) -> None:
        """With a reason, whatever it thought of other files before."""
        verifier, published = self.verifier(), Files(contents=self.good())
        verifier.verify(self._candidate(self.good(), None))
        with raises(RejectedError):
            verifier.verify(self._candidate(self.bad(), published))

    def test_a_file_that_is_not_there_is_no_bug(self) -> None:
        """A source can offer anything: that is accepted or rejected, and nothing is looked for that isn't there."""
        self._judge({"unheard-of": b"x"}, "a file that nobody knows")
        for name in self.good():
            left = {other: content for other, content in self.good().items() if other != name}
            self._judge(left or {"unheard-of": b"x"}, f"{name} missing")

    def test_a_file_that_is_noise_is_no_bug(self) -> None:
        """Whatever a parser raises is a rejection."""
        for name, content in self.good().items():
            for noise in (*NOISE, content[: len(content) // 2], content + b"\0"):
                self._judge({**self.good(), name: noise}, f"{noise[:20]!r}… as {name}")

    def test_who_cannot_judge_refuses_nothing(self) -> None:
        """That is a PermanentError: a rejection would be remembered, and the check not made again."""
        unable = self.unable_verifier()
        if unable is not None:
            with raises(PermanentError):
                unable.verify(self._candidate(self.good(), None))

    def test_every_file_is_closed(self) -> None:
        """Of what is accepted and of what is rejected."""
        for contents in (self.good(), self.bad()):
            published = Files(contents=self.good())
            candidate = self._candidate(contents, published)
            self._judge_one(candidate)
            left = [stream for stream in (*candidate.opened, *published.opened) if not stream.closed]
            assert not left, f"{len(left)} files stay open"

    def _candidate(self, contents: Mapping[str, bytes], published: FileSet | None) -> FilesToJudge:
        return FilesToJudge(contents=contents, now=self.now(), published=published)

    def _judge(self, contents: Mapping[str, bytes], what: str) -> None:
        for published in (None, Files(contents=self.good())):
            try:
                self._judge_one(self._candidate(contents, published))
            except Exception as error:
                raise AssertionError(f"{type(error).__name__} for {what}") from error

    def _judge_one(self, candidate: FilesToJudge) -> None:
        try:
            self.verifier().verify(candidate)
        except RejectedError as error:
            assert str(error), "a rejection without a reason"
