"""What the certificate example's script needs to set up a real server."""

import os
from pathlib import Path

from refresher.demo.openbao import OpenBao
from refresher.demo.process import program

SCRIPT = Path(__file__).parents[2] / "examples/certificate/vault-setup.sh"


def environment(bao: OpenBao, kubernetes: str) -> dict[str, str]:
    """The script's variables; `kubernetes` is the address of the API server that reviews the tokens."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(bao.ca_file.parent),
        "CLI": program("bao"),
        "VAULT_ADDR": bao.tls_address,
        "VAULT_CACERT": str(bao.ca_file),
        "VAULT_TOKEN": bao.token,
        "KUBERNETES_HOST": kubernetes,
        "KUBERNETES_CA": str(bao.ca_file),
    }
