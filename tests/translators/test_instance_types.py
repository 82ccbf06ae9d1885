"""Instance types through a real client."""

from pathlib import Path
from typing import Any

import pytest

from engine.state import Instance, now
from tests.cloud import IMAGE, OPERATOR, REGION, Cloud
from translators.catalogue import PACKAGED, catalogue


def add_instance(cloud: Cloud, instance_type: str, account: str = OPERATOR, **columns: Any) -> str:
    """Put a row there as if an instance had been launched; return its id."""
    id = Instance.new_id()
    values = {"state": "running", "cpu_credits": ""} | columns
    with cloud.database.write() as db:
        db.add(
            Instance(
                id=id, account=account, region=REGION, reservation_id="r-0123456789abcdef0", image_id=IMAGE,
                instance_type=instance_type, root_device_name="/dev/xvda", launch_time=now(), usage_time=now(),
                zone="us-east-1a", vcpus=2, memory_mib=1024, vpc_id="vpc-1", subnet_id="subnet-1", **values,
            )
        )  # fmt: skip
    return id


def test_the_catalogue_knows_what_a_familiar_type_has() -> None:
    types = catalogue()
    facts = {name: (types[name].vcpus, types[name].memory_mib) for name in ("t2.nano", "t3.micro", "m5.24xlarge")}
    assert facts == {"t2.nano": (1, 512), "t3.micro": (2, 1024), "m5.24xlarge": (96, 393216)}
    assert (types["c4.8xlarge"].vcpus, types["r4.large"].memory_mib, types["c5.9xlarge"].cores) == (36, 15616, 18)
    assert types["t3.micro"].burstable and types["t3.micro"].credits == "unlimited" and not types["m5.large"].burstable
    assert not [name for name in types if "metal" in name]
    assert catalogue() is types


def test_an_operator_can_replace_the_catalogue_and_a_faulty_one_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "types.toml"
    own.write_text('[families.dc1.sizes]\nsmall = {vcpus=2, memory_mib=3000, interfaces=2, addresses=4, network="1G"}')
    assert list(catalogue(own)) == ["dc1.small"]
    for number, fault in enumerate(("vcpus=3, memory_mib=1", "vcpus=2", "vcpus=2, memory_mib=1, nonsense=1")):
        faulty = tmp_path / f"{number}.toml"
        faulty.write_text(f'[families.x.sizes]\na = {{{fault}, interfaces=2, addresses=4, network="1G"}}')
        with pytest.raises(ValueError):
            catalogue(faulty)
    assert PACKAGED.exists()


def test_a_type_is_described_with_every_structure_that_clients_dereference(ec2: Any) -> None:
    (kind,) = ec2.describe_instance_types(InstanceTypes=["t3.large"])["InstanceTypes"]
    assert kind["VCpuInfo"]["DefaultVCpus"] == 2 and kind["MemoryInfo"]["SizeInMiB"] == 8192
    assert kind["VCpuInfo"]["ValidThreadsPerCore"] == [1, 2]
    assert kind["ProcessorInfo"]["SupportedArchitectures"] == ["x86_64"]
    assert kind["NetworkInfo"]["MaximumNetworkInterfaces"] == 3
    assert kind["NetworkInfo"]["Ipv4AddressesPerInterface"] == 12
    assert kind["NetworkInfo"]["NetworkCards"][0]["NetworkCardIndex"] == 0
    assert kind["EbsInfo"]["EbsOptimizedInfo"]["BaselineThroughputInMBps"] == 86.875
    assert kind["PlacementGroupInfo"]["SupportedStrategies"] == ["partition", "spread"]
    assert (kind["BurstablePerformanceSupported"], kind["Hypervisor"]) == (True, "nitro")
    assert kind["SupportedBootModes"] == ["legacy-bios", "uefi"]


def test_an_unknown_type_is_refused_by_name(ec2: Any, refused: Any) -> None:
    with refused("InvalidInstanceType", "[t9.huge, x]"):
        ec2.describe_instance_types(InstanceTypes=["x", "t3.micro", "t9.huge"])


def test_types_are_filtered(ec2: Any, refused: Any) -> None:
    def names(**filters: Any) -> list[str]:
        chosen = [{"Name": k.replace("_", "-"), "Values": v} for k, v in filters.items()]
        return [t["InstanceType"] for t in ec2.describe_instance_types(Filters=chosen)["InstanceTypes"]]

    assert names(free_tier_eligible=["true"]) == ["t2.micro", "t3.micro"]
    assert names(instance_type=["c5*"], **{"vcpu-info.default-vcpus": ["96"]}) == ["c5.24xlarge", "c5a.24xlarge"]
    assert "t2.nano" in names(hypervisor=["xen"]) and "t3.nano" not in names(hypervisor=["xen"])
    assert names(**{"memory-info.size-in-mib": ["512"]}) == ["t2.nano", "t3.nano", "t3a.nano"]
    assert names(**{"processor-info.supported-architecture": ["arm64"]}) == []
    assert names(bare_metal=["true"]) == names(**{"instance-storage-info.disk.type": ["ssd"]}) == []
    with refused("InvalidParameterValue", "nonsense"):
        names(nonsense=["x"])


