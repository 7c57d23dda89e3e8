"""What every notifier has to pass."""

# ruff: noqa: S101 - a kit of tests asserts, and without pytest
import gc
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

from refresher.contract import Change, Notifier
from refresher.errors import PermanentError, RejectedError, TransientError
from refresher.testing.expecting import in_time, raises


class NotifierContract:
    """Tests of `refresher.contract.Notifier`, against an app.

    `settles_within`: seconds after which a connection that was given up has to be gone. `gives_up_within`: seconds
    after which telling an app that says nothing has to have failed.
    """

    settles_within: float = 5.0
    gives_up_within: float = 60.0

    def notifier(self) -> Notifier:
        """A new notifier for an app that hears."""
        raise NotImplementedError

    def heard(self) -> int:
        """The generation that the app has heard of last, 0 if none."""
        raise NotImplementedError

    def deaf_notifier(self) -> Notifier:
        """A notifier for an app that isn't there."""
        raise NotImplementedError

    def refusing_notifier(self) -> Notifier | None:
        """A notifier for an app that says that it can't use what is published. None: no app can say so."""
        return None

    def silent_notifier(self, host: str, port: int) -> Notifier | None:
        """A notifier for an app at this address, where connections are accepted and nothing is ever said.

        With time limits as short as you can set them. None for an app that isn't told over a network.
        """
        return None

    def change(self, generation: int) -> Change:
        """What it is told: one published file."""
        now, digest = datetime.now(UTC), f"sha256:{generation:064x}"
        return Change(
            asset="settings",
            generation=generation,
            cause="published",
            revision=str(generation),
            digest=digest,
            path=Path("/shared/settings"),
            files={"settings.json": digest},
            published_at=now,
            expires_at=None,
        )

    def test_the_app_has_heard_when_it_returns(self) -> None:
        """Not a moment later, and of each generation."""
        notifier = self.notifier()
        for generation in (1, 2):
            notifier.notify(self.change(generation))
            assert self.heard() == generation, f"the app has heard of {self.heard()}, and was told of {generation}"

    def test_telling_again_does_no_harm(self) -> None:
        """A refresher that was killed before it could note that the app had heard tells it again."""
        for _ in range(2):
            self.notifier().notify(self.change(3))
        assert self.heard() == 3

    def test_an_app_that_is_not_there_has_not_heard(self) -> None:
        """It is told later: not being there is no refusal, after which a generation would be taken back."""
        with raises(TransientError, PermanentError):
            self.deaf_notifier().notify(self.change(1))

    def test_an_app_that_refuses_is_a_rejection(self) -> None:
        """Where it can say so."""
        refusing = self.refusing_notifier()
        if refusing is not None:
            with raises(RejectedError):
                refusing.notify(self.change(1))

    def test_who_says_nothing_is_given_up(self) -> None:
        """And told again: nobody else ends a telling that waits for ever."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            notifier = self.silent_notifier(*silent.getsockname())
            if notifier is not None:
                with raises(TransientError):
                    in_time(lambda: notifier.notify(self.change(1)), within=self.gives_up_within)

    def test_every_connection_is_given_back(self) -> None:
        """Of tellings that were heard and of those that weren't."""
        self._tell_both()
        allowed = self._open_descriptors()
        for generation in range(5):
            self._tell_both(generation)
        deadline = time.monotonic() + self.settles_within
        while (left := self._open_descriptors() - allowed) > 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert left <= 0, f"{left} connections or files stay open"

    def _tell_both(self, generation: int = 1) -> None:
        self.notifier().notify(self.change(generation))
        with raises(TransientError, PermanentError):
            self.deaf_notifier().notify(self.change(generation))

    def _open_descriptors(self) -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))
