"""Refuses parameters that break what the model says of them: required, enum, ranges, lengths, patterns."""

import logging
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from botocore.model import ListShape, OperationModel, ServiceModel, Shape, StringShape, StructureShape

from gateway import model
from gateway.parse import Path, WireError, invalid, spell, wire_name

log = logging.getLogger(__name__)

OPEN_ENUMS = frozenset(("InstanceType", "NetworkInterfaceCreationType", "AccountAttributeName"))
"""Enumerations that the model closes and the translator checks: operators name their own instance types, and of the
other two the model lists fewer values than EC2's documentation."""

LISTED_VALUES = 20
"""A refusal quotes the valid values of an enumeration that has no more than this many."""

Check = Callable[[Any, Path], None]


def check(operation: OperationModel, params: Mapping[str, Any]) -> None:
    """Raise WireError if `params`, as wire.parse returned them, break a rule of the operation's input shape."""
    try:
        test = _operations[operation]
    except KeyError:
        shape = operation.input_shape
        with model.compiling:
            test = _Plans.of(operation.service_model).plan(shape) if shape is not None else None
            _operations[operation] = test
    if test is not None:
        test(params, None)


_operations: dict[OperationModel, Check | None] = {}


class _Plans:
    """The checks of one service's shapes; None for a shape that has no rule, so that nobody walks its value."""

    def __init__(self, service: ServiceModel) -> None:
        self.protocol = str(service.metadata["protocol"])
        self.structures: dict[str, Check | None] = {}

    @classmethod
    @cache
    def of(cls, service: ServiceModel) -> "_Plans":
        return cls(service)

    def plan(self, shape: Shape) -> Check | None:
        if isinstance(shape, StructureShape):
            return self.structure(shape)
        if isinstance(shape, ListShape):
            return _list(self.plan(shape.member), shape.metadata.get("min"), shape.metadata.get("max"))
        return _joined([rule for make in SCALARS.get(shape.type_name, ()) if (rule := make(shape)) is not None])

    def structure(self, shape: StructureShape) -> Check | None:
        if shape.name not in self.structures:
            # Stands in for the check while that is made, for a structure that contains itself.
            self.structures[shape.name] = lambda value, path: test(value, path)
            names = {name: wire_name(self.protocol, member, name) for name, member in shape.members.items()}
            required = [(name, names[name]) for name in shape.required_members]
            rules = {
                name: (names[name], rule)
                for name, member in shape.members.items()
                if (rule := self.plan(member)) is not None
            }
            test = _structure(required, rules)
            self.structures[shape.name] = test if required or rules else None
        return self.structures[shape.name]


def _structure(required: list[tuple[str, str]], rules: dict[str, tuple[str, Check]]) -> Check:
    def test(value: Mapping[str, Any], path: Path) -> None:
        for name, part in required:
            # A list without entries is how the query protocol sends "none".
            if value.get(name) in (None, []):
                raise WireError("MissingParameter", f"The request must contain the parameter {spell((path, part))}")
        for name, member in value.items():
            rule = rules.get(name)
            if rule is not None:
                rule[1](member, (path, rule[0]))

    return test


def _list(rule: Check | None, least: int | None, most: int | None) -> Check | None:
    if rule is None and not least and most is None:
        return None

    def test(value: list[Any], path: Path) -> None:
        if least and len(value) < least:
            raise invalid(f"{len(value)} entries", path, f"Expecting at least {least}.")
        if most is not None and len(value) > most:
            raise invalid(f"{len(value)} entries", path, f"Expecting at most {most}.")
        if rule is not None:
            for position, entry in enumerate(value, 1):
                rule(entry, (path, str(position)))

    return test


def _joined(rules: list[Check]) -> Check | None:
    if len(rules) < 2:
        return rules[0] if rules else None

    def test(value: Any, path: Path) -> None:
        for rule in rules:
            rule(value, path)

    return test


# -- scalars -----------------------------------------------------------------


def _enum(shape: Shape) -> Check | None:
    if not isinstance(shape, StringShape) or not shape.enum or shape.name in OPEN_ENUMS:
        return None
    values = frozenset(shape.enum)
    hint = f"Valid values: {', '.join(shape.enum)}." if len(values) <= LISTED_VALUES else "It is not a valid value."

    def test(value: str, path: Path) -> None:
        if value not in values:
            raise invalid(value, path, hint)

    return test


def _length(shape: Shape) -> Check | None:
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max")
    if not least and most is None:
        return None

    def test(value: str | bytes, path: Path) -> None:
        if len(value) < least:
            raise invalid(value, path, f"Expecting at least {least} characters.")
        if most is not None and len(value) > most:
            raise invalid(value, path, f"Expecting at most {most} characters.")

    return test


def _range(shape: Shape) -> Check | None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is None and most is None:
        return None

    def test(value: float, path: Path) -> None:
        if least is not None and value < least:
            raise _out_of_range(value, path, f"greater than or equal to {least}")
        if most is not None and value > most:
            raise _out_of_range(value, path, f"smaller than or equal to {most}")

    return test


def _out_of_range(value: float, path: Path, expected: str) -> WireError:
    # EC2's own spelling: blanks in the brackets, and the name begins with a small letter.
    name = spell(path)
    text = f"Value ( {value} ) for parameter {name[:1].lower()}{name[1:]} is invalid. Expecting a value {expected}."
    return WireError("InvalidParameterValue", text)


def _pattern(shape: Shape) -> Check | None:
    match = compiled(shape.metadata.get("pattern"))
    if match is None:
        return None

    def test(value: str, path: Path) -> None:
        if match.fullmatch(value) is None:
            raise invalid(value, path, f"It must match {match.pattern}")

    return test


def compiled(pattern: str | None) -> re.Pattern[str] | None:
    r"""Return a pattern of the model for use with fullmatch, or None if there is none that Python can use.

    The model's patterns are Java's, where \d means ASCII digits. One that Python cannot compile, or that has "^"
    where nothing can ever match it (as PlacementGroupArn's), is left out: it would refuse every value.
    """
    if pattern is None:
        return None
    if _STRAY_ANCHOR.search(pattern):
        log.debug("ignored a pattern that matches nothing: %s", pattern)
        return None
    try:
        return re.compile(pattern, re.ASCII)
    except re.error:
        log.debug("ignored a pattern that Python cannot compile: %s", pattern)
        return None


_STRAY_ANCHOR = re.compile(r"[^\\(\[|]\^")

SCALARS: dict[str, tuple[Callable[[Shape], Check | None], ...]] = {
    "string": (_enum, _length, _pattern),
    "blob": (_length,),
    "integer": (_range,),
    "long": (_range,),
    "float": (_range,),
    "double": (_range,),
}