def test_types_come_in_pages(ec2: Any, refused: Any) -> None:
    pages = list(ec2.get_paginator("describe_instance_types").paginate(PaginationConfig={"PageSize": 50}))
    names = [t["InstanceType"] for p in pages for t in p["InstanceTypes"]]
    assert len(pages) > 2 and names == sorted(catalogue())
    assert "NextToken" in ec2.describe_instance_types()
    with refused("InvalidNextToken"):
        ec2.describe_instance_types(NextToken="x")


def test_every_type_is_offered_in_the_region_and_in_each_of_its_zones(ec2: Any) -> None:
    def places(kind: str) -> list[str]:
        chosen = [{"Name": "instance-type", "Values": ["t3.micro"]}]
        found = ec2.describe_instance_type_offerings(LocationType=kind, Filters=chosen)["InstanceTypeOfferings"]
        assert all(o["LocationType"] == kind for o in found)
        return [o["Location"] for o in found]

    assert places("region") == [REGION]
    assert places("availability-zone") == ["us-east-1a", "us-east-1b", "us-east-1c"]
    assert places("availability-zone-id") == ["use1-az1", "use1-az2", "use1-az3"]
    assert places("outpost") == []
    assert len(ec2.describe_instance_type_offerings()["InstanceTypeOfferings"]) == len(catalogue())


def test_offerings_are_filtered_by_place_and_paged(ec2: Any) -> None:
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone",
        Filters=[{"Name": "location", "Values": ["us-east-1b"]}],
        PaginationConfig={"PageSize": 60},
    )
    assert [o["InstanceType"] for p in pages for o in p["InstanceTypeOfferings"]] == list(catalogue())


def test_credits_are_the_types_default_until_they_are_set(cloud: Cloud, ec2: Any, refused: Any) -> None:
    t2, t3, m5 = (add_instance(cloud, name) for name in ("t2.micro", "t3.micro", "m5.large"))

    def credits(**asked: Any) -> dict[str, str]:
        found = ec2.describe_instance_credit_specifications(**asked)["InstanceCreditSpecifications"]
        return {each["InstanceId"]: each["CpuCredits"] for each in found}

    assert credits(InstanceIds=[t2, t3, m5]) == {t2: "standard", t3: "unlimited", m5: "standard"}
    assert credits() == {t3: "unlimited"}
    assert credits(Filters=[{"Name": "instance-id", "Values": [t2]}]) == {t2: "standard"}
    done = ec2.modify_instance_credit_specification(
        InstanceCreditSpecifications=[
            {"InstanceId": t2, "CpuCredits": "unlimited"},
            {"InstanceId": t3, "CpuCredits": "standard"},
        ]
    )
    assert [s["InstanceId"] for s in done["SuccessfulInstanceCreditSpecifications"]] == [t2, t3]
    assert done["UnsuccessfulInstanceCreditSpecifications"] == []
    assert credits() == {t2: "unlimited"}
    with refused("InvalidInstanceID.NotFound"):
        cloud.another_account().describe_instance_credit_specifications(InstanceIds=[t2])
    with refused("InvalidParameterCombination"):
        credits(InstanceIds=[t2], MaxResults=5)


def test_instances_whose_credits_cannot_be_set_are_named_with_the_reason(cloud: Cloud, ec2: Any, refused: Any) -> None:
    m5, gone = add_instance(cloud, "m5.large"), add_instance(cloud, "t3.micro", state="terminated")
    theirs = add_instance(cloud, "t3.micro", account="222222222222")

    def change(*ids: str, credits: str = "standard") -> Any:
        asked = [{"InstanceId": id, "CpuCredits": credits} for id in ids]
        return ec2.modify_instance_credit_specification(InstanceCreditSpecifications=asked)

    failed = change(m5, gone, theirs, "i-x")["UnsuccessfulInstanceCreditSpecifications"]
    assert [f["Error"]["Code"] for f in failed] == [
        "InstanceCreditSpecification.NotSupported",
        "IncorrectInstanceState",
        "InvalidInstanceID.NotFound",
        "InvalidInstanceID.Malformed",
    ]
    with refused("InvalidParameterValue"):
        change(m5, credits="endless")
    with refused("MissingParameter"):
        ec2.modify_instance_credit_specification(InstanceCreditSpecifications=[{"InstanceId": m5}])


def test_a_dry_run_sets_no_credits(cloud: Cloud, ec2: Any, refused: Any) -> None:
    id = add_instance(cloud, "t3.micro")
    with refused("DryRunOperation"):
        ec2.modify_instance_credit_specification(
            InstanceCreditSpecifications=[{"InstanceId": id, "CpuCredits": "standard"}], DryRun=True
        )
    (found,) = ec2.describe_instance_credit_specifications(InstanceIds=[id])["InstanceCreditSpecifications"]
    assert found["CpuCredits"] == "unlimited"
    with refused("DryRunOperation"):
        ec2.describe_instance_types(DryRun=True)
