"""What things are called by DNS inside a VPC."""

PROVIDED_DNS = "AmazonProvidedDNS"
"""What DHCP options call the resolver that comes with the network."""


def domain_name(region: str) -> str:
    """Return the domain of private names, by the rule of "DHCP option sets" in the VPC documentation."""
    return "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"


_ARN_TYPES = {
    "acl": "network-acl",
    "eigw": "egress-only-internet-gateway",
    "eni": "network-interface",
    "i": "instance",
    "igw": "internet-gateway",
    "nat": "natgateway",
    "nia": "network-insights-analysis",
    "nip": "network-insights-path",
    "pcx": "vpc-peering-connection",
    "pl": "prefix-list",
    "rtb": "route-table",
    "sg": "security-group",
    "subnet": "subnet",
    "vpc": "vpc",
    "vpce": "vpc-endpoint",
}


def arn(region: str, account: str, id: str) -> str:
    """Return the ARN of a resource of the network, by its id (Service Authorization Reference, Amazon EC2)."""
    return f"arn:aws:ec2:{region}:{account}:{_ARN_TYPES[id.rpartition('-')[0]]}/{id}"


def private_name(address: str, domain: str) -> str:
    """Return the name of a private address in a domain: see "EC2 instance hostname types"."""
    return f"ip-{address.replace('.', '-')}.{domain}"


def endpoint_domain(service_id: str, region: str) -> str:
    """Return the domain under which the endpoints of a service have their names."""
    return f"{service_id}.{region}.vpce.amazonaws.com"
