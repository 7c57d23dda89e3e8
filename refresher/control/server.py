"""The two listeners, control and probes, in one event loop in one daemon thread."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from threading import Thread
from typing import cast

from starlette.types import ASGIApp
from uvicorn._types import ASGIApplication
from uvicorn.config import Config
from uvicorn.server import ServerState

from refresher.address import Unix
from refresher.control.api import Api, starlette
from refresher.control.connection import Connection
from refresher.control.guards import Guard, Rules, Stamp, WholeBody, token_needed
from refresher.control.health import Health
from refresher.control.listen import BACKLOG, Door
from refresher.control.metrics import Metrics
from refresher.control.refreshes import Refreshes
from refresher.control.sidecar import Sidecar
from refresher.errors import ConfigError
from refresher.model import Clock
from refresher.options import Secret
from refresher.ratelimit import RateLimit, of_wishes

CONNECTIONS = 512
"""At most, for each listener."""
HEADER_LIMIT = 16 * 1024
"""Bytes of a request's line and headers."""
IDLE = 5
"""Seconds between two requests on one connection."""
ROUNDS = 3
"""Of the event loop, until one that was accepted is a connection: its task begins, the transport, the protocol."""
WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what a Host header never names


@dataclass(frozen=True, slots=True)
class _Listener:
    """A door, the application behind it, and what uvicorn knows about its connections."""

    door: Door
    config: Config
    state: ServerState = field(default_factory=ServerState)


class ControlServer:
    """Serves the control API and the probes from `start` to `stop`, once.

    `listen` and `probes` are written as in the configuration; None means that there is no such listener. `patience` is
    how long a request may take to arrive, `farewell` how long answers in progress have at the end. `limit` has the
    contract's figures unless one is given.
    """

    def __init__(
        self,
        sidecar: Sidecar,
        metrics: Metrics,
        *,
        clock: Clock,
        listen: str | None,
        probes: str | None = None,
        hosts: Sequence[str] = (),
        token: Secret | None = None,
        patience: timedelta = timedelta(seconds=10),
        farewell: timedelta = timedelta(seconds=0.5),
        limit: RateLimit | None = None,
    ) -> None:
        self._health = Health(sidecar, metrics, clock=clock)
        self._api = Api(
            sidecar, Refreshes(sidecar, limit or of_wishes()), self._health, clock=clock, token=token is not None
        )
        self._listen, self._probes, self._hosts, self._token = listen, probes, hosts, token
        self._patience, self._farewell = patience.total_seconds(), farewell.total_seconds()
        self._running: _Running | None = None

    def start(self) -> None:
        """Return once the listeners accept connections. If one can't: ConfigError, and nobody listens."""
        with ExitStack() as doors:
            listeners = []
            if self._listen is not None:
                listeners.append(self._control(doors, self._listen))
            if self._probes is not None:
                listeners.append(self._probing(doors, self._probes))
            self._running = _Running(listeners, patience=self._patience, farewell=self._farewell)
            doors.pop_all()

    def stop(self) -> None:
        """Stop listening; answers in progress have the farewell. Returns when all is over, or after a second."""
        if self._running:
            self._running.stop()
            self._running = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the control listener listens, then the probes', of those that there are; empty while nobody does."""
        return self._running.addresses if self._running else ()

    def _control(self, doors: ExitStack, written: str) -> _Listener:
        door = doors.enter_context(closing(Door(written, key="control.listen")))
        if door.exposed and self._token is None:
            raise ConfigError(f"control.token: is required, because control.listen ({written}) isn't loopback")
        rules = Rules(hosts=self._host_names(door), token=self._token, exposed=door.exposed)
        calls = self._api.calls(partial(token_needed, rules=rules))
        return _Listener(door, _config(Stamp(Guard(WholeBody(starlette(calls)), rules))))

    def _probing(self, doors: ExitStack, written: str) -> _Listener:
        door = doors.enter_context(closing(Door(written, key="probes.listen")))
        return _Listener(door, _config(Stamp(WholeBody(starlette(self._health.calls())))))

    def _host_names(self, door: Door) -> frozenset[str] | None:
        if isinstance(door.where, Unix):
            return None
        return frozenset({door.where.host.lower(), *(host.lower() for host in self._hosts)}) - WILDCARDS


class _Running:
    """The thread, and in it the event loop with the listeners."""

    def __init__(self, listeners: list[_Listener], *, patience: float, farewell: float) -> None:
        self._listeners, self._patience, self._farewell = listeners, patience, farewell
        self._begun: Future[Callable[[], object]] = Future()
        self._thread = Thread(target=self._run, name="control", daemon=True)
        self._thread.start()
        self._end = self._begun.result()

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(listener.door.address for listener in self._listeners)

    def stop(self) -> None:
        with suppress(RuntimeError):  # the loop has ended by itself
            self._end()
        self._thread.join(timeout=1)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            if self._begun.done():
                raise
            self._begun.set_exception(error)

    async def _serve(self) -> None:
        """Accept connections until told to stop.

        Not `uvicorn.Server.serve`: it wakes up ten times a second to see whether it should stop, each of the two would,
        and a sidecar that has nothing to do should not run.
        """
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        servers = [await self._accept(listener, loop) for listener in self._listeners]
        self._begun.set_result(partial(loop.call_soon_threadsafe, stopping.set))
        await stopping.wait()
        await self._leave(loop)
        for server in servers:
            server.close()
        await self._part()

    async def _accept(self, listener: _Listener, loop: asyncio.AbstractEventLoop) -> asyncio.Server:
        def connection() -> Connection:
            return Connection(listener.config, listener.state, loop=loop, patience=self._patience, most=CONNECTIONS)

        return await loop.create_server(connection, sock=listener.door.socket, backlog=BACKLOG)

    async def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """Accept nobody any more, and let who was accepted come in: asyncio would forget him if its server closed."""
        for listener in self._listeners:
            listener.door.leave()
            loop.remove_reader(listener.door.socket)
        for _ in range(ROUNDS):
            await asyncio.sleep(0)

    async def _part(self) -> None:
        """Let answers in progress finish, then hang up on whoever is left."""
        for connection in self._connections():
            connection.shutdown()
        answers = [task for listener in self._listeners for task in listener.state.tasks]
        if answers:
            await asyncio.wait(answers, timeout=self._farewell)
        for connection in self._connections():
            connection.transport.abort()  # the application sees its client leave, and its task ends by itself
        if answers:
            await asyncio.wait(answers, timeout=self._farewell / 2)

    def _connections(self) -> list[Connection]:
        return [
            cast(Connection, connection) for listener in self._listeners for connection in listener.state.connections
        ]


def _config(app: ASGIApp) -> Config:
    config = Config(
        cast(ASGIApplication, app),
        http=Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        workers=1,  # not what the environment's WEB_CONCURRENCY says
        timeout_keep_alive=IDLE,
        h11_max_incomplete_event_size=HEADER_LIMIT,
    )
    config.load()
    return config
