"""The fields of a flow log's lines (VPC user guide, "Flow log records"), and how a log names those that it wants."""

import re

VERSIONS = {
    **dict.fromkeys(
        ("version", "account-id", "interface-id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets",
         "bytes", "start", "end", "action", "log-status"), 2,
    ),
    **dict.fromkeys(
        ("vpc-id", "subnet-id", "instance-id", "tcp-flags", "type", "pkt-srcaddr", "pkt-dstaddr"), 3,
    ),
    **dict.fromkeys(("region", "az-id", "sublocation-type", "sublocation-id"), 4),
    **dict.fromkeys(("pkt-src-aws-service", "pkt-dst-aws-service", "flow-direction", "traffic-path"), 5),
}  # fmt: skip
"""Each field that is filled in, and the version of the records that brought it."""

DEFAULT = " ".join(f"${{{field}}}" for field, version in VERSIONS.items() if version == 2)

_FORMAT = re.compile(r"\$\{[a-z0-9-]+\}( \$\{[a-z0-9-]+\})*")


def fields_of(text: str) -> tuple[str, ...]:
    """Return the fields that a format names, in its order, known or not. Raise ValueError for what is no format."""
    if not _FORMAT.fullmatch(text):
        raise ValueError(text)
    return tuple(re.findall(r"\$\{([a-z0-9-]+)\}", text))
