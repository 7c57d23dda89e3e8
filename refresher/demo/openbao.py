"""A real OpenBao server: storage in memory, one plain and one TLS listener, an audit log that shows every request."""

import contextlib
import datetime
import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from refresher.demo.process import free_port, program, running

_CONFIG = """\
storage "inmem" {{}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{plain_cluster_port}"
  tls_disable = true
}}
listener "tcp" {{
  address = "127.0.0.1:{tls_port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_cert_file = "{directory}/server.crt"
  tls_key_file = "{directory}/server.key"
}}
audit "file" "requests" {{
  options = {{ file_path = "{directory}/audit.log", log_raw = "false" }}
}}
api_addr = "http://127.0.0.1:{port}"
default_lease_ttl = "1h"
max_lease_ttl = "87600h"
"""


class OpenBaoError(Exception):
    """The server refused; `status` is the HTTP status."""

    def __init__(self, method: str, path: str, status: int, text: str) -> None:
        super().__init__(f"{method} {path} was answered {status}: {text[:500]}")
        self.status = status


class OpenBao:
    """A running server and what a test or a demo wants of it. `token` is the root token."""

    def __init__(self, directory: Path, *, port: int, tls_port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.tls_address = f"https://127.0.0.1:{tls_port}"
        self.ca_file = directory / "server.crt"
        self.audit_log = directory / "audit.log"
        self.token = ""
        self._unseal_key = ""
        self._pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=4, retries=False, timeout=30)

    @classmethod
    @contextlib.contextmanager
    def started(cls, directory: Path, *, names: Sequence[str] = ()) -> Iterator["OpenBao"]:
        """A server that is initialized and unsealed; all its files are in `directory`.

        `names` are host names that its TLS certificate is good for, besides loopback.
        """
        # Without a cluster address of its own, a listener takes the port after its own, which may be another server's.
        ports = {name: free_port() for name in ("port", "plain_cluster_port", "tls_port", "cluster_port")}
        _write_certificate(directory, names)
        config = directory / "openbao.hcl"
        config.write_text(_CONFIG.format(directory=directory, **ports))
        server = cls(directory, port=ports["port"], tls_port=ports["tls_port"])
        argv = [program("bao"), "server", f"-config={config}"]
        env = {"HOME": str(directory), "PATH": "/usr/bin:/bin"}
        with running(argv, log=directory / "openbao.log", answers=server._answers, env=env), server._pool:
            server._initialize()
            yield server

    def read(self, path: str, *, token: str | None = None) -> dict[str, Any]:
        """GET: the whole answer."""
        return self._ask("GET", path, None, token)

    def write(self, path: str, data: Mapping[str, Any] | None = None, *, token: str | None = None) -> dict[str, Any]:
        """POST: the whole answer, {} if there is none."""
        return self._ask("POST", path, data or {}, token)

    def names(self, path: str) -> set[str]:
        """LIST: the names of what is below."""
        return set(self._ask("LIST", path, None, None)["data"]["keys"])

    def delete(self, path: str) -> None:
        """DELETE."""
        self._ask("DELETE", path, None, None)

    def enable(self, mount: str, kind: str, options: Mapping[str, str] | None = None) -> None:
        """A secrets engine at `mount`."""
        self.write(f"sys/mounts/{mount}", {"type": kind, "options": options, "config": {"max_lease_ttl": "87600h"}})

    def enable_login(self, mount: str, kind: str) -> None:
        """A login method at `auth/MOUNT`."""
        self.write(f"sys/auth/{mount}", {"type": kind})

    def kv(self, mount: str, version: int) -> None:
        """A key-value engine of that version, waited for: version 2 refuses requests while it upgrades itself."""
        self.enable(mount, "kv", {"version": str(version)})
        if version == 2:
            self._until_answered(f"{mount}/config", not_yet=(400,))

    def pki(self, mount: str, role: str, **role_settings: Any) -> str:
        """A certificate authority with a role for any name, its certificates as short as asked; the root's PEM."""
        self.enable(mount, "pki")
        root = self.write(
            f"{mount}/root/generate/internal", {"common_name": f"{mount} root", "key_type": "ec", "ttl": "8760h"}
        )
        defaults = {
            "allow_any_name": True,
            "enforce_hostnames": False,
            "key_type": "ec",
            "key_bits": 256,
            "max_ttl": "720h",
        }
        self.write(f"{mount}/roles/{role}", defaults | role_settings)
        return str(root["data"]["certificate"])

    def policy(self, name: str, text: str) -> None:
        """A policy in HCL."""
        self.write(f"sys/policies/acl/{name}", {"policy": text})

    def new_token(self, policies: Sequence[str], **settings: Any) -> str:
        """A token with these policies; `settings` as in `auth/token/create`."""
        answer = self.write("auth/token/create", {"policies": list(policies), **settings})
        return str(answer["auth"]["client_token"])

    def approle(self, role: str, policies: Sequence[str], **settings: Any) -> tuple[str, str]:
        """An AppRole role: (role id, secret id)."""
        with contextlib.suppress(OpenBaoError):
            self.enable_login("approle", "approle")
        self.write(f"auth/approle/role/{role}", {"token_policies": list(policies), **settings})
        role_id = self.read(f"auth/approle/role/{role}/role-id")["data"]["role_id"]
        return str(role_id), str(self.write(f"auth/approle/role/{role}/secret-id")["data"]["secret_id"])

    def requests(self, prefix: str = "", *, by: str = "") -> list[str]:
        """`operation path` of every request so far whose path begins with `prefix`, oldest first.

        With `by`, only those with a token that was made with this `display_name`.
        """
        requests = (entry for entry in self.audited() if entry["type"] == "request")
        asked = [entry for entry in requests if entry["request"]["path"].startswith(prefix)]
        named = f"token-{by}"
        theirs = [entry["request"] for entry in asked if not by or entry["auth"].get("display_name") == named]
        return [f"{each['operation']} {each['path']}" for each in theirs]

    def audited(self) -> list[dict[str, Any]]:
        """The audit log's entries so far, oldest first, without one of which only a part can be seen yet."""
        return [json.loads(line) for line in self.audit_log.read_text().rpartition("\n")[0].splitlines()]

    def seal(self) -> None:
        """The server answers 503 until `unseal`."""
        self.write("sys/seal")

    def unseal(self) -> None:
        """Open the server, and wait until it works."""
        self.write("sys/unseal", {"key": self._unseal_key})
        self._until_answered("sys/health", not_yet=(429, 503))

    def _answers(self) -> bool:
        try:
            return self._pool.request("GET", "/v1/sys/seal-status", timeout=1).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _until_answered(self, path: str, *, not_yet: Sequence[int]) -> None:
        """Read until the status is none of `not_yet`, for about ten seconds. Raises urllib3's MaxRetryError."""
        patience = urllib3.Retry(total=100, status_forcelist=not_yet, backoff_factor=0.02, backoff_max=0.1)
        self._pool.request("GET", f"/v1/{path}", headers={"X-Vault-Token": self.token}, retries=patience)

    def _initialize(self) -> None:
        keys = self.write("sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.token, self._unseal_key = keys["root_token"], keys["keys_base64"][0]
        self.unseal()

    def _ask(self, method: str, path: str, data: Mapping[str, Any] | None, token: str | None) -> dict[str, Any]:
        response = self._pool.request(
            method,
            f"/v1/{quote(path)}",
            body=None if data is None else json.dumps(data),
            headers={"X-Vault-Token": token or self.token},
        )
        if response.status >= 300:
            raise OpenBaoError(method, path, response.status, response.data.decode(errors="replace"))
        return dict(json.loads(response.data)) if response.data else {}


def _write_certificate(directory: Path, names: Sequence[str]) -> None:
    """A self-signed certificate for loopback and `names`, good for a day: `server.crt`, `server.key`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "openbao")])
    now = datetime.datetime.now(datetime.UTC)
    addresses = x509.SubjectAlternativeName(
        [*map(x509.DNSName, ["localhost", *names]), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(addresses, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "server.key").write_bytes(pem)
