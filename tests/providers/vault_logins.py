"""A login of each method at a real server, each at a mount of its own, for a token that may read one secret."""

import base64
import json
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from refresher.demo.openbao import OpenBao
from tests.fakes.token_review import service_account_token, token_review
from tests.providers.vault_sources import Source, unique

METHODS = ("approle", "kubernetes", "jwt", "cert", "userpass")
"""All that log in at OpenBao: `token` has no login, and `aws` isn't there."""


@dataclass(frozen=True, slots=True)
class Login:
    """The options of one login: `auth`, and where the server is."""

    logins: "Logins"
    mount: str
    auth: dict[str, Any]
    reached: dict[str, Any]

    def source(self, **options: Any) -> Source:
        """A source that reads the secret with it."""
        logins = self.logins
        given = {"path": f"{logins.policy}/app", "auth": self.auth} | self.reached | options
        return Source(logins.bao, logins.directory, **given)

    def asked(self) -> list[str]:
        """The logins that the server's audit log has."""
        return self.logins.bao.requests(f"auth/{self.mount}/login")

    def revoke(self) -> None:
        """Revoke every token that was logged in for."""
        self.logins.bao.write(f"sys/leases/revoke-prefix/auth/{self.mount}/login")


class Logins:
    """Makes them. `accounts` are the service account tokens that the cluster knows, with their accounts."""

    def __init__(self, bao: OpenBao, directory: Path, policy: str, closing: ExitStack) -> None:
        self.bao, self.directory, self.policy = bao, directory, policy
        self.accounts: dict[str, str] = {}
        self._closing = closing

    def by(self, method: str) -> Login:
        """One of `METHODS`, by its name."""
        made: Login = getattr(self, method)()
        return made

    def approle(self, **settings: Any) -> Login:
        """By a new role; `settings` as in its API."""
        mount, role = self._enabled("approle"), {"token_policies": [self.policy], **settings}
        self.bao.write(f"auth/{mount}/role/web", role)
        role_id = self.bao.read(f"auth/{mount}/role/web/role-id")["data"]["role_id"]
        secret_id = self.bao.write(f"auth/{mount}/role/web/secret-id")["data"]["secret_id"]
        given = {"role_id": {"file": self.file(role_id)}, "secret_id": {"file": self.file(secret_id)}}
        return self._login(mount, "approle", given)

    def userpass(self) -> Login:
        """By the user ann's password."""
        mount = self._enabled("userpass")
        self.bao.write(f"auth/{mount}/users/ann", {"password": "geheim-genug", "token_policies": [self.policy]})
        return self._login(mount, "userpass", {"username": "ann", "password": {"file": self.file("geheim-genug")}})

    def kubernetes(self) -> Login:
        """By the service account web."""
        mount, token = self._enabled("kubernetes"), service_account_token("shop", "web")
        self.accounts[token] = "shop:web"
        config = {
            "kubernetes_host": self._closing.enter_context(token_review(self.accounts)),
            "token_reviewer_jwt": service_account_token("vault", "reviewer"),
            "kubernetes_ca_cert": self.bao.ca_file.read_text(),
            "disable_local_ca_jwt": True,
        }
        self.bao.write(f"auth/{mount}/config", config)
        role = {"bound_service_account_names": "web", "bound_service_account_namespaces": "shop"}
        self.bao.write(f"auth/{mount}/role/web", role | {"token_policies": [self.policy], "token_ttl": "1h"})
        file = self.file("")
        file.write_text(token)
        return self._login(mount, "kubernetes", {"role": "web", "token_file": file})

    def jwt(self) -> Login:
        """By a signed token that is good for ten minutes."""
        mount, key = self._enabled("jwt"), ec.generate_private_key(ec.SECP256R1())
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        public = key.public_key().public_bytes(serialization.Encoding.PEM, form)
        self.bao.write(f"auth/{mount}/config", {"jwt_validation_pubkeys": [public.decode()]})
        role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": [self.policy]}
        self.bao.write(f"auth/{mount}/role/ci", role)
        now = int(datetime.now(UTC).timestamp())
        token = signed_token(key, {"sub": "build", "aud": "vault", "iat": now, "exp": now + 600})
        return self._login(mount, "jwt", {"role": "ci", "token_file": self.file(token)})

    def cert(self, **settings: Any) -> Login:
        """By a client certificate for the name web; `settings` as in the role's API."""
        mount = self._enabled("cert")
        root = self.bao.pki(mount, "client")
        self.bao.write(f"auth/{mount}/certs/web", {"certificate": root, "token_policies": [self.policy], **settings})
        files = {"cert_file": self.file(""), "key_file": self.file("")}
        login = self._login(mount, "cert", files, address=self.bao.tls_address, ca_file=self.bao.ca_file)
        self.new_certificate(login, "web")
        return login

    def new_certificate(self, login: Login, name: str) -> None:
        """Put a new client certificate in the place of a certificate login's."""
        issued = self.bao.write(f"{login.mount}/issue/client", {"common_name": name})["data"]
        login.auth["cert"]["cert_file"].write_text(issued["certificate"])
        login.auth["cert"]["key_file"].write_text(issued["private_key"])

    def file(self, content: str) -> Path:
        """A new file with that content."""
        path = self.directory / unique("secret")
        path.write_text(content + "\n")
        return path

    def _enabled(self, method: str) -> str:
        mount = unique(method)
        self.bao.enable_login(mount, method)
        return mount

    def _login(self, mount: str, method: str, options: dict[str, Any], **reached: Any) -> Login:
        return Login(self, mount, {method: {**options, "mount": mount}}, reached)


def signed_token(key: ec.EllipticCurvePrivateKey, claims: dict[str, object]) -> str:
    def encoded(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    head = ".".join(encoded(json.dumps(part).encode()) for part in ({"alg": "ES256", "typ": "JWT"}, claims))
    r, s = decode_dss_signature(key.sign(head.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{head}.{encoded(r.to_bytes(32) + s.to_bytes(32))}"
