"""botocore's service models, read once, without the prose that makes them big."""

import gc
import threading
from typing import Any

from botocore.exceptions import UnknownServiceError
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel

SERVICES = ("ec2", "sts")
"""The services whose models may be loaded, by botocore's name."""

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
        description = Loader().load_service_model(name, "service-2")
        _drop_prose(description)
        return ServiceModel(description, name)
    finally:
        if collecting:
            gc.enable()


def _drop_prose(description: dict[str, Any]) -> None:
    """Remove every documentation string, in place: half of the model's size, and no code of ours reads one.

    It visits the places where the format has them; a member that happens to be named "documentation" stays.
    """
    description.pop("documentation", None)
    for each in description["operations"].values():
        each.pop("documentation", None)
    for shape in description["shapes"].values():
        shape.pop("documentation", None)
        for reference in shape.get("members", {}).values():
            reference.pop("documentation", None)
            reference.pop("deprecatedMessage", None)
