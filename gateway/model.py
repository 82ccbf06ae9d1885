"""botocore's service models, read once, without the prose that makes them big."""

import gc
import gzip
import json
import sys
import threading
from pathlib import Path
from typing import Any

from botocore.exceptions import UnknownServiceError
from botocore.loaders import JSONFileLoader, Loader
from botocore.model import OperationModel, ServiceModel

SERVICES = ("ec2", "sts", "ssm", "ebs")
"""The services whose models may be loaded, by botocore's name."""

_PROSE = ("documentation", "deprecatedMessage")

_services: dict[str, ServiceModel] = {}
_operations: dict[tuple[str, str], OperationModel] = {}
_loading = threading.Lock()

compiling = threading.Lock()
"""Held while an operation's plans are made: a plan that is half made must not be taken for a whole one."""


def service(name: str) -> ServiceModel:
    """Return the model of the service that botocore calls `name`, loading it at the first call.

    Raises UnknownServiceError for a name outside SERVICES.
    """
    if name not in _services:
        with _loading:
            if name not in _services:
                _services[name] = _load(name)
    return _services[name]


def operation(service_name: str, action: str) -> OperationModel | None:
    """Return the model of an action, or None if the service has no action of that name."""
    found = _operations.get((service_name, action))
    if found is None:
        model = service(service_name)
        if action not in model.operation_names:
            return None
        found = _operations[service_name, action] = model.operation_model(action)
    return found


def _load(name: str) -> ServiceModel:
    if name not in SERVICES:
        raise UnknownServiceError(service_name=name, known_service_names=", ".join(SERVICES))
    # Nothing of a model is garbage while it is read: the collector would walk a hundred thousand dicts for nothing.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return ServiceModel(Loader(file_loader=_WithoutProse()).load_service_model(name, "service-2"), name)
    finally:
        if collecting:
            gc.enable()


class _WithoutProse(JSONFileLoader):
    """Reads a model without its documentation, which is half of its size, and each of its words once."""

    def load_file(self, file_path: str) -> Any:
        for ending, open_file in ((".json", open), (".json.gz", gzip.open)):
            if Path(file_path + ending).is_file():
                with open_file(file_path + ending, "rb") as file:
                    return json.loads(file.read(), object_pairs_hook=_lean)
        return None


def _lean(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a structure of the model; where it has prose that is text: a member of such a name is a structure."""
    return {
        sys.intern(key): sys.intern(value) if isinstance(value, str) else value
        for key, value in pairs
        if not (key in _PROSE and isinstance(value, str))
    }
