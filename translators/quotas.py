"""How much of each thing there may be: EC2's own limits where they shape what works, higher ones where AWS rations.

Source: "Amazon VPC quotas" and "Amazon EC2 service quotas". The operator changes any of them by the setting ``quotas``.
"""

from translators.errors import Ec2Error
from translators.registry import Call

_LIMITS: dict[str, tuple[int, str, str]] = {
    "flow logs per resource": (
        2,
        "FlowLogsLimitExceeded",
        "The maximum number of flow logs for this resource has been reached.",
    ),
    "vpcs": (1000, "VpcLimitExceeded", "The maximum number of VPCs has been reached."),
    "subnets per VPC": (200, "SubnetLimitExceeded", "The maximum number of subnets has been reached."),
}
"""Name: how many, EC2's error code, and its message."""


def check_quota(call: Call, name: str, count: int) -> None:
    """Refuse, in EC2's words, what would make ``count`` of a thing when fewer are allowed."""
    limit, code, text = _LIMITS[name]
    if count > call.settings.quotas.get(name, limit):
        raise Ec2Error(code, text)
