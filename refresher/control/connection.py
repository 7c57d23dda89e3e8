"""One HTTP connection: uvicorn's, with the patience and the limits that it has no settings for."""

import asyncio
from typing import cast

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from refresher.control.problems import MEDIA_TYPE, problem_bytes


class Connection(H11Protocol):
    """Cuts off a request that doesn't arrive, and an answer that isn't taken in, within `patience` seconds.

    Without that, a client that sends or reads a byte now and then keeps its connection for ever: uvicorn limits only
    the time between requests. Of more than `most` connections, the one goes that has waited longest for its client;
    without a limit, whoever opens connections takes the descriptors that refreshing needs, and if the newest had to
    go, anybody who holds some open could keep kubelet out.
    """

    def __init__(
        self, config: Config, state: ServerState, *, loop: asyncio.AbstractEventLoop, patience: float, most: int
    ) -> None:
        super().__init__(config, state, {}, loop)
        self._patience, self._most = patience, most
        self._arrival: asyncio.TimerHandle | None = None
        self._departure: asyncio.TimerHandle | None = None
        self._begun = loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(cast(asyncio.Transport, transport))
        self.transport.set_write_buffer_limits(high=0)  # whatever the client hasn't taken in starts its clock
        if len(self.connections) > self._most and not self._make_room():
            self._refuse(503, "too many connections")
        else:
            self._expect()

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request in; the clock of a request runs from its first byte to its last."""
        super().data_received(data)
        if self.transport.is_closing() or self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._arrived()
        else:
            self._expect()

    def on_response_complete(self) -> None:
        """Go on with what came together with the request just answered: of that, too, the rest has to arrive."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self._expect()

    def pause_writing(self) -> None:
        """Give the client time to take in what is there; the transport calls this when something had to wait."""
        super().pause_writing()
        self._departure = self.loop.call_later(self._patience, self.transport.abort)

    def resume_writing(self) -> None:
        """All has gone."""
        self._departed()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the clocks."""
        self._arrived()
        self._departed()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what isn't HTTP; uvicorn calls this."""
        self._refuse(400, "this is not a request that HTTP/1.1 knows")

    def _expect(self) -> None:
        if self._arrival is None:
            self._arrival = self.loop.call_later(
                self._patience, self._refuse, 408, "the request took too long to arrive"
            )

    def _arrived(self) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    def _departed(self) -> None:
        if self._departure is not None:
            self._departure.cancel()
            self._departure = None

    def _make_room(self) -> bool:
        """Hang up on the oldest connection that waits for its client; False if all wait for us."""
        others = [cast(Connection, each) for each in self.connections if each is not self]
        there = [each for each in others if not each.transport.is_closing()]
        if len(there) < self._most:
            return True
        waiting = [each for each in there if each.waits_for_its_client]
        if waiting:
            min(waiting, key=lambda each: each._begun).transport.abort()
        return bool(waiting)

    @property
    def waits_for_its_client(self) -> bool:
        """Whether the next thing to come is a piece of a request, or room for more of an answer."""
        answering = self.conn.our_state in (h11.SEND_RESPONSE, h11.SEND_BODY)
        return not answering or self._arrival is not None or self._departure is not None

    def _refuse(self, status: int, detail: str) -> None:
        """Answer, if no answer has begun, and close."""
        if not self.transport.is_closing() and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = problem_bytes(status, detail)
            headers = [("content-type", MEDIA_TYPE), ("content-length", str(len(body))), ("connection", "close")]
            for event in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None:
            self.cycle.disconnected = True  # or the application would answer a second time, into a closed state machine
            self.cycle.message_event.set()
        self.transport.close()
