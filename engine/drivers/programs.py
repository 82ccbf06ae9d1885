"""Runs the programs by which drivers have disks made and converted."""

import subprocess

from engine.drivers.base import CALL_LIMIT, DriverError


class TookTooLong(DriverError):
    """The program was ended because its time was over."""


def run(
    *command: str, limit: float | None = CALL_LIMIT, accept: tuple[int, ...] = (0,), given: str | None = None
) -> str:
    """Run a program for at most ``limit`` seconds; raise DriverError with what it said.

    ``given`` is what it reads from its standard input: a key is seen by nobody there, as it would be among arguments.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit, input=given)
    except subprocess.TimeoutExpired:
        raise TookTooLong(f"{command[0]} took longer than {limit} seconds") from None
    except OSError as error:
        raise DriverError(f"cannot run {command[0]}: {error}") from error
    if done.returncode not in accept:
        raise DriverError(done.stderr.strip() or f"{command[0]} failed with {done.returncode}")
    return done.stdout
