"""The names that instances go by: see EC2's "EC2 instance hostname types", and for the domain "DNS attributes"."""

from sqlalchemy import Select, and_, case, func, or_, select

from engine.names import domain_name, private_name
from engine.state import DhcpOptions, Instance, Vpc
from engine.state.json_texts import first_text

_told = func.coalesce(first_text(DhcpOptions.options, "domain-name"), "")


def other_domain() -> Select[tuple[str]]:
    """Return a query for the domain that the names of ``Instance`` are in instead of EC2's: text, empty for none.

    "Instances receive custom private DNS hostnames if there is a custom domain name in the DHCP options set": where
    EC2's own names do not resolve. Of several domains none is that of the names.
    """
    ec2s = or_(and_(Vpc.dns_hostnames, Vpc.dns_support), _told.contains(" "))
    return (
        select(case((ec2s, ""), else_=_told))
        .join(DhcpOptions, DhcpOptions.id == Vpc.dhcp_options_id)
        .where(Vpc.id == Instance.vpc_id)
    )


def host_name(id: str, address: str, hostname_type: str, region: str, other: str) -> str:
    """Return an instance's name, in the ``other`` domain where that is not empty; an empty one without an address."""
    domain = other or domain_name(region)
    if hostname_type == "resource-name":
        return f"{id}.{domain}"
    return private_name(address, domain) if address else ""
