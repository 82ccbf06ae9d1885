"""Access keys as the gateway needs them: who owns one, and its secret, kept for a few seconds."""

import time

from engine.secrets import Vault
from engine.state import AccessKey
from engine.state.database import Database
from gateway.policy import Principal

_KEEP = 5.0
"""Seconds for which a key is believed: a deactivated one is refused that much later at most."""


class Credentials:
    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault
        self._kept: dict[str, tuple[float, Principal, str]] = {}

    def secret(self, access_key_id: str) -> str | None:
        """Return the secret access key of an active key, or None."""
        kept = self._kept.get(access_key_id)
        if kept is None or kept[0] < time.monotonic():
            kept = self._look_up(access_key_id)
        return kept[2] if kept else None

    def principal(self, access_key_id: str) -> Principal:
        """Return who owns a key whose secret was just asked for."""
        return self._kept[access_key_id][1]

    def forget(self) -> None:
        self._kept.clear()

    def _look_up(self, access_key_id: str) -> tuple[float, Principal, str] | None:
        with self._database.read() as db:
            key = db.get(AccessKey, access_key_id)
        if key is None or not key.active:
            self._kept.pop(access_key_id, None)
            return None
        kept = (time.monotonic() + _KEEP, Principal(key.account, key.id), self._vault.open(key.secret))
        self._kept[access_key_id] = kept
        return kept
