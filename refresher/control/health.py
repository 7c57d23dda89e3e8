"""`/livez`, `/readyz` and `/metrics`: what kubelet and Prometheus ask."""

from collections.abc import Mapping
from datetime import datetime

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from refresher.control.calls import Call, Endpoint, Reply, refused
from refresher.control.documents import moment
from refresher.control.metrics import Metrics
from refresher.control.problems import ProblemResponse
from refresher.control.shapes import Alive, Problem, Ready, UnreadyProblem
from refresher.control.sidecar import Sidecar
from refresher.control.together import Together
from refresher.model import Clock
from refresher.state import AssetState


class Health:
    """The calls that tell nothing secret and change nothing."""

    def __init__(self, sidecar: Sidecar, metrics: Metrics, *, clock: Clock) -> None:
        self._sidecar, self._metrics, self._clock = sidecar, metrics, clock
        self._texts, self._looks = Together[bytes](), Together[list[AssetState]]()

    def calls(self) -> list[Call]:
        """The three calls."""
        alive = {
            200: Reply(means="It runs.", document=Alive),
            503: refused("It doesn't, or there are too many connections."),
        }
        ready = {
            200: Reply(means="All are.", document=Ready),
            503: refused("Not all are, or there are too many connections.", UnreadyProblem | Problem),
        }
        text = {200: Reply(means="The metrics.", document=str, media_type=CONTENT_TYPE_LATEST)}
        return [
            _probe("/livez", self.livez, "whether the scheduler runs", alive),
            _probe("/readyz", self.readyz, "whether every required asset is usable", ready),
            _probe("/metrics", self.metrics, "the metrics for Prometheus", text),
        ]

    async def livez(self, request: Request) -> Response:
        """Whether the scheduler's heart beats; a source that is down never matters here."""
        if self._sidecar.alive():
            return JSONResponse({"alive": True})
        return ProblemResponse(503, "the scheduler doesn't run any more")

    async def readyz(self, request: Request) -> Response:
        """Whether every required asset has a generation that is neither expired nor stale."""
        unready = await self._looks.made(request, self._unready)  # None: whatever follows, nobody reads it
        if not unready:
            return JSONResponse({"ready": True})
        now = self._clock()
        reasons = [{"asset": state.asset, "reason": _unready_because(state, now)} for state in unready]
        detail = "; ".join(f"{reason['asset']}: {reason['reason']}" for reason in reasons)
        return ProblemResponse(503, detail, members={"assets": reasons})

    def _unready(self) -> list[AssetState]:
        return [state for state in self._sidecar.all_states() if state.required and not state.ready]

    async def metrics(self, request: Request) -> Response:
        """The Prometheus text format."""
        text = await self._texts.made(request, self._metrics.text)
        return Response(text, media_type=None, headers={"content-type": CONTENT_TYPE_LATEST})


def _probe(path: str, endpoint: Endpoint, does: str, answers: Mapping[int, Reply]) -> Call:
    return Call(method="GET", path=path, endpoint=endpoint, does=does, answers=answers)


def _unready_because(state: AssetState, now: datetime) -> str:
    """Why an asset that isn't ready isn't, in words."""
    if state.generation is None:
        return "nothing is published yet"
    if state.expires_at and state.expires_at <= now:
        return f"generation {state.generation} expired at {moment(state.expires_at)}"
    if state.last_success_at:
        return f"stale: the last successful look at the source was at {moment(state.last_success_at)}"
    return "stale: no look at the source has succeeded yet"
