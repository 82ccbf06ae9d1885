"""What things are called by DNS inside a VPC."""

PROVIDED_DNS = "AmazonProvidedDNS"
"""What DHCP options call the resolver that comes with the network."""


def domain_name(region: str) -> str:
    """Return the domain of private names, by the rule of "DHCP option sets" in the VPC documentation."""
    return "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
