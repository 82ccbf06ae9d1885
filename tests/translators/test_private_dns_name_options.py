"""The options for an instance's private names, changed later."""

from typing import Any

import pytest

from tests.cloud import Cloud
from tests.engine.imds import describe, run_instance


@pytest.fixture
def id(cloud: Cloud) -> str:
    return str(run_instance(cloud)["InstanceId"])


def options(cloud: Cloud, id: str) -> dict[str, Any]:
    return dict(describe(cloud, id)["PrivateDnsNameOptions"])


def stop(cloud: Cloud, id: str) -> None:
    cloud.ec2.stop_instances(InstanceIds=[id])
    cloud.settle()


def test_records_are_switched_while_it_runs(cloud: Cloud, id: str) -> None:
    plain = {"EnableResourceNameDnsARecord": False, "EnableResourceNameDnsAAAARecord": False}
    assert options(cloud, id) == {"HostnameType": "ip-name", **plain}
    assert cloud.ec2.modify_private_dns_name_options(InstanceId=id, EnableResourceNameDnsARecord=True)["Return"]
    assert options(cloud, id) == {"HostnameType": "ip-name", **plain, "EnableResourceNameDnsARecord": True}
    cloud.ec2.modify_private_dns_name_options(
        InstanceId=id, EnableResourceNameDnsARecord=False, EnableResourceNameDnsAAAARecord=True
    )
    assert options(cloud, id) == {"HostnameType": "ip-name", **plain, "EnableResourceNameDnsAAAARecord": True}


def test_the_name_it_goes_by_is_changed_while_it_is_off(cloud: Cloud, id: str, refused: Any) -> None:
    change = {"InstanceId": id, "PrivateDnsHostnameType": "resource-name"}
    with refused("IncorrectInstanceState", "stopped"):
        cloud.ec2.modify_private_dns_name_options(**change)
    cloud.ec2.modify_private_dns_name_options(InstanceId=id, PrivateDnsHostnameType="ip-name")
    stop(cloud, id)
    cloud.ec2.modify_private_dns_name_options(**change)
    assert describe(cloud, id)["PrivateDnsName"] == f"{id}.ec2.internal"


def test_what_cannot_be_is_refused(cloud: Cloud, id: str, refused: Any) -> None:
    with refused("InvalidParameterValue"):
        cloud.ec2.modify_private_dns_name_options(InstanceId=id, PrivateDnsHostnameType="x")
    with refused("InvalidInstanceID.NotFound"):
        cloud.ec2.modify_private_dns_name_options(InstanceId="i-0123456789abcdef0")
    with refused("InvalidInstanceID.NotFound"):
        cloud.another_account().modify_private_dns_name_options(InstanceId=id, EnableResourceNameDnsARecord=True)
    cloud.ec2.terminate_instances(InstanceIds=[id])
    with refused("IncorrectInstanceState"):
        cloud.ec2.modify_private_dns_name_options(InstanceId=id, EnableResourceNameDnsARecord=True)
