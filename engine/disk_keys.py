"""The keys of encrypted disks: one for each lineage of volumes and snapshots, sealed under the deployment's own."""

import secrets
from functools import cache
from pathlib import Path

from engine.secrets import Vault, open_vault
from settings import Settings


def new_key(settings: Settings) -> str:
    """Return a new key, sealed: 256 random bits, of which nobody but the store of disks and the hosts hears."""
    return _vault(settings.secret_key, settings.data / "secret.key").seal(secrets.token_hex(32))


def open_key(settings: Settings, sealed: str) -> str | None:
    """Return the key itself; None where there is none. Raise ValueError for one of another deployment."""
    return _vault(settings.secret_key, settings.data / "secret.key").open(sealed) if sealed else None


@cache
def _vault(secret_key: str, file: Path) -> Vault:
    return open_vault(secret_key, file)
