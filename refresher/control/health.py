"""`/livez`, `/readyz` and `/metrics`: what kubelet and Prometheus ask."""

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from refresher.control.documents import unready_because
from refresher.control.metrics import Metrics
from refresher.control.problems import ProblemResponse
from refresher.control.sidecar import Sidecar
from refresher.model import Clock


class Health:
    """The calls that tell nothing secret and change nothing."""

    def __init__(self, sidecar: Sidecar, metrics: Metrics, *, clock: Clock) -> None:
        self._sidecar, self._metrics, self._clock = sidecar, metrics, clock

    def routes(self) -> list[Route]:
        """The three calls."""
        return [Route("/livez", self.livez), Route("/readyz", self.readyz), Route("/metrics", self.metrics)]

    async def livez(self, request: Request) -> Response:
        """Whether the scheduler's heart beats; a source that is down never matters here."""
        if self._sidecar.alive():
            return JSONResponse({"alive": True})
        return ProblemResponse(503, "the scheduler doesn't run any more")

    async def readyz(self, request: Request) -> Response:
        """Whether every required asset has a generation that is neither expired nor stale."""
        states = [self._sidecar.state(name) for name in self._sidecar.names()]
        unready = [state for state in states if state.required and not state.ready]
        if not unready:
            return JSONResponse({"ready": True})
        now = self._clock()
        reasons = [{"asset": state.asset, "reason": unready_because(state, now)} for state in unready]
        detail = "; ".join(f"{reason['asset']}: {reason['reason']}" for reason in reasons)
        return ProblemResponse(503, detail, members={"assets": reasons})

    async def metrics(self, request: Request) -> Response:
        """The Prometheus text format."""
        return Response(self._metrics.text(), media_type=None, headers={"content-type": CONTENT_TYPE_LATEST})
