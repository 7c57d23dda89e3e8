"""A Vault outside of the pod, set up by the example's own script, that believes the tokens of the pod's kubelet."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from refresher.demo.openbao import OpenBao
from tests.fakes.token_review import service_account_token, token_review
from tests.pods.manifests import Documents, configuration, find_outside
from tests.servers import vault_setup

HOST = "vault.default.svc"
NAMESPACE = "default"


class Vault:
    """`roots` is a file with the root certificate of what it issues."""

    def __init__(self, bao: OpenBao, directory: Path, known: dict[str, str]) -> None:
        self.bao, self.roots = bao, directory / "root.pem"
        self._known = known

    @classmethod
    @contextlib.contextmanager
    def started(cls, directory: Path) -> Iterator["Vault"]:
        """A server, a stand-in for the Kubernetes that it asks about tokens, and what the script makes of it."""
        known: dict[str, str] = {}
        with OpenBao.started(directory, names=[HOST]) as bao, token_review(known) as kubernetes:
            vault = cls(bao, directory, known)
            root = subprocess.run(
                [vault_setup.SCRIPT], check=True, capture_output=True, env=vault_setup.environment(bao, kubernetes)
            ).stdout
            vault.roots.write_bytes(root)
            yield vault

    def account_tokens(self, account: str) -> Callable[[Mapping[str, Any]], str]:
        """Signs what the kubelet writes for a projected token of that account; each is another."""

        def token(wanted: Mapping[str, Any]) -> str:
            signed = service_account_token(NAMESPACE, account, serial=len(self._known), audience=wanted.get("audience"))
            self._known[signed] = f"{NAMESPACE}:{account}"
            return signed

        return token

    def allow(self, account: str, policy: str) -> None:
        """A role of that account's name, for it alone, with this policy."""
        self.bao.policy(account, policy)
        bound = {"bound_service_account_names": account, "bound_service_account_namespaces": NAMESPACE}
        self.bao.write(f"auth/kubernetes/role/{account}", {**bound, "audience": "vault", "token_policies": account})

    def lead(self, documents: Documents) -> None:
        """Have the pod find this server under the name that the manifest says, and trust its certificate."""
        configuration(documents)["vault.pem"] = self.bao.ca_file.read_text()
        port = self.bao.tls_address.rpartition(":")[2]
        address = {
            "REFRESHER_PROVIDERS__VAULT__ADDRESS": f"https://{HOST}:{port}",
            "REFRESHER_PROVIDERS__VAULT__CA_FILE": "/etc/refresher/vault.pem",
        }
        find_outside(documents, HOST, address)

    def signed(self) -> int:
        """How many certificates it was asked for, by its audit log."""
        return len(self.bao.requests("pki/sign/"))
