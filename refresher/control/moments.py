"""Waiting in the event loop for what the sidecar's threads do."""

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from typing import Any


def moment_of(future: Future[Any]) -> asyncio.Event:
    """Set when the future is done. Not `asyncio.wrap_future`: giving up there would cancel the sidecar's work."""
    loop, event = asyncio.get_running_loop(), asyncio.Event()

    def done(_: Future[Any]) -> None:
        with suppress(RuntimeError):  # the server has stopped, and nobody waits
            loop.call_soon_threadsafe(event.set)

    future.add_done_callback(done)
    return event
