"""Session tokens of IMDSv2: nothing is stored, so they outlive a restart and work on every host of a deployment.

A token is base64 of its expiry and of an HMAC-SHA256, under the deployment's secret, of expiry and instance id: it is
worth nothing to another instance. (56 characters, as EC2's are.)
"""

import base64
import hmac
from hashlib import sha256

LONGEST = 21600
"""Seconds that a token may be asked for: from 1 up to six hours ("Use the Instance Metadata Service")."""


def derive_secret(key: str) -> bytes:
    """Return the secret of tokens that follows from the deployment's key, of which nothing else may be learnt by it."""
    return hmac.digest(key.encode(), b"groundfog instance metadata tokens", sha256)


def make_token(secret: bytes, instance_id: str, seconds: int, now: float) -> str:
    """Return a token that an instance may use for so many seconds from ``now`` (Unix time)."""
    return _token(secret, instance_id, int((now + seconds) * 1000))


def seconds_left(secret: bytes, instance_id: str, token: str, now: float) -> float:
    """Return how long a token is valid yet; 0 for one that is expired, malformed, or not this instance's."""
    try:
        expiry = int.from_bytes(base64.urlsafe_b64decode(token.encode("ascii"))[:8], "big")
    except ValueError:
        return 0
    if not hmac.compare_digest(_token(secret, instance_id, expiry).encode(), token.encode()):
        return 0
    return max(0.0, expiry / 1000 - now)


def _token(secret: bytes, instance_id: str, expiry: int) -> str:
    head = expiry.to_bytes(8, "big")
    return base64.urlsafe_b64encode(head + hmac.digest(secret, head + instance_id.encode(), sha256)).decode()
