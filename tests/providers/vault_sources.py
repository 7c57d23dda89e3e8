"""What the tests of the `vault` provider share: a provider for a real server, and a look."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import urllib3

from providers.vault import VaultProvider
from providers.vault.session import Sessions
from refresher.contract import Fetched, FileSet, Held, Unchanged
from refresher.demo.openbao import OpenBao
from tests.fakes.candidate import FakeFiles
from tests.fakes.serving import Asked, Reply


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class Source:
    """One configured source of a server; `token` is the root's, unless `auth` is given."""

    def __init__(self, bao: OpenBao, directory: Path, *, shared: Sessions | None = None, **options: Any) -> None:
        token = directory / f"token-{uuid.uuid4().hex}"
        token.write_text(bao.token + "\n")
        given = {"address": bao.address, "auth": {"token": {"file": token}}} | options
        self.shared = shared or VaultProvider.Shared()
        self.provider = VaultProvider(VaultProvider.Options.model_validate(given), self.shared)

    def look(self, held: Held | None = None, *, published: FileSet | None = None) -> Fetched | Unchanged:
        with self.provider.building_on(published).fetch(held) as found:
            return found

    def fetched(self, held: Held | None = None, *, published: FileSet | None = None) -> Fetched:
        found = self.look(held, published=published)
        assert isinstance(found, Fetched)
        return found


Sources = Callable[..., Source]


def unique(name: str) -> str:
    """A name that no other test has."""
    return f"{name}-{uuid.uuid4().hex[:8]}"


def held(found: Fetched) -> Held:
    """What refresher would show next time."""
    return Held(revision=found.revision, digests={}, lease=found.lease)


def looked_at(found: Fetched) -> Held:
    """What refresher would show at a look in between."""
    return replace(held(found), due=False)


def published(found: Fetched) -> FakeFiles:
    """What readers would see."""
    return FakeFiles(contents(found))


def intermediate_of(bao: OpenBao, mount: str, root: str) -> str:
    """A mount whose authority the one at `mount` has signed; its role `web` issues for any name."""
    below = unique("pki-int")
    bao.enable(below, "pki")
    request = bao.write(f"{below}/intermediate/generate/internal", {"common_name": "middle", "key_type": "ec"})
    signed = bao.write(f"{mount}/root/sign-intermediate", {"csr": request["data"]["csr"], "common_name": "middle"})
    bao.write(f"{below}/intermediate/set-signed", {"certificate": signed["data"]["certificate"] + "\n" + root})
    bao.write(f"{below}/roles/web", {"allow_any_name": True, "key_type": "ec", "key_bits": 256, "max_ttl": "1h"})
    return below


def contents(found: Fetched) -> dict[str, bytes]:
    """Every file's content by its name."""
    result = {}
    for file in found.files:
        buffer = memoryview(bytearray(1024 * 1024))
        stream = file.open()
        result[file.name] = bytes(buffer[: stream.readinto(buffer)])
        stream.close()
    return result


def passed_on(bao: OpenBao, asked: Asked) -> Reply:
    """What a gateway in front of the server answers."""
    headers = {"X-Vault-Token": asked.headers["X-Vault-Token"]} if "X-Vault-Token" in asked.headers else {}
    answer = urllib3.request(asked.method, bao.address + asked.path, headers=headers, body=asked.body, retries=False)
    return Reply(answer.status, answer.data)
