"""What the doctor says of thin pools and of drivers of the operator's own."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from engine.host import check_storage
from engine.host.check_storage import check_lvm, check_lvm_pools, check_own_drivers, storage_checks
from settings import Settings


def settings(directory: Path, backend: str) -> Settings:
    return Settings(engine="kvm", data=directory, storage={"us-east-1a": backend})


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, str]]:
    """What commands answer that begin so, with 0 and nothing for all others."""
    given: dict[str, tuple[int, str]] = {}

    def attempt(command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        code, said = next((each for words, each in given.items() if " ".join(command).startswith(words)), (0, ""))
        return subprocess.CompletedProcess(command, code, said, said)

    monkeypatch.setattr(check_storage, "attempt", attempt)
    return given


def pool(**fields: str) -> tuple[int, str]:
    found = {"segtype": "thin-pool", "zero": "zero", "data_percent": "12.5", "metadata_percent": "3.0", **fields}
    return 0, json.dumps({"report": [{"lv": [found]}]})


def test_only_what_zones_have_is_looked_at(tmp_path: Path) -> None:
    assert storage_checks(settings(tmp_path, "qcow2")) == ()
    assert storage_checks(settings(tmp_path, "lvm:ssd/guests")) == (check_lvm, check_lvm_pools)
    assert storage_checks(settings(tmp_path, "python:a:B")) == (check_own_drivers,)


def test_missing_programs_and_a_kernel_without_device_mapper_are_said(
    tmp_path: Path, answers: dict[str, tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = settings(tmp_path, "lvm:ssd/guests")
    answers["thin_check"] = (127, "")
    assert "thin_check: not installed" in check_lvm(there).detail
    answers.clear()
    monkeypatch.setattr(check_storage, "no_device_mapper", lambda: "this kernel has no device-mapper")
    assert (check_lvm(there).ok, check_lvm(there).detail) == (False, "this kernel has no device-mapper")


@pytest.mark.parametrize(
    ("answer", "ok", "detail", "remedy"),
    [
        ({"lvs": pool()}, True, "ssd/guests: 12% full, metadata 3%", ""),
        ({"lvs": pool(metadata_percent="93.1")}, None, "metadata 93%", "lvextend"),
        ({"lvs": pool(zero="")}, False, "shows guests what was deleted", "lvchange --zero y ssd/guests"),
        ({"lvs": pool(segtype="linear")}, False, "ssd/guests is no thin pool", "lvconvert"),
        ({"lvs": (5, "")}, False, "there is no thin pool ssd/guests", "lvcreate --type thin-pool"),
        ({"vgs": (5, "")}, False, "there is no volume group ssd", "vgcreate ssd"),
    ],
)
def test_a_pool_is_there_zeroes_and_has_room_or_the_doctor_says_what_to_do(
    answer: dict[str, tuple[int, str]], ok: bool | None, detail: str, remedy: str, tmp_path: Path,
    answers: dict[str, tuple[int, str]],
) -> None:  # fmt: skip
    answers.update(answer)
    found = check_lvm_pools(settings(tmp_path, "lvm:ssd/guests"))
    assert found.ok is ok and detail in found.detail and remedy in found.remedy


def test_a_driver_of_ones_own_answers_or_the_doctor_says_what_it_said(tmp_path: Path) -> None:
    place = "python:examples.iscsi_tgt:Tgt?directory="
    found = check_own_drivers(settings(tmp_path, f"{place}{tmp_path}"))
    assert found.ok is not False and "GiB free" in found.detail
    assert list(tmp_path.iterdir()) == [], "it changes nothing"
    assert "does not answer" in check_own_drivers(settings(tmp_path, f"{place}{tmp_path}/nowhere")).detail
    assert "No module named" in check_own_drivers(settings(tmp_path, "python:nowhere:B")).detail
