"""When a guest can be reached."""

import socket
import time


def banner(address: str, port: int, since: float, limit: float = 120) -> float:
    """Return the seconds from ``since`` until an SSH server at the address says who it is."""
    while time.monotonic() - since < limit:
        try:
            with socket.create_connection((address, port), timeout=0.5) as connection:
                connection.settimeout(2)
                if connection.recv(4) == b"SSH-":
                    return time.monotonic() - since
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(f"no SSH banner from {address}:{port}")
