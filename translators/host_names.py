"""The private names that addresses have in DNS, as values and as SQL: see EC2's "EC2 instance hostname types"."""

from typing import Any

from sqlalchemy import ColumnElement, case, func

from engine.desired import domain_name


def private_dns_name(address: str, region: str) -> str:
    return f"ip-{address.replace('.', '-')}.{domain_name(region)}"


def private_dns_name_of(address: Any, region: Any) -> ColumnElement[str]:
    """Return ``private_dns_name`` of two columns."""
    return "ip-" + func.replace(address, ".", "-") + "." + domain_name_of(region)


def domain_name_of(region: Any) -> ColumnElement[str]:
    """Return ``domain_name`` of a column."""
    return case((region == "us-east-1", "ec2.internal"), else_=region + ".compute.internal")
