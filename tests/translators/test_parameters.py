"""Public parameters of Systems Manager through a real client, and what launches by them."""

from collections.abc import Callable
from typing import Any

import pytest

from engine.seed import SeedImage, add_image
from engine.state import Image, Snapshot, family_of
from tests.cloud import IMAGE, REGION, Cloud
from tests.translators.test_images import register
from tests.translators.test_snapshots import MINE

DEMO = "/aws/service/groundfog/groundfog-demo/latest/x86_64"
DEBIAN = "/aws/service/debian/release/12/latest/amd64"
AL2023 = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
JAMMY = "/aws/service/canonical/ubuntu/server/22.04/stable/current/amd64/hvm/ebs-gp2/ami-id"

Offer = Callable[..., str]


@pytest.fixture
def ssm(cloud: Cloud) -> Any:
    return cloud.client("ssm")


@pytest.fixture
def offer(cloud: Cloud) -> Offer:
    """Add a public image of the operator's; return its id. Later ones are newer."""
    made: list[str] = []

    def add(name: str, family: str = "", region: str = REGION, **more: Any) -> str:
        with cloud.database.write() as db:
            seed = SeedImage(name=name, family=family, **more)
            image = add_image(db, seed, region, Image.new_id(), Snapshot.new_id())
            made.append(image.id)
            image.created = f"2024-01-{len(made):02}T00:00:00.000Z"
        return made[-1]

    return add


def values(ssm: Any, path: str, **asked: Any) -> dict[str, str]:
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=path, **asked)
    return {p["Name"]: p["Value"] for page in pages for p in page["Parameters"]}


def test_the_newest_image_of_a_family_is_a_parameter(ssm: Any, offer: Offer) -> None:
    offer("debian-12-20240101")
    newest = offer("debian-12-20240102-1200")
    for name in (DEBIAN, DEBIAN.replace("12", "bookworm"), "/aws/service/groundfog/debian-12/latest/x86_64"):
        found = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]
        assert found.pop("LastModifiedDate").isoformat() == "2024-01-02T00:00:00+00:00"
        assert found == {
            "Name": name, "Type": "String", "Value": newest, "Version": 1704153600000,
            "ARN": f"arn:aws:ssm:us-east-1::parameter{name}", "DataType": "aws:ec2:image",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "family"),
    [
        (AL2023, "al2023"),
        (AL2023.replace("default", "6.1"), "al2023-kernel-6.1"),
        (JAMMY, "ubuntu-22.04"),
        (JAMMY.replace("22.04", "jammy").replace("gp2", "gp3"), "ubuntu-22.04"),
        (JAMMY.replace("server/", "server-minimal/"), "ubuntu-minimal-22.04"),
        ("/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-x86_64-gp2", "amzn2"),
        ("/aws/service/ami-amazon-linux-latest/amzn2-ami-kernel-5.10-hvm-x86_64-gp2", "amzn2-kernel-5.10"),
        ("/aws/service/ami-windows-latest/Windows_Server-2022-English-Core", "Windows_Server-2022-English-Core"),
        ("/aws/service/groundfog/teams/web/latest/x86_64", "teams/web"),
    ],
)  # fmt: skip
def test_a_familiar_name_means_the_family_that_the_operator_names(
    ssm: Any, offer: Offer, refused: Any, name: str, family: str
) -> None:
    with refused("ParameterNotFound"):
        ssm.get_parameter(Name=name)
    image = offer("whatever", family)
    assert ssm.get_parameter(Name=name)["Parameter"]["Value"] == image
    assert values(ssm, name.rpartition("/")[0])[name] == image


def test_an_architecture_has_images_of_its_own(ssm: Any, offer: Offer, refused: Any) -> None:
    arm = offer("debian-12-arm", "debian-12", architecture="arm64")
    assert ssm.get_parameter(Name=DEBIAN.replace("amd64", "arm64"))["Parameter"]["Value"] == arm
    for name in (DEBIAN, DEBIAN.replace("amd64", "x86_64"), DEBIAN.replace("amd64", "")):
        with refused("ParameterNotFound"):
            ssm.get_parameter(Name=name)


def test_only_what_everybody_may_launch_is_a_parameter(cloud: Cloud, ssm: Any, offer: Offer, refused: Any) -> None:
    mine, older, newer = cloud.another_account(MINE), offer("debian-12"), offer("debian-12-20240102")
    theirs = register(cloud, mine, "debian-12-20990101")
    mine.modify_image_attribute(ImageId=theirs, LaunchPermission={"Add": [{"Group": "all"}]})
    ssm = cloud.client("ssm", key=f"AKIA{MINE}", secret=f"secret{MINE}")
    assert ssm.get_parameter(Name=DEBIAN)["Parameter"]["Value"] == newer
    cloud.ec2.disable_image(ImageId=newer)
    assert ssm.get_parameter(Name=DEBIAN)["Parameter"]["Value"] == older
    cloud.ec2.modify_image_attribute(ImageId=older, LaunchPermission={"Remove": [{"Group": "all"}]})
    with refused("ParameterNotFound", f"Parameter {DEBIAN} not found."):
        ssm.get_parameter(Name=DEBIAN)


def test_a_region_has_parameters_of_its_own(make_cloud: Any, refused: Any) -> None:
    cloud = make_cloud(regions="us-east-1,eu-west-1")
    there = cloud.client("ssm", region="eu-west-1")
    assert there.get_parameter(Name=DEMO)["Parameter"]["Value"] != IMAGE
    with refused("ParameterNotFound"):
        there.get_parameter(Name=f"arn:aws:ssm:us-east-1::parameter{DEMO}")
    with refused("UnrecognizedClientException"):
        cloud.client("ssm", region="eu-west-9").get_parameter(Name=DEMO)


