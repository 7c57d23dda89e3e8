"""The three sources of the demo: real servers, with something in them."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import urllib3
from botocore.exceptions import BotoCoreError, ClientError

from refresher.demo.caddy import Caddy
from refresher.demo.openbao import OpenBao, OpenBaoError
from refresher.demo.process import program
from refresher.demo.seaweed import SeaweedFS

POLICY = 'path "pki/issue/web" { capabilities = ["update"] }'
GOOD_FLAGS = {"dark-mode": False}
REPAIRED_FLAGS = {"dark-mode": True}
BROKEN_FLAGS = '{"dark-mode": tr'
WEIGHTS = 1024 * 1024
"""Bytes of the model."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Running servers, and the files with which a sidecar finds its way to them."""

    bao: OpenBao
    seaweed: SeaweedFS
    caddy: Caddy
    directory: Path

    @classmethod
    @contextlib.contextmanager
    def started(cls, directory: Path) -> Iterator["Sources"]:
        """All three, started at once and filled, until the context ends. RuntimeError if one doesn't come up."""
        kinds = (OpenBao, SeaweedFS, Caddy)
        places = [directory / kind.__name__.lower() for kind in kinds]
        for place in places:
            place.mkdir()
        with contextlib.ExitStack() as stack:
            with ThreadPoolExecutor(len(kinds)) as pool:
                bao = pool.submit(lambda: stack.enter_context(OpenBao.started(places[0])))
                seaweed = pool.submit(lambda: stack.enter_context(SeaweedFS.started(places[1])))
                caddy = pool.submit(lambda: stack.enter_context(Caddy.started(places[2])))
            sources = cls(bao=bao.result(), seaweed=seaweed.result(), caddy=caddy.result(), directory=directory)
            sources._fill()
            yield sources

    @property
    def roots(self) -> Path:
        """The PKI's root certificate, which the sidecar and the client trust."""
        return self.directory / "roots.pem"

    @property
    def role_id(self) -> Path:
        """With `secret_id`, the sidecar's login: it may issue certificates and nothing else."""
        return self.directory / "role-id"

    @property
    def secret_id(self) -> Path:
        """The secret half of the login."""
        return self.directory / "secret-id"

    @property
    def environment(self) -> dict[str, str]:
        """Where the sidecar finds its S3 credentials."""
        return {"AWS_SHARED_CREDENTIALS_FILE": str(self.directory / "aws-credentials")}

    def offer_flags(self, text: str) -> None:
        """Put another `flags.json` on the web server, all at once."""
        incoming = self.caddy.root / "flags.json.incoming"
        incoming.write_text(text)
        incoming.rename(self.caddy.root / "flags.json")

    def _fill(self) -> None:
        try:
            self._fill_pki()
            self._fill_bucket()
        except (OpenBaoError, BotoCoreError, ClientError, urllib3.exceptions.HTTPError) as error:
            raise RuntimeError(f"a source could not be filled: {error}") from error
        self.offer_flags(json.dumps(GOOD_FLAGS))

    def _fill_pki(self) -> None:
        self.roots.write_text(self.bao.pki("pki", "web"))
        self.bao.policy("web", POLICY)
        role_id, secret_id = self.bao.approle("web", ["web"])
        _write_secret(self.role_id, role_id)
        _write_secret(self.secret_id, secret_id)

    def _fill_bucket(self) -> None:
        objects = {"labels.txt": b"genuine\nfraud\n", "weights.bin": os.urandom(WEIGHTS)}
        sums = "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in objects.items())
        bucket = self.seaweed.bucket("models")
        with contextlib.closing(self.seaweed.client()) as client:
            for name, body in {**objects, "SHA256SUMS": sums.encode()}.items():
                client.put_object(Bucket=bucket, Key=f"fraud/current/{name}", Body=body)
        lines = ("[default]", f"aws_access_key_id={self.seaweed.access_key}")
        secret = f"aws_secret_access_key={self.seaweed.secret_key}"
        _write_secret(self.directory / "aws-credentials", "\n".join((*lines, secret, "")))


def require_programs() -> None:
    """FileNotFoundError, with what to install, if a server is missing."""
    for name in ("bao", "weed", "caddy"):
        program(name)


def _write_secret(path: Path, secret: str) -> None:
    path.touch(0o600, exist_ok=False)
    path.write_text(secret)
