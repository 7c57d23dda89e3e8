"""Sidecars as somebody on call might find them; every moment is relative to `now`."""

from datetime import datetime, timedelta

from refresher.model import Outcome, Result
from refresher.state import AssetState
from refresher.traffic import Transfer
from tests.fakes.sidecar import FakeSidecar, outcome, state

HOUR = timedelta(hours=1)
REFUSED = "certificate: web.example.com is not among its names: it has old.example.com"
UNREACHABLE = "GET https://config.example.com/flags.json: connection refused"
HOSTILE = (
    "<script>document.title='hostile'</script><img src=http://198.51.100.7/x onerror=alert(1)>"
    "</bdi></article><style>*{display:none}</style>\u202egnissim\u202c ${alert(1)} $title &lt;b&gt; \x1b[31m"
    + "unbroken"
    * 40
)


def past(
    now: datetime, asset: str, *results: tuple[Result, str | None], every: timedelta = HOUR
) -> tuple[Outcome, ...]:
    """Outcomes, oldest first, the last of them a minute ago."""
    ended = [now - timedelta(minutes=1) - every * number for number in reversed(range(len(results)))]
    return tuple(
        outcome(
            asset,
            result,
            started_at=end - timedelta(seconds=2),
            finished_at=end,
            generation=7,
            revision="3a:91:5e:0c",
            fetched_bytes=4_096 if result is Result.PUBLISHED else 0,
            error=error,
        )
        for end, (result, error) in zip(ended, results, strict=True)
    )


def quiet(now: datetime, asset: str, looks: int = 18) -> tuple[Outcome, ...]:
    """A publish, and after it only looks that found nothing new."""
    return past(now, asset, (Result.PUBLISHED, None), *[(Result.UNCHANGED, None)] * looks)


def certificate(now: datetime, asset: str = "web-tls", **facts: object) -> AssetState:
    """For a day, nine hours old."""
    well = {
        "result": Result.UNCHANGED,
        "revision": "3a:91:5e:0c:77:b2:19:f0",
        "published_at": now - 9 * HOUR,
        "expires_at": now + 15 * HOUR,
        "next_refresh_at": now + 6 * HOUR,
        "last_attempt_at": now - timedelta(minutes=1),
        "last_success_at": now - timedelta(minutes=1),
        "history": quiet(now, asset, 3),
    }
    return state(asset, **{**well, **facts})


def polled(now: datetime, asset: str, **facts: object) -> AssetState:
    """Looked at every five minutes, and without an end."""
    well = {"expires_at": None, "next_refresh_at": now + timedelta(minutes=4), "why_next": "interval"}
    return certificate(now, asset, **{**well, "history": quiet(now, asset), **facts})


def failing(now: datetime, asset: str = "flags", error: str = UNREACHABLE, **facts: object) -> AssetState:
    """The last three looks at its source failed."""
    ill = {
        "result": Result.FAILED,
        "error": error,
        "consecutive_failures": 3,
        "why_next": "retry",
        "next_refresh_at": now + timedelta(seconds=40),
        "last_success_at": now - 3 * HOUR,
        "history": past(now, asset, *[(Result.UNCHANGED, None)] * 14, *[(Result.FAILED, error)] * 3),
    }
    return polled(now, asset, **{**ill, **facts})


def expired(now: datetime) -> AssetState:
    """A certificate whose end was two hours ago, because what came was rejected."""
    history = past(now, "web-tls", (Result.PUBLISHED, None), *[(Result.REJECTED, REFUSED)] * 6)
    return failing(
        now,
        "web-tls",
        REFUSED,
        result=Result.REJECTED,
        published_at=now - 26 * HOUR,
        expires_at=now - 2 * HOUR,
        history=history,
        consecutive_failures=6,
    )


def downloading(now: datetime) -> AssetState:
    """A model, 43 % of which has come."""
    coming = Transfer(received=1_849_000_000, expected=4_300_000_000, seconds=21.0, rate=85_000_000.0)
    return polled(now, "fraud-model", transfer=coming)


def pinned(now: datetime) -> AssetState:
    """Put back by hand."""
    history = past(now, "prices", (Result.PUBLISHED, None), (Result.ROLLED_BACK, None))
    return polled(now, "prices", result=Result.ROLLED_BACK, pinned=True, next_refresh_at=None, history=history)


SCENES = {
    "well": lambda now: (certificate(now), polled(now, "flags"), polled(now, "fraud-model")),
    "failing": lambda now: (certificate(now), failing(now), polled(now, "fraud-model")),
    "expired": lambda now: (polled(now, "flags"), expired(now), downloading(now), pinned(now)),
    "downloading": lambda now: (certificate(now), downloading(now)),
    "pinned": lambda now: (certificate(now), pinned(now)),
    "hostile": lambda now: (failing(now, error=HOSTILE, revision=HOSTILE), certificate(now, refused=HOSTILE)),
    "begun": lambda now: (
        certificate(
            now, result=None, generation=None, revision=None, published_at=None, expires_at=None,
            next_refresh_at=now, why_next="first", notified_generation=None, last_success_at=None, history=(),
        ),
    ),
    "empty": lambda now: (),
}  # fmt: skip
"""By name: the assets' states."""


def sidecar(scene: str, *, now: datetime) -> FakeSidecar:
    """A sidecar in which that is so."""
    return FakeSidecar(*SCENES[scene](now))
