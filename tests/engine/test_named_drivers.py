"""Drivers of the operator's own: named in the settings, loaded, and refused where they are none."""

import sys
from pathlib import Path

import pytest

from engine.drivers.lvm import Lvm
from engine.drivers.qcow2 import Qcow2
from engine.drivers.rbd import Rbd
from engine.drivers.simulated_storage import SimulatedStorage
from engine.named_drivers import WrongDriver, load, what_lacks
from examples.iscsi_tgt import Tgt

MINE = """
from pathlib import Path
from engine.drivers.qcow2 import Qcow2

class Mine(Qcow2):
    def __init__(self, owner, *, directory):
        super().__init__(Path(directory) / owner)

class Half:
    def __init__(self, owner):
        pass
    def ensure_disk(self, disk): ...
    def remove_disk(self, volume_id): ...

def broken(owner):
    raise OSError("nobody answers")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"mine_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return name


def test_a_driver_is_made_with_its_deployments_mark_and_its_options(module: str, tmp_path: Path) -> None:
    for label in ("", ":fast"):
        found = load(f"python:{module}:Mine{label}?directory={tmp_path}%2Fa%20b", "0123abcd")
        assert isinstance(found, Qcow2) and found._directory == tmp_path / "a b" / "0123abcd"


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        (":Missing", "no attribute 'Missing'"),
        (":Mine", "directory"),
        (":Mine?directory=a&speed=9", "speed"),
        (":Mine?directory=a&directory=b", "given twice"),
        (":Mine?directory", "bad query field"),
        (":broken", "nobody answers"),
        (":Half", "it has no remove_disk, list_disks, locate_disk"),
    ],
)
def test_what_is_no_driver_is_refused_with_what_is_wrong(module: str, rest: str, why: str) -> None:
    with pytest.raises(WrongDriver, match=f"^cannot use the storage driver {module}:.*{why}"):
        load(f"python:{module}{rest}", "me")


def test_a_module_that_there_is_not_is_refused() -> None:
    with pytest.raises(WrongDriver, match="No module named 'nowhere'"):
        load("python:nowhere:Storage", "me")


@pytest.mark.parametrize("driver", [Qcow2, Rbd, Lvm, SimulatedStorage, Tgt])
def test_drivers_that_are_ours_lack_nothing(driver: type) -> None:
    assert what_lacks(driver.__new__(driver)) == []
