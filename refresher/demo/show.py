"""The demo, step by step: start everything, and show what a TLS client and the app see of it."""

import contextlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any, TypeVar

import urllib3

from refresher.demo.page import Page
from refresher.demo.pod import LIFETIME, NAME, Pod, Ports
from refresher.demo.process import free_port
from refresher.demo.sources import BROKEN_FLAGS, REPAIRED_FLAGS, Sources, require_programs
from refresher.demo.tls_client import Sighting, TlsClient

DONE, FAILED, SIGNALLED = 0, 1, 128
BY_HAND = 2
"""Which rotation is asked for by hand; the only one, if there is only one."""
PATIENCE = 30.0
"""Seconds for anything to happen: longer than a certificate lives, so that one that isn't renewed is seen to expire."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

T = TypeVar("T")


class EndedError(Exception):
    """Somebody wants the demo to end."""


class Ending:
    """Notes the signal that asks for the end; everything is then put away at the next wait, not in the middle of it."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._asked = Event()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals, until the context ends."""
        before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        try:
            yield
        finally:
            for number, action in before.items():
                signal.signal(number, action)

    def until(self, what: str, condition: Callable[[], T | None]) -> T:
        """The first answer of `condition` that isn't None.

        Raises EndedError at a signal, TimeoutError when patience is over.
        """
        deadline = time.monotonic() + PATIENCE
        while (answer := condition()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} within {PATIENCE:g} s")
            self.pause(0.02)
        return answer

    def pause(self, seconds: float) -> None:
        """Wait; EndedError at a signal."""
        if self._asked.wait(seconds):
            raise EndedError

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.signal = self.signal or number
        self._asked.set()


