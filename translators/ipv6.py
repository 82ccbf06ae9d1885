"""Ranges of IPv6 as requests give them."""

from ipaddress import IPv6Network

from translators.errors import invalid


def network6(name: str, text: str) -> IPv6Network:
    """Return the CIDR that a parameter gives, its host bits cleared as EC2 does; refuse what is none."""
    try:
        if "/" not in text or "%" in text:
            raise ValueError
        return IPv6Network(text, strict=False)
    except ValueError:
        raise invalid(name, text, "This is not a valid IPv6 CIDR block.") from None
