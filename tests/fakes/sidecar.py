"""A sidecar whose refreshes end when the test says so."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from refresher.model import Outcome, Result
from refresher.state import AssetState, CircuitState, ConfigurationState, EndpointState

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)

AWAY = EndpointState(address="https://vault:8200", circuit=CircuitState.OPEN, until=NOW, failures=3)


def state(asset: str, **facts: object) -> AssetState:
    """An asset that holds generation 7 and is well, but for `facts`."""
    well = AssetState(
        asset=asset,
        required=True,
        result=Result.PUBLISHED,
        generation=7,
        revision="3a:91",
        digest="sha256:aa",
        files={"tls.crt": "sha256:bb"},
        published_at=NOW,
        expires_at=NOW.replace(day=23),
        next_refresh_at=NOW.replace(day=23, hour=0, minute=10),
        why_next="renewal",
        notified_generation=7,
        refused=None,
        pinned=False,
        error=None,
        last_attempt_at=NOW,
        last_success_at=NOW,
        consecutive_failures=0,
        ready=True,
    )
    return replace(well, **facts)  # type: ignore[arg-type]


def outcome(asset: str, result: Result = Result.PUBLISHED, **facts: object) -> Outcome:
    """How a refresh ended at `NOW`."""
    return replace(Outcome(asset=asset, result=result, started_at=NOW, finished_at=NOW), **facts)  # type: ignore[arg-type]


@dataclass(eq=False)
class FakeRequest:
    """A refresh that the test ends."""

    visible: Future[Outcome] = field(default_factory=Future)
    told: Future[bool] = field(default_factory=Future)


class FakeSidecar:
    """Fulfils `refresher.control.sidecar.Sidecar`. `ends`: how refreshes of an asset end at once; others hang."""

    def __init__(self, *states: AssetState) -> None:
        self.states = {each.asset: each for each in states}
        self.ends: dict[str, Outcome] = {}
        self.heard: bool | None = None
        self.running: dict[str, FakeRequest] = {}
        self.asked = 0
        self.refreshes = 0
        self.beats = True
        self.valid = True
        self.fixed: tuple[str, ...] = ()
        self.by_hand: list[tuple[str, str, int | None]] = []
        self.refuses: Exception | None = None

    def names(self) -> Sequence[str]:
        return tuple(self.states)

    def all_states(self) -> Sequence[AssetState]:
        return [self.state(name) for name in self.states]

    def state(self, asset: str) -> AssetState:
        return self.states[asset]

    def request(self, asset: str) -> FakeRequest:
        self.asked += 1
        request = self.running.get(asset)
        if request is None or request.visible.done():
            self.refreshes += 1
            request = self.running[asset] = FakeRequest()
            if asset in self.ends:
                request.visible.set_result(self.ends[asset])
            if self.heard is not None:
                request.told.set_result(self.heard)
        return request

    def go_back(self, asset: str, *, to: int | None) -> Future[None]:
        self.by_hand.append(("go back", asset, to))
        return self._done()

    def unpin(self, asset: str) -> Future[None]:
        self.by_hand.append(("unpin", asset, None))
        return self._done()

    def _done(self) -> Future[None]:
        done: Future[None] = Future()
        if self.refuses:
            done.set_exception(self.refuses)
        else:
            done.set_result(None)
        return done

    def alive(self) -> bool:
        return self.beats

    def configuration(self) -> ConfigurationState:
        return ConfigurationState(
            loaded_at=NOW, problems=() if self.valid else ("assets.web: is not a known key",), restart_needed=self.fixed
        )
