"""Runs the programs by which drivers have disks made and converted."""

import subprocess

from engine.drivers.base import CALL_LIMIT, DriverError


def run(*command: str, limit: float | None = CALL_LIMIT, accept: tuple[int, ...] = (0,)) -> str:
    """Run a program for at most ``limit`` seconds; raise DriverError with what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DriverError(f"cannot run {command[0]}: {error}") from error
    if done.returncode not in accept:
        raise DriverError(done.stderr.strip() or f"{command[0]} failed with {done.returncode}")
    return done.stdout
