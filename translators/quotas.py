"""How much of each thing there may be: EC2's own limits where they shape what works, higher ones where AWS rations.

Source: "Amazon VPC quotas" and "Amazon EC2 service quotas". The operator changes any of them by the setting ``quotas``.
"""

from translators.errors import Ec2Error
from translators.registry import Call

_LIMITS: dict[str, tuple[int, str, str]] = {
    "IPv4 CIDR blocks per VPC": (
        5, "CidrLimitExceeded", "This network has met its maximum number of allowed CIDRs: {}"
    ),
    "IPv6 CIDR blocks per VPC": (
        5, "CidrLimitExceeded", "This network has met its maximum number of allowed IPv6 CIDRs: {}"
    ),
    "elastic IPs": (10_000, "AddressLimitExceeded", "The maximum number of addresses has been reached."),
    "elastic IPs per NAT gateway": (2, "AddressLimitExceeded", "A NAT gateway can have {} Elastic IP addresses."),
    "NAT gateways per zone": (
        5, "NatGatewayLimitExceeded", "Performing this operation would exceed the limit of {} NAT gateways"
    ),
    "private addresses per NAT gateway": (
        8, "PrivateIpAddressLimitExceeded", "A NAT gateway can have {} private IPv4 addresses."
    ),
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
    "network insights paths": (
        1000,
        "NetworkInsightsPath.LimitExceeded",
        "The maximum number of network insights paths has been reached.",
    ),
    "flow logs per resource": (
        2,
        "FlowLogsLimitExceeded",
        "The maximum number of flow logs for this resource has been reached.",
    ),
    "volumes": (10_000, "VolumeLimitExceeded", "The maximum number of volumes has been reached."),
    "GiB of volumes": (
        307_200, "VolumeLimitExceeded", "You have exceeded your maximum storage limit of {} GiB in this region."
    ),
    "provisioned IOPS of volumes": (
        300_000, "MaxIOPSLimitExceeded", "You have exceeded your maximum provisioned IOPS limit of {} in this region."
    ),
    "active exports": (20, "ResourceCountExceeded", "You have exceeded the limit of {} active export tasks."),
    "active imports": (20, "ResourceCountExceeded", "You have exceeded the limit of {} active import tasks."),
    "snapshots": (100_000, "SnapshotLimitExceeded", "The maximum number of snapshots has been reached."),
    "vpcs": (1000, "VpcLimitExceeded", "The maximum number of VPCs has been reached."),
    "network ACLs per VPC": (200, "NetworkAclLimitExceeded", "The maximum number of network ACLs has been reached."),
    "route tables per VPC": (200, "RouteTableLimitExceeded", "The maximum number of route tables has been reached."),
    "routes per route table": (500, "RouteLimitExceeded", "The maximum number of routes has been reached."),
    "rules per network ACL": (
        20,
        "NetworkAclEntryLimitExceeded",
        "The maximum number of network ACL entries has been reached.",
    ),
    "subnets per VPC": (200, "SubnetLimitExceeded", "The maximum number of subnets has been reached."),
}  # fmt: skip
"""Name: how many, EC2's error code, and its message, in which {} is how many."""


def check_quota(call: Call, name: str, count: int) -> None:
    """Refuse, in EC2's words, what would make ``count`` of a thing when fewer are allowed."""
    _, code, text = _LIMITS[name]
    most = limit(call, name)
    if count > most:
        raise Ec2Error(code, text.format(most))


def limit(call: Call, name: str) -> int:
    """Return how many of a thing there may be."""
    return call.settings.quotas.get(name, _LIMITS[name][0])
