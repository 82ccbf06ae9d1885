"""Security groups and prefix lists as tests write and read them: short forms of requests and of what is described."""

from typing import Any

CIDR = "10.0.0.0/8"


def make(ec2: Any, name: str = "web", **parameters: Any) -> str:
    id: str = ec2.create_security_group(GroupName=name, Description="a group", **parameters)["GroupId"]
    return id


def shown(ec2: Any, id: str) -> Any:
    (found,) = ec2.describe_security_groups(GroupIds=[id])["SecurityGroups"]
    return found


def inbound(ec2: Any, id: str) -> Any:
    """Return the group's inbound permissions without their empty lists."""
    return [{k: v for k, v in p.items() if v != []} for p in shown(ec2, id)["IpPermissions"]]


def rules(ec2: Any, id: str, egress: bool = False) -> list[Any]:
    found = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [id]}])["SecurityGroupRules"]
    return [rule for rule in found if rule["IsEgress"] is egress]


def tcp(port: int, *cidrs: str, last: int | None = None) -> dict[str, Any]:
    ranges = [{"CidrIp": cidr} for cidr in cidrs or (CIDR,)]
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": last or port, "IpRanges": ranges}


def allow(ec2: Any, id: str, *permissions: dict[str, Any], **more: Any) -> list[Any]:
    answer = ec2.authorize_security_group_ingress(GroupId=id, IpPermissions=list(permissions), **more)
    assert answer["Return"] is True
    found: list[Any] = answer["SecurityGroupRules"]
    return found


def modify(ec2: Any, group: str, id: str, **rule: Any) -> None:
    ec2.modify_security_group_rules(
        GroupId=group, SecurityGroupRules=[{"SecurityGroupRuleId": id, "SecurityGroupRule": rule}]
    )


def make_list(ec2: Any, *cidrs: str, **more: Any) -> str:
    """Make a prefix list of these ranges."""
    entries = [{"Cidr": cidr} for cidr in cidrs]
    asked = {"PrefixListName": "offices", "AddressFamily": "IPv4", "MaxEntries": 5, "Entries": entries, **more}
    return str(ec2.create_managed_prefix_list(**asked)["PrefixList"]["PrefixListId"])


def by_list(id: str, port: int = 443) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "PrefixListIds": [{"PrefixListId": id}]}