def test_an_arn_and_the_present_version_may_be_named(ssm: Any, refused: Any) -> None:
    found = ssm.get_parameter(Name=f"arn:aws:ssm:us-east-1::parameter{DEMO}")["Parameter"]
    assert (found["Name"], found["Value"]) == (DEMO, IMAGE)
    selected = ssm.get_parameter(Name=f"{DEMO}:{found['Version']}")["Parameter"]
    assert (selected["Value"], selected["Selector"]) == (IMAGE, f":{found['Version']}")
    for selector in ("1", "label"):
        with refused("ParameterVersionNotFound", selector):
            ssm.get_parameter(Name=f"{DEMO}:{selector}")


def test_several_parameters_are_read_at_once(ssm: Any, refused: Any) -> None:
    answer = ssm.get_parameters(Names=[DEMO, "/mine", f"{DEMO}:1", DEMO], WithDecryption=True)
    assert [(p["Name"], p["Value"]) for p in answer["Parameters"]] == [(DEMO, IMAGE)]
    assert answer["InvalidParameters"] == ["/mine", f"{DEMO}:1"]
    for names in ([], [DEMO] * 11):
        with refused("ValidationException"):
            ssm.get_parameters(Names=names)


def test_a_path_is_listed_by_pages_flat_or_to_its_depth(ssm: Any, offer: Offer, refused: Any) -> None:
    for number in range(12):
        offer(f"web{number:02}")
    assert values(ssm, "/aws/service/groundfog") == {}
    assert values(ssm, "/aws/service/groundfog/groundfog-demo/latest/") == {DEMO: IMAGE}
    assert values(ssm, DEMO) == values(ssm, "/nobody", Recursive=True) == {}
    first = ssm.get_parameters_by_path(Path="/aws/service/groundfog", Recursive=True)
    assert len(first["Parameters"]) == 10
    everything = values(ssm, "/aws/service/groundfog", Recursive=True, PaginationConfig={"PageSize": 5})
    assert len(everything) == 13 and list(everything) == sorted(everything)
    assert everything == values(ssm, "/", Recursive=True)
    with refused("InvalidNextToken"):
        ssm.get_parameters_by_path(Path="/", NextToken="x")
    with refused("ValidationException", "forward slash"):
        ssm.get_parameters_by_path(Path="aws")
    with refused("ValidationException"):
        ssm.get_parameters_by_path(Path="/", MaxResults=11)


def test_a_path_is_filtered(ssm: Any, refused: Any) -> None:
    def names(key: str, *wanted: str, **option: str) -> list[str]:
        asked = [{"Key": key, "Values": list(wanted), **option}]
        return list(values(ssm, "/aws", Recursive=True, ParameterFilters=asked))

    assert names("Type", "String", "SecureString") == names("Type", "Str", Option="BeginsWith") == [DEMO]
    assert names("Type", "StringList") == names("KeyId", "alias/x") == names("Label", "latest") == []
    with refused("InvalidFilterKey"):
        names("Name", DEMO)
    with refused("InvalidFilterOption"):
        names("Label", "x", Option="BeginsWith")
    with refused("InvalidFilterValue"):
        ssm.get_parameters_by_path(Path="/aws", ParameterFilters=[{"Key": "Type"}])


def test_an_instance_is_launched_by_the_name_of_a_parameter(ec2: Any, offer: Offer, refused: Any) -> None:
    image = offer("debian-12")
    for name in (DEBIAN, "/aws/service/groundfog/debian-12/latest/x86_64"):
        [instance] = ec2.run_instances(ImageId=f"resolve:ssm:{name}", MinCount=1, MaxCount=1)["Instances"]
        assert instance["ImageId"] == image
    for name in (AL2023, "", "/mine", f"{DEBIAN}:1"):
        with refused("SsmInvalidParameter", name):
            ec2.run_instances(ImageId=f"resolve:ssm:{name}", MinCount=1, MaxCount=1)


def test_images_are_found_by_the_parameters_that_meant_them(cloud: Cloud, offer: Offer) -> None:
    def found(*names: str) -> dict[str, str | None]:
        filters = [{"Name": "public-ssm-parameter-name", "Values": list(names)}]
        images = mine.describe_images(Filters=filters)["Images"]
        return {image["ImageId"]: image.get("PublicSsmParameterName") for image in images}

    mine = cloud.another_account(MINE)
    older, newer = offer("debian-12"), offer("debian-12-20240102")
    register(cloud, mine, "debian-12")
    own = "/aws/service/groundfog/debian-12/latest/x86_64"
    assert found(DEBIAN) == found(own) == found("/aws/service/*/debian-*") == {older: None, newer: own}
    assert found(DEMO, AL2023) == {IMAGE: DEMO} and found("/mine") == {}
    assert len(found("*")) == 3


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("debian-12", "debian-12"),
        ("debian-12-amd64-20240415-1718", "debian-12-amd64"),
        ("ubuntu/images/ubuntu-jammy-22.04-amd64-server-20240411", "ubuntu/images/ubuntu-jammy-22.04-amd64-server"),
        ("Windows_Server-2022-English-Full-Base-2024.04.10", "Windows_Server-2022-English-Full-Base"),
        ("web v2", "web"),
        ("web-1.4.12-rc1", "web"),
        ("my image (new)", "my-image--new-"),
        ("///", "-"),
    ],
)  # fmt: skip
def test_a_name_up_to_its_build_is_the_family(name: str, family: str) -> None:
    assert family_of(name) == family


def test_other_actions_of_the_service_are_refused(ssm: Any, refused: Any) -> None:
    with refused("UnknownOperationException", "PutParameter"):
        ssm.put_parameter(Name="/mine", Value="x", Type="String")
    with refused("ValidationException"):
        ssm.get_parameter(Name="")
