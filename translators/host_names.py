"""The private names that addresses and instances have in DNS, as values and as SQL."""

from typing import Any

from sqlalchemy import ColumnElement, case, func

from engine.desired import domain_name
from engine.instance_names import other_domain
from engine.names import private_name
from engine.state import Instance


def private_dns_name(address: str, region: str) -> str:
    return private_name(address, domain_name(region))


def private_dns_name_of(address: Any, region: Any) -> ColumnElement[str]:
    """Return ``private_dns_name`` of two columns."""
    return "ip-" + func.replace(address, ".", "-") + "." + domain_name_of(region)


def domain_name_of(region: Any) -> ColumnElement[str]:
    """Return ``domain_name`` of a column."""
    return case((region == "us-east-1", "ec2.internal"), else_=region + ".compute.internal")


def instance_name_of() -> ColumnElement[str]:
    """Return ``host_name`` of ``Instance``."""
    own = case(
        (Instance.hostname_type == "resource-name", Instance.id),
        else_="ip-" + func.replace(Instance.private_ip, ".", "-"),
    )
    other = func.coalesce(other_domain().scalar_subquery(), "")
    return own + "." + case((other != "", other), else_=domain_name_of(Instance.region))
