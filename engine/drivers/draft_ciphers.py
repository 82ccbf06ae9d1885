"""Encryption of the blocks of drafts and of their sums, each by its place, as a disk's own: AES-256-XTS.

Any process writes any block at any time, without a lock, so nothing depends on what was written before or elsewhere.
"""

import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import XTS

_KINDS = ("blocks", "sums")


class DraftCipher:
    """Keys of one draft, made of the one that its snapshot has: the same block in another draft is not the same."""

    def __init__(self, key: str, id: str) -> None:
        self._keys = {kind: hmac.digest(key.encode(), f"{kind} of {id}".encode(), "sha512") for kind in _KINDS}

    def seal(self, kind: str, number: int, data: bytes) -> bytes:
        """Return what is to lie on the disk; ``kind`` is ``blocks`` or ``sums``."""
        return _worked(self._cipher(kind, number).encryptor(), data)

    def open(self, kind: str, number: int, data: bytes) -> bytes:
        return _worked(self._cipher(kind, number).decryptor(), data)

    def _cipher(self, kind: str, number: int) -> Cipher[XTS]:
        return Cipher(AES(self._keys[kind]), XTS(number.to_bytes(16, "little")))


def _worked(context: CipherContext, data: bytes) -> bytes:
    return context.update(data) + context.finalize()
