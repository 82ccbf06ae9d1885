"""EC2's error codes. The service model lists none, so this table is the only source."""

from typing import NoReturn


class Ec2Error(Exception):
    """An answer in EC2's words: ``code``, a message, and the HTTP status.

    An action of another service uses that one's codes; ``members`` are what its error's shape has besides a message.
    """

    def __init__(self, code: str, message: str, status: int = 400, **members: str) -> None:
        super().__init__(message)
        self.code, self.status, self.members = code, status, members


# Source: "Error codes for the Amazon EC2 API", client errors; the spelling of each is EC2's own.
_NOT_FOUND = {
    "Address": ("InvalidAllocationID.NotFound", "The allocation ID '{}' does not exist"),
    "CidrReservation": (
        "InvalidSubnetCidrReservationID.NotFound", "The subnet CIDR reservation ID '{}' does not exist"
    ),
    "DhcpOptions": ("InvalidDhcpOptionID.NotFound", "The dhcpOption ID '{}' does not exist"),
    "Endpoint": ("InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '{}' does not exist"),
    "EgressGateway": ("InvalidGatewayID.NotFound", "The gateway ID '{}' does not exist"),
    "ExportImageTask": ("InvalidExportTaskID.NotFound", "The export task ID '{}' does not exist"),
    "ExportInstanceTask": ("InvalidExportTaskID.NotFound", "The export task ID '{}' does not exist"),
    "FlowLog": (
        "InvalidFlowLogId.NotFound",
        "These flow log ids in the input list are not found: [TotalCount: {count}] {}",
    ),
    "Image": ("InvalidAMIID.NotFound", "The image id '[{}]' does not exist"),
    "ImportImageTask": ("InvalidConversionTaskId", "The import task ID '{}' does not exist"),
    "ImportSnapshotTask": ("InvalidConversionTaskId", "The import task ID '{}' does not exist"),
    "InsightsAnalysis": (
        "InvalidNetworkInsightsAnalysisId.NotFound",
        "The network insights analysis ID '{}' does not exist",
    ),
    "InsightsPath": ("InvalidNetworkInsightsPathId.NotFound", "The network insights path ID '{}' does not exist"),
    "Instance": ("InvalidInstanceID.NotFound", "The instance ID '{}' does not exist"),
    "InterfacePermission": ("InvalidPermissionID.NotFound", "The permission ID '{}' does not exist"),
    "InternetGateway": ("InvalidInternetGatewayID.NotFound", "The internetGateway ID '{}' does not exist"),
    "KeyPair": ("InvalidKeyPair.NotFound", "The key pair '{}' does not exist"),
    "NatGateway": ("NatGatewayNotFound", "The Nat Gateway {} was not found"),
    "NetworkAcl": ("InvalidNetworkAclID.NotFound", "The networkAcl ID '{}' does not exist"),
    "NetworkInterface": ("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '{}' does not exist"),
    "Peering": ("InvalidVpcPeeringConnectionID.NotFound", "The vpcPeeringConnection ID '{}' does not exist"),
    "PrefixList": ("InvalidPrefixListID.NotFound", "The prefix list ID '{}' does not exist"),
    "RootReplacement": (
        "InvalidReplaceRootVolumeTaskId.NotFound", "The replace root volume task ID '{}' does not exist"
    ),
    "RouteTable": ("InvalidRouteTableID.NotFound", "The routeTable ID '{}' does not exist"),
    "SecurityGroup": ("InvalidGroup.NotFound", "The security group '{}' does not exist"),
    "SecurityGroupRule": ("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '{}' does not exist"),
    "Snapshot": ("InvalidSnapshot.NotFound", "The snapshot '{}' does not exist."),
    "Subnet": ("InvalidSubnetID.NotFound", "The subnet ID '{}' does not exist"),
    "Volume": ("InvalidVolume.NotFound", "The volume '{}' does not exist."),
    "Vpc": ("InvalidVpcID.NotFound", "The vpc ID '{}' does not exist"),
}  # fmt: skip

_MALFORMED = {
    "ExportImageTask": "InvalidExportTaskID.Malformed",
    "ExportInstanceTask": "InvalidExportTaskID.Malformed",
    "Image": "InvalidAMIID.Malformed",
    "ImportImageTask": "InvalidConversionTaskId.Malformed",
    "ImportSnapshotTask": "InvalidConversionTaskId.Malformed",
    "Instance": "InvalidInstanceID.Malformed",
    "NatGateway": "NatGatewayMalformed",
    "Peering": "InvalidVpcPeeringConnectionId.Malformed",
    "SecurityGroup": "InvalidGroupId.Malformed",
    "Snapshot": "InvalidSnapshotID.Malformed",
    "Volume": "InvalidVolumeID.Malformed",
}


def not_found(kind: type, *ids: str) -> Ec2Error:
    code, text = _NOT_FOUND[kind.__name__]
    if len(ids) > 1 and kind.__name__ == "Instance":
        return Ec2Error(code, f"The instance IDs '{', '.join(sorted(ids))}' do not exist")
    return Ec2Error(code, text.format(", ".join(sorted(ids)), count=len(ids)))


def malformed(kind: type, id: str) -> Ec2Error:
    """EC2 tells ids that cannot be from ids that are not there, for the kinds it does so for."""
    code = _MALFORMED.get(kind.__name__)
    return Ec2Error(code, f'Invalid id: "{id}"') if code else not_found(kind, id)


def invalid(name: str, value: object, why: str = "") -> Ec2Error:
    text = f"Value ({value}) for parameter {name} is invalid."
    return Ec2Error("InvalidParameterValue", f"{text} {why}".strip())


def combination(message: str) -> Ec2Error:
    return Ec2Error("InvalidParameterCombination", message)


def missing(name: str) -> Ec2Error:
    return Ec2Error("MissingParameter", f"The request must contain the parameter {name}")


def unsupported(name: str, why: str = "") -> Ec2Error:
    return Ec2Error("UnsupportedOperation", f"The parameter {name} is not supported. {why}".strip())


def refuse(code: str, message: str) -> NoReturn:
    raise Ec2Error(code, message)
