"""Vault and OpenBao: key-value secrets, certificates, dynamic credentials.

Read on in `provider.py` (one look), then `session.py` (a living token), `login.py`, `connection.py` (one request).
"""

from providers.vault.provider import VaultProvider

__all__ = ["VaultProvider"]
