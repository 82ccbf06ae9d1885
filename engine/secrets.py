"""Secrets at rest: encrypted under a key that is kept outside the database."""

import hashlib
import hmac
import os
from contextlib import suppress
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken


class Vault:
    """Seal and open short secrets. The key is 32 bytes in URL-safe base64 (Fernet: AES-128-CBC with HMAC-SHA256)."""

    def __init__(self, key: str) -> None:
        self._fernet = Fernet(key)
        self._signing = hashlib.sha256(b"signing:" + key.encode()).digest()
        self.identity = hashlib.sha256(key.encode()).hexdigest()[:8]
        """What tells this deployment's machines, networks and namespaces from another's on the same host."""

    def seal(self, secret: str) -> str:
        return self._fernet.encrypt(secret.encode()).decode()

    def sign(self, text: str) -> bytes:
        """Return 32 bytes that nobody can make for this text who does not have the key."""
        return hmac.digest(self._signing, text.encode(), "sha256")

    def open(self, sealed: str) -> str:
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise ValueError("cannot read a secret: the database was written under another secret key") from None


def open_vault(key: str, file: Path) -> Vault:
    """Use ``key``, or the one in ``file``, or a new one that is put there for its owner's eyes only."""
    if not key:
        if not file.exists():
            _make_key(file)
        key = file.read_text().strip()
    return Vault(key)


def _make_key(file: Path) -> None:
    """Put a new key into ``file``, whole at once: another process that starts now must read it or find none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with open(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as out:
        out.write(Fernet.generate_key().decode())
    with suppress(FileExistsError):  # where another came first, its key is the key
        os.link(draft, file)
    draft.unlink()
