"""The sidecar's two listeners: free to be taken, or taken by the sidecar that runs."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from refresher.abilities import Observation, Verdict
from refresher.address import Address, Tcp, Unix
from refresher.client import Client, UnreachableError, documents, reason
from refresher.doctor.files import readable
from refresher.settings import Control, Probes

FOREIGN = "Give refresher another address, or end what listens there."


def control(settings: Control) -> Iterator[Observation]:
    """The local API's, and its token."""
    if settings.token:
        token = readable(settings.token, of="token")
        yield token
        if token.verdict is Verdict.FAIL:
            return
    if settings.listen is None:
        yield Observation.skipped("listener", "control.listen is off")
        return
    try:
        status, answer = Client(str(settings.listen), token=settings.token).get("/assets")
    except UnreachableError:
        yield _free(settings.listen)
        return
    if documents(answer) is not None:
        yield Observation.ok("listener", f"a sidecar answers on {settings.listen}")
    elif status in {401, 403} and isinstance(answer, dict) and "title" in answer:
        seen = f"a sidecar on {settings.listen} answers {status}: {reason(answer)}"
        yield Observation.fail(
            "listener", seen, "Use the configuration, and the token, that this sidecar was started with."
        )
    else:
        yield Observation.fail("listener", f"something else answers on {settings.listen}", FOREIGN)


def probes(settings: Probes) -> Iterator[Observation]:
    """The probes'."""
    if settings.listen is None:
        yield Observation.skipped("listener", "probes.listen is off")
        return
    try:
        status, answer = Client(str(settings.listen)).get("/livez")
    except UnreachableError:
        yield _free(settings.listen)
        return
    if status == 200 and isinstance(answer, dict) and answer.get("alive") is True:
        yield Observation.ok("listener", f"a sidecar answers on {settings.listen}, and is alive")
    elif status == 503 and isinstance(answer, dict) and "detail" in answer:
        advice = "Have kubelet restart it: the liveness probe is /livez."
        yield Observation.fail("listener", f"a sidecar on {settings.listen} is not alive: {reason(answer)}", advice)
    else:
        yield Observation.fail("listener", f"something else answers on {settings.listen}", FOREIGN)


def _free(where: Address) -> Observation:
    return _free_path(where) if isinstance(where, Unix) else _free_port(where)


def _free_port(where: Tcp) -> Observation:
    """Taken for a moment and given back; nobody could connect meanwhile."""
    try:
        family, *_, address = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return Observation.fail("listener", f"{where} can't be taken: {error.strerror}", FOREIGN)
    return Observation.ok("listener", f"{where} is free; no sidecar runs there")


def _free_path(where: Unix) -> Observation:
    above = where.path.parent
    if _is_in_the_way(where.path):
        return Observation.fail(
            "listener", f"{where.path} is there, and is not a socket", "Remove it, or name another path."
        )
    if not os.access(above, os.W_OK | os.X_OK, effective_ids=True):
        advice = "Make it, or let this user write there: an emptyDir will do."
        return Observation.fail("listener", f"no socket can be made in {above}", advice)
    return Observation.ok("listener", f"{where} is free; no sidecar runs there")


def _is_in_the_way(path: Path) -> bool:
    """Whether something is there that no sidecar left."""
    try:
        return not stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False
