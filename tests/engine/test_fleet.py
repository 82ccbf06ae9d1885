"""Which backend keeps the disks of which zone, as the settings say."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from engine.drivers.lvm import Lvm
from engine.drivers.qcow2 import Qcow2
from engine.drivers.rbd import Rbd
from engine.fleet import _stores, unknown_zones
from engine.stores import encrypts, store_named
from examples.iscsi_tgt import Tgt
from settings import Settings
from tests.cloud import Cloud

ZONES = ["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d"]


def kvm(directory: Path, **storage: str) -> Settings:
    return Settings(engine="kvm", data=directory, storage=storage)


def test_a_zone_of_which_nothing_is_said_has_files(tmp_path: Path) -> None:
    stores = _stores(kvm(tmp_path), ZONES, "me")
    assert isinstance(stores["us-east-1a"], Qcow2)
    assert len(set(stores.values())) == 1


def test_zones_with_the_same_backend_share_it(tmp_path: Path) -> None:
    settings = kvm(tmp_path, **dict(zip(ZONES, ["rbd:fast", "rbd:large", "rbd:fast", "qcow2"], strict=True)))
    stores = _stores(settings, ZONES, "me")
    assert [type(stores[zone]) for zone in ZONES] == [Rbd, Rbd, Rbd, Qcow2]
    assert stores["us-east-1a"] is stores["us-east-1c"] is not stores["us-east-1b"]
    assert settings.ceph_pools == ["fast", "large"]


@pytest.mark.parametrize(
    "backend",
    [
        *("", "rbd", "rbd:", "rbd:a/b", "rbd:a@b", "rbd:-a", "qcow2:dir", "lvm", "lvm:vg", "lvm:vg/", "lvm:-vg/pool"),
        *(
            "lvm:vg/pool/more",
            "python",
            "python:module",
            "python:module:",
            "python:a/b:C",
            "python:a:C?",
            "python:a:C?x y",
        ),
    ],
)
def test_a_backend_that_there_is_not_is_refused_at_the_start(backend: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="is none of qcow2, rbd:POOL, lvm:VG/POOL and python:"):
        kvm(tmp_path, **{"us-east-1a": backend})


def test_a_zone_may_have_a_thin_pool_or_a_driver_of_ones_own(tmp_path: Path) -> None:
    own = f"python:examples.iscsi_tgt:Tgt:fast?directory={tmp_path}"
    settings = kvm(tmp_path, **dict(zip(ZONES, ["lvm:ssd/guests", own, own, "qcow2"], strict=True)))
    stores = _stores(settings, ZONES, "me")
    assert [type(stores[zone]) for zone in ZONES] == [Lvm, Tgt, Tgt, Qcow2]
    assert (settings.lvm_pools, settings.own_drivers) == (["ssd/guests"], [own])
    assert store_named(own) == "python:examples.iscsi_tgt:Tgt:fast" and not encrypts(store_named(own))


def test_one_name_of_a_driver_is_one_store(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="python:a:B has other options elsewhere"):
        kvm(tmp_path, **{"us-east-1a": "python:a:B?x=1", "us-east-1b": "python:a:B?x=2"})
    kvm(tmp_path, **{"us-east-1a": "python:a:B:one?x=1", "us-east-1b": "python:a:B:two?x=2"})


def test_a_simulated_zone_has_no_backend_to_choose(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="storage needs engine = kvm"):
        Settings(engine="simulated", data=tmp_path, storage={"us-east-1a": "qcow2"})


def test_backends_can_be_said_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDFOG_STORAGE", '{"us-east-1b": "rbd:guests"}')
    settings = Settings(data=tmp_path)
    assert [settings.storage_of(zone) for zone in ZONES] == ["qcow2", "rbd:guests", "qcow2", "qcow2"]


def test_a_zone_that_there_is_not_is_found_out(cloud: Cloud, tmp_path: Path) -> None:
    assert unknown_zones(kvm(tmp_path, **{"us-east-1a": "qcow2"}), cloud.database) == []
    assert unknown_zones(kvm(tmp_path, **{"us-east-9a": "rbd:guests"}), cloud.database) == ["us-east-9a"]
