"""How much of each thing there may be: EC2's own limits where they shape what works, higher ones where AWS rations.

Source: "Amazon VPC quotas" and "Amazon EC2 service quotas". The operator changes any of them by the setting ``quotas``.
"""

from translators.errors import Ec2Error
from translators.registry import Call

_LIMITS: dict[str, tuple[int, str, str]] = {
    "active VPC peering connections per VPC": (
        50,
        "ActiveVpcPeeringConnectionPerVpcLimitExceeded",
        "The maximum number of active VPC peering connections per VPC has been reached.",
    ),
    "entries per prefix list": (1000, "InvalidParameterValue", "The maximum size of a prefix list has been reached."),
    "outstanding VPC peering connection requests": (
        25,
        "OutstandingVpcPeeringConnectionLimitExceeded",
        "The maximum number of outstanding VPC peering connection requests has been reached.",
    ),
    "prefix lists": (100, "PrefixListLimitExceeded", "The maximum number of prefix lists has been reached."),
    "routes per route table": (500, "RouteLimitExceeded", "The maximum number of routes has been reached."),
    "rules per security group": (
        60,
        "RulesPerSecurityGroupLimitExceeded",
        "The maximum number of rules per security group has been reached.",
    ),
    "security groups": (2500, "SecurityGroupLimitExceeded", "The maximum number of security groups has been reached."),
    "security groups per interface": (
        16,
        "SecurityGroupsPerInterfaceLimitExceeded",
        "The maximum number of security groups per network interface has been reached.",
    ),
    "vpcs": (1000, "VpcLimitExceeded", "The maximum number of VPCs has been reached."),
    "subnets per VPC": (200, "SubnetLimitExceeded", "The maximum number of subnets has been reached."),
}
"""Name: how many, EC2's error code, and its message."""


def check_quota(call: Call, name: str, count: int) -> None:
    """Refuse, in EC2's words, what would make ``count`` of a thing when fewer are allowed."""
    _, code, text = _LIMITS[name]
    if count > limit(call, name):
        raise Ec2Error(code, text)


def limit(call: Call, name: str) -> int:
    """Return how many of a thing there may be."""
    return call.settings.quotas.get(name, _LIMITS[name][0])
