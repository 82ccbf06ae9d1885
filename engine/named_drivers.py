"""Loads a storage driver that is not Groundfog's own: ``python:MODULE:NAME:LABEL?OPTION=VALUE&...`` names it.

LABEL tells two from each other that differ in their options alone, and may be missing where there is one. NAME of
MODULE is called as ``NAME(owner, OPTION=VALUE, ...)``, with texts, and returns a Storage.
"""

import inspect
from importlib import import_module
from typing import Any, Protocol
from urllib.parse import parse_qsl

from engine.drivers.base import Storage

PREFIX = "python:"


class WrongDriver(ValueError):
    """There is no such driver, or it is none: what an operator has to put right."""


class _Maker(Protocol):
    def __call__(self, owner: str, **options: str) -> object: ...


def load(name: str, owner: str) -> Storage:
    """Make the driver. Raise WrongDriver where it cannot be made, or lacks something of the protocol.

    What its constructor finds wrong it may raise as it likes.
    """
    place, _, text = name.removeprefix(PREFIX).partition("?")
    what = f"cannot use the storage driver {place}"
    try:
        made = _maker(place)(owner, **_options(text))
    except Exception as error:  # it is a stranger's
        raise WrongDriver(f"{what}: {error or type(error).__name__}") from error
    if missing := what_lacks(made):
        raise WrongDriver(f"{what}: it has no {', '.join(missing)} as engine/drivers/base.py asks for")
    storage: Any = made
    return storage  # type: ignore[no-any-return]


def what_lacks(driver: object) -> list[str]:
    """Return the methods of the protocol that a driver lacks, or whose parameters have other names."""
    asked = {name: method for name, method in vars(Storage).items() if inspect.isfunction(method) and name[0] != "_"}
    return [name for name, method in asked.items() if not _does(getattr(driver, name, None), method)]


def _does(found: Any, asked: Any) -> bool:
    if not callable(found):
        return False
    wanted = list(inspect.signature(asked).parameters)[1:]  # without self
    try:
        inspect.signature(found).bind(**dict.fromkeys(wanted))
    except TypeError:
        return False
    return True


def _maker(place: str) -> _Maker:
    module, name, *_ = place.split(":")
    maker: _Maker = getattr(import_module(module), name)
    return maker


def _options(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True) if text else []
    options = dict(pairs)
    if len(options) != len(pairs):
        raise ValueError("an option is given twice")
    return options