def show(*, rotations: int) -> int:
    """Run the demo until a TLS client saw so many rotations (0: until a signal); the exit code.

    Nothing is left of it: every process is ended, and the temporary directory removed.
    """
    ending = Ending()
    try:
        require_programs()
        with ending.listening(), tempfile.TemporaryDirectory(prefix="refresher-demo-") as directory:
            _play(Path(directory), rotations, ending)
    except (EndedError, OSError, RuntimeError, urllib3.exceptions.HTTPError) as error:
        # A Ctrl-C reaches the servers, too: whatever fails after it is no failure of theirs.
        if ending.signal is None:
            print(f"\nrefresher demo: {error}", *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
            return FAILED
        print("\nended", flush=True)
        return DONE if rotations == 0 else SIGNALLED + ending.signal
    return DONE


def _play(directory: Path, rotations: int, ending: Ending) -> None:
    page = Page(sys.stdout)
    page.title(f"refresher demo: real servers on this machine, in {directory}")
    with contextlib.ExitStack() as stack:
        page.step("Start the sources")
        sources = stack.enter_context(Sources.started(directory))
        ending.pause(0)
        _show_sources(page, sources)
        pod = Pod(directory, sources, Ports(api=free_port(), https=free_port(), local=free_port()))
        page.step(f"Start the sidecar: refresher run -c {pod.config.name}")
        stack.enter_context(pod.sidecar())
        ending.pause(0)
        _show_assets(page, pod)
        page.step("Start the main container: a TLS app that reads tls/ and reloads when told")
        stack.enter_context(pod.main_container())
        client = stack.enter_context(TlsClient(pod.ports.https, name=NAME, roots=sources.roots).connecting())
        Show(page, sources, pod, client, ending).run(rotations)


def _show_sources(page: Page, sources: Sources) -> None:
    page.fact("OpenBao", f"{sources.bao.address}   a PKI; its certificates live {LIFETIME.total_seconds():g} s here")
    page.fact("SeaweedFS", f"{sources.seaweed.endpoint_url}   a bucket with a model and its SHA256SUMS")
    page.fact("Caddy", f"{sources.caddy.url}   flags.json")


def _show_assets(page: Page, pod: Pod) -> None:
    for name, directory in (("web-tls", "tls"), ("model", "model"), ("flags", "flags")):
        state = pod.asset(name)
        files = ", ".join(sorted(state["files"]))
        page.good(name, f"generation {state['generation']}   {directory}/ has {files}")
    page.fact("files", str(pod.volume))
    page.fact("API", pod.api)


class Show:
    """The part that is worth watching."""

    def __init__(self, page: Page, sources: Sources, pod: Pod, client: TlsClient, ending: Ending) -> None:
        self._page, self._sources, self._pod, self._client, self._ending = page, sources, pod, client, ending
        self._serial = ""

    def run(self, rotations: int) -> None:
        """Show so many rotations, the refusal of a bad update before the one by hand, and what it came to."""
        started = time.monotonic()
        self._first()
        by_hand = min(BY_HAND, rotations or BY_HAND)
        for number in range(1, rotations + 1) if rotations else count(1):
            title = f"Rotation {number} of {rotations}" if rotations else f"Rotation {number}"
            if number == by_hand:
                self._refuse()
                self._rotate_by_hand(title)
            else:
                self._rotate_at_renewal(title)
            if number == by_hand and not rotations:
                self._page.fact("from now on", "every renewal is shown, until Ctrl-C")
        self._summarize(rotations, time.monotonic() - started)

    def _first(self) -> None:
        sighting = self._sighting()
        self._serial = sighting.serial
        self._page.good("served", f"{_short(sighting.serial)}   seen by a TLS client that trusts the PKI's root only")
        heard = self._ending.until("the app was not told of its first certificate", lambda: self._told("web-tls", 1))
        self._ending.until("the app was not told of the flags", lambda: self._told("flags", 1))
        self._page.fact("told", f"of generation {heard}, again and again until the app was up")

    def _rotate_at_renewal(self, title: str) -> None:
        self._page.step(f"{title}: the certificate's renewal moment comes")
        self._announce()
        self._show_rotation(self._sighting())

    def _rotate_by_hand(self, title: str) -> None:
        self._page.step(f"{title}: a manual refresh")
        answer = self._pod.refresh_by_hand()
        self._page.fact("$", answer.command)
        result, generation = answer.outcome["result"], answer.outcome["generation"]
        self._page.fact("answer", f"{result}, generation {generation}, revision {_short(answer.outcome['revision'])}")
        if result != "published":
            raise RuntimeError(f"the manual refresh ended {result}: {answer.outcome['error']}")
        sighting = self._sighting()
        while sighting.serial != answer.outcome["revision"]:
            self._page.fact("meanwhile", f"{_short(sighting.serial)}   from a renewal that had come just before")
            self._serial, sighting = sighting.serial, self._sighting()
        self._show_rotation(sighting)

    def _refuse(self) -> None:
        self._page.step("A bad update: flags.json on the web server is cut off in the middle")
        before, told = self._pod.asset("flags"), self._pod.told("flags")
        self._sources.offer_flags(BROKEN_FLAGS)
        refused = self._ending.until("the bad update was not refused", lambda: self._stands(result="rejected"))
        self._page.bad("rejected", str(refused["error"]))
        if refused["generation"] != before["generation"] or self._pod.told("flags") != told:
            raise RuntimeError("the bad update got through")
        self._page.good("kept", f"generation {before['generation']}   {self._flags()}; the app was told nothing")
        self._sources.offer_flags(json.dumps(REPAIRED_FLAGS))
        good = self._ending.until("the repaired file was not published", lambda: self._stands(result="published"))
        self._ending.until("the app was not told", lambda: self._told("flags", good["generation"]))
        self._page.good("repaired", f"generation {good['generation']}   {self._flags()}; the app was told")

    def _announce(self) -> None:
        planned = datetime.fromisoformat(self._pod.asset("web-tls")["next_refresh_at"])
        wait = max((planned - datetime.now(UTC)).total_seconds(), 0)
        self._page.fact("planned", f"in {wait:.0f} s, as the API says; until then nothing new is issued")

    def _show_rotation(self, sighting: Sighting) -> None:
        began = self._ending.until("the log showed no refresh", lambda: self._pod.began(sighting.serial))
        took = (sighting.at - began).total_seconds() * 1000
        change = f"{_short(self._serial)} → {_short(sighting.serial)}"
        self._page.good("served", f"{change}   {took:.0f} ms after the refresh began, to a TLS client")
        self._serial = sighting.serial

    def _summarize(self, rotations: int, seconds: float) -> None:
        self._look_for_failures()
        shown = "1 rotation, by hand" if rotations == 1 else f"{rotations} rotations, one of them by hand"
        seen = f"{self._client.handshakes} TLS handshakes, none failed"
        self._page.title(f"\nDone in {seconds:.0f} s: {shown}; one bad update refused; {seen}.")

    def _sighting(self) -> Sighting:
        return self._ending.until("a TLS client saw no new certificate", self._seen)

    def _seen(self) -> Sighting | None:
        self._look_for_failures()
        return self._client.sighting()

    def _look_for_failures(self) -> None:
        if self._client.failures:
            raise RuntimeError(f"a TLS client could not connect: {self._client.failures[0]}")

    def _told(self, asset: str, generation: int) -> int | None:
        """The latest generation that the app was told of, once that is at least this one."""
        latest = max(self._pod.told(asset), default=0)
        return latest if latest >= generation else None

    def _stands(self, *, result: str) -> dict[str, Any] | None:
        """The flags' standing once their last outcome is that one."""
        state = self._pod.asset("flags")
        return state if state["result"] == result else None

    def _flags(self) -> str:
        return (self._pod.volume / "flags/flags.json").read_text()


def _short(serial: str) -> str:
    """The first five bytes of a serial number: enough to tell two apart."""
    return serial[:14]
