"""``groundfog capabilities``: what is implemented, read from the code itself."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from cli.terminal import Failure, say, show_table

_ALWAYS = ("DryRun", "ClientToken")
"""Parameters that every action honours: perform() sees to them."""


@dataclass(frozen=True)
class Capability:
    """One action: which of the model's parameters it honours, and which it refuses to pretend to."""

    service: str
    honoured: list[str]
    refused: list[str]


def capabilities(
    action: Annotated[str, typer.Argument(help="One action, such as RunInstances.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the actions, and the parameters of each that are honoured. Any other is refused, never ignored.

    Examples:

        groundfog capabilities

        groundfog capabilities RunInstances

        groundfog capabilities --json | jq '.actions.RunInstances.refused'
    """
    found = read_capabilities()
    missing = _missing(found)
    if action:
        _check(action, found, missing)
        found = {action: found[action]}
    summary = f"{len(found)} actions; {len(missing)} more of EC2's model are refused with InvalidAction"
    if as_json:
        summarised = {"implemented": len(found), "not_implemented": len(missing)}
        actions = {name: asdict(one) for name, one in found.items()}
        say(json.dumps({"summary": summarised, "actions": actions, "not_implemented": missing}, indent=2))
    elif action:
        one = found[action]
        show_table(
            ["parameter", ""],
            [*([name, "honoured"] for name in one.honoured), *([name, "refused"] for name in one.refused)],
        )
    else:
        show_table(
            ["action", "parameters honoured", "refused"],
            [[name, str(len(one.honoured)), ", ".join(one.refused)] for name, one in found.items()],
        )
        say(summary)


def read_capabilities() -> dict[str, Capability]:
    """Return every action that is implemented, by EC2's name, in alphabetical order."""
    import translators  # noqa: F401  (registers the actions)
    from gateway import model
    from translators.registry import ACTIONS, parameters, snake

    found = {}
    for service in model.SERVICES:
        for name in model.service(service).operation_names:
            if snake(name) not in ACTIONS:
                continue
            operation = model.operation(service, name)
            shape = operation.input_shape if operation else None
            members = sorted(shape.members) if shape else []
            honoured = [m for m in members if m in _ALWAYS or snake(m) in parameters(snake(name))]
            found[name] = Capability(service, honoured, [m for m in members if m not in honoured])
    return dict(sorted(found.items()))


def _missing(found: dict[str, Capability]) -> list[str]:
    from gateway import model

    return sorted(set(model.service("ec2").operation_names) - found.keys())


def _check(action: str, found: dict[str, Capability], missing: list[str]) -> None:
    if action in found:
        return
    if action in missing:
        raise Failure(f"cannot do {action}: EC2 has it, this deployment does not; see: groundfog capabilities")
    close = next((name for name in found if name.lower() == action.lower()), "")
    hint = f"did you mean {close}?" if close else "see: groundfog capabilities"
    raise Failure(f"cannot find the action {action}: {hint}")
