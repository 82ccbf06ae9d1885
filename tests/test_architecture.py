"""The arrows between rooms, and what holds for every action at once."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import translators  # noqa: F401  (registers the actions)
from gateway import model
from translators.registry import ACTIONS, parameters, snake

ROOT = Path(__file__).parents[1]
ROOMS = {"gateway", "translators", "engine"}
SOURCES = sorted(p for room in ROOMS | {"cli"} for p in (ROOT / room).rglob("*.py"))
ALL = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(*parts: str) -> list[Path]:
    return sorted(ROOT.joinpath(*parts).rglob("*.py"))


def offenders(paths: list[Path], forbidden: tuple[str, ...], allowed: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}: {name}"
        for path in paths
        for name in imports(path)
        if name.startswith(forbidden) and not name.startswith(allowed or ("\0",))
    ]


def test_rooms_import_only_downwards() -> None:
    assert offenders(within("translators"), ("gateway", "cli", "wsgi")) == []
    assert offenders(within("engine"), ("gateway", "translators", "cli")) == []


def test_translators_never_touch_a_driver_a_workflow_or_a_worker() -> None:
    forbidden = ("engine.drivers", "engine.workflows", "engine.worker", "engine.fleet", "engine.host", "engine.images")
    assert offenders(within("translators"), forbidden) == []


def test_the_gateway_names_no_resource() -> None:
    assert (
        offenders(within("gateway"), ("engine.",), ("engine.secrets", "engine.snapshot_blocks", "engine.state")) == []
    )
    used = {
        name.rpartition(".")[2] for p in within("gateway") for name in imports(p) if name.startswith("engine.state.")
    }
    assert used <= {"database", "Database", "AccessKey"}


def test_drivers_never_see_the_database() -> None:
    assert (
        offenders(within("engine", "drivers"), ("engine.state", "sqlalchemy", "engine.tasks", "engine.desired")) == []
    )


def test_state_knows_only_itself() -> None:
    assert offenders(within("engine", "state"), ("engine.",), ("engine.state",)) == []


_PROTOCOLS = ("engine.drivers.base", "engine.drivers.networking", "engine.drivers.packets")


def test_workflows_know_only_the_protocols_of_drivers() -> None:
    assert offenders(within("engine", "workflows"), ("engine.drivers.",), _PROTOCOLS) == []


def test_only_the_fleet_and_the_services_of_a_host_name_concrete_drivers() -> None:
    modules = (f"engine.drivers.{p.stem}" for p in within("engine", "drivers") if p.stem != "__init__")
    concrete = tuple(module for module in modules if module not in (*_PROTOCOLS, "engine.drivers.flows"))
    named = {p.split(":")[0] for p in offenders(SOURCES, concrete)}
    assert {n for n in named if not n.startswith("engine/drivers/")} <= {
        "engine/fleet.py", "engine/flow_logs/service.py", "engine/imports/__main__.py", "engine/imports/conversion.py",
        "engine/metadata/service.py",
    }  # fmt: skip


@pytest.mark.parametrize("path", ALL, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_stays_short(path: Path) -> None:
    if "versions" not in path.parts:  # a migration is as long as what it makes
        assert len(path.read_text().splitlines()) <= 400, "a noun is missing"
    assert not re.search(r"util|common|helper|manager|mixin", path.stem)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_begins_with_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text))


def operation_of(action: str) -> object:
    for service in model.SERVICES:
        for name in model.service(service).operation_names:
            if snake(name) == action:
                return model.operation(service, name)
    return None


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_an_action_and_its_parameters_are_the_models(action: str) -> None:
    operation = operation_of(action)
    assert operation is not None, "no service that is served here has it"
    members = set(operation.input_shape.members) if operation.input_shape else set()  # type: ignore[attr-defined]
    assert parameters(action) <= {snake(name) for name in members}
    if "MaxResults" in members:
        assert {"max_results", "next_token"} <= parameters(action), "pages are honoured by every describe"
    if "Filters" in members and action.startswith("describe_"):
        assert "filters" in parameters(action)


def test_every_workflow_that_is_started_exists() -> None:
    names = {p.stem for p in within("engine", "workflows")}
    started = {name for path in SOURCES for name in re.findall(r'tasks\.start\([^)]*?"([a-z_]+)"', path.read_text())}
    assert started and started <= names


def test_reads_cannot_write() -> None:
    for name, function in ACTIONS.items():
        if name.startswith(("describe_", "get_")):
            assert "tasks.start" not in inspect.getsource(function)
