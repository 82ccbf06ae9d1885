"""The metadata of an instance as the tree of names that its guest walks, and EC2's rules of walking it.

Names and meanings are those of "Instance metadata categories" in the EC2 user guide. What an instance does not have is
not in its tree: a guest that asks for it gets 404, as on EC2.
"""

import base64
from collections.abc import Callable, Mapping
from functools import cached_property

from engine.instance_names import host_name
from engine.metadata.facts import Card, Facts
from engine.names import domain_name, private_name

VERSIONS = (
    "1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01",
    "2009-04-04", "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20", "2016-04-19",
    "2016-06-30", "2016-09-02", "2018-03-28", "2018-08-17", "2018-09-24", "2019-10-01", "2020-10-27", "2021-01-03",
    "2021-03-23", "2021-07-15", "2022-09-24", "2024-04-11", "latest",
)  # fmt: skip
"""Clients choose the newest version they know, and read what it has; here every version has all."""

Leaf = str | bytes | Callable[[], str]
"""Text, raw user data, or what is worked out only when it is asked for."""
Node = Leaf | Mapping[str, "Node"]


class Directory(dict[str, Node]):
    """A directory whose listing shows other words than the names below it."""

    def __init__(self, entries: Mapping[str, Node], shown: Callable[[str], str]) -> None:
        super().__init__(entries)
        self.shown = shown


def tree(facts: Facts, papers: Mapping[str, Leaf]) -> Mapping[str, Node]:
    """Return everything that an instance is told. ``papers`` is its identity document with the signatures of it."""
    version: dict[str, Node] = {"dynamic": {"instance-identity": dict(papers)}, "meta-data": _Metadata(facts).tree()}
    if facts.user_data:
        version["user-data"] = base64.b64decode(facts.user_data)
    # EC2 lists the versions, and what each has, without the slash of a directory.
    plain = Directory(version, shown=str)
    return Directory(dict.fromkeys(VERSIONS, plain), shown=str)


def read(root: Mapping[str, Node], path: str) -> str | bytes | None:
    """Return the leaf or the listing at a path, None where there is nothing. Slashes count only as separators."""
    node: Node = root
    for name in path.split("/"):
        if not name:
            continue
        if not isinstance(node, Mapping) or name not in node:
            return None
        node = node[name]
    if isinstance(node, Mapping):
        return _listing(node)
    return node() if callable(node) else node


def _listing(directory: Mapping[str, Node]) -> str:
    if isinstance(directory, Directory):
        return "\n".join(directory.shown(name) for name in sorted(directory))
    return "\n".join(f"{name}/" if isinstance(directory[name], Mapping) else name for name in sorted(directory))


class _Metadata:
    """``meta-data``, part by part."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    @cached_property
    def _primary(self) -> Card | None:
        return self._facts.cards[0] if self._facts.cards else None

    def tree(self) -> dict[str, Node]:
        facts = self._facts
        return {
            "ami-id": facts.image_id,
            "ami-launch-index": str(facts.launch_index),
            "ami-manifest-path": "(unknown)",
            "block-device-mapping": self._devices(),
            "events": {"maintenance": {"history": "[]", "scheduled": "[]"}},
            "hibernation": {"configured": "false"},
            "hostname": self._host_name(),
            "instance-action": "none",
            "instance-id": facts.id,
            "instance-life-cycle": "on-demand",
            "instance-type": facts.instance_type,
            "local-hostname": self._host_name(),
            "local-ipv4": facts.private_ip,
            "metrics": {"vhostmd": '<?xml version="1.0" encoding="UTF-8"?>'},
            "placement": {
                "availability-zone": facts.zone,
                "availability-zone-id": facts.zone_id,
                "region": facts.region,
            },
            "profile": "default-hvm",
            "reservation-id": facts.reservation_id,
            "services": _services(facts.region),
            # EC2's name of its hypervisor that is KVM; the other one, xen, promises devices that are not here.
            "system": "nitro",
            **self._network(),
            **self._keys(),
            **self._tags(),
        }

    def _host_name(self) -> str:
        facts = self._facts
        return host_name(facts.id, facts.private_ip, facts.hostname_type, facts.region, facts.domain)

    def _name(self, address: str) -> str:
        return private_name(address, self._facts.domain or domain_name(self._facts.region))

    def _devices(self) -> dict[str, Node]:
        """Return the devices by their roles; EC2 writes /dev/ before the root device's name alone."""
        root = self._facts.root_device_name
        others = [device for device in self._facts.devices if device != root]
        numbered = {f"ebs{number}": device.removeprefix("/dev/") for number, device in enumerate(others, 1)}
        return {"ami": root, "root": root, **numbered}

    def _network(self) -> dict[str, Node]:
        primary = self._primary
        if primary is None:
            return {}
        found: dict[str, Node] = {
            "mac": primary.mac,
            "network": {"interfaces": {"macs": {card.mac: self._card(card) for card in self._facts.cards}}},
            "security-groups": "\n".join(name for _, name in primary.groups),
        }
        if primary.publics:
            found["public-ipv4"] = primary.publics[0][0]
        if primary.addresses6:
            found["ipv6"] = primary.addresses6[0]
        return {**found, **self._public_name(primary)}

    def _card(self, card: Card) -> dict[str, Node]:
        first = self._primary is card
        found: dict[str, Node] = {
            "device-number": str(card.index),
            "interface-id": card.id,
            "local-hostname": self._host_name() if first else self._name(card.addresses[0]) if card.addresses else "",
            "local-ipv4s": "\n".join(card.addresses),
            "mac": card.mac,
            "network-card": "0",
            "owner-id": self._facts.account,
            "security-group-ids": "\n".join(id for id, _ in card.groups),
            "security-groups": "\n".join(name for _, name in card.groups),
            "subnet-id": card.subnet_id,
            "subnet-ipv4-cidr-block": card.subnet_cidr,
            "vpc-id": card.vpc_id,
            "vpc-ipv4-cidr-block": card.vpc_cidr,
            "vpc-ipv4-cidr-blocks": _lines(4, card.vpc_cidr, *card.vpc_cidrs),
        }
        lists = {
            "ipv4-prefix": _lines(4, *card.prefixes),
            "ipv6-prefix": _lines(6, *card.prefixes),
            "ipv6s": _lines(6, *card.addresses6),
            "subnet-ipv6-cidr-blocks": card.subnet_cidr6,
            "vpc-ipv6-cidr-blocks": _lines(6, *card.vpc_cidrs),
        }
        found |= {name: lines for name, lines in lists.items() if lines}
        if card.publics:
            found["ipv4-associations"] = dict(card.publics)
            found["public-ipv4s"] = "\n".join(public for public, _ in card.publics)
        return {**found, **self._public_name(card)}

    def _public_name(self, card: Card) -> dict[str, Node]:
        """There is no public DNS here: as in DescribeInstances, the name that always resolves is the address itself."""
        return {"public-hostname": card.publics[0][0]} if card.publics and self._facts.dns_hostnames else {}

    def _keys(self) -> dict[str, Node]:
        name = self._facts.key_name
        if not name:
            return {}
        return {
            "public-keys": Directory({"0": {"openssh-key": self._facts.public_key}}, lambda index: f"{index}={name}")
        }

    def _tags(self) -> dict[str, Node]:
        """Return the tags, where they are allowed; a key that cannot be a name in a tree is left out."""
        usable: dict[str, Node] = {key: value for key, value in self._facts.tags if _is_name(key)}
        return {"tags": {"instance": usable}} if usable and self._facts.metadata_tags == "enabled" else {}


def _lines(version: int, *values: str) -> str:
    """Return the addresses or ranges of an IP version, each once and on a line of its own."""
    return "\n".join(dict.fromkeys(value for value in values if (":" in value) == (version == 6)))


def _is_name(key: str) -> bool:
    """Say whether a tag may be read: by "View tags for your EC2 instances using instance metadata"."""
    return key not in (".", "..", "_index") and not any(c in "/ \n" for c in key)


def _services(region: str) -> dict[str, Node]:
    """Return the partition that a region of this name is in: by the rules of AWS's partitions.json."""
    for prefix, partition, domain in (
        ("cn-", "aws-cn", "amazonaws.com.cn"),
        ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ):
        if region.startswith(prefix):
            return {"domain": domain, "partition": partition}
    return {"domain": "amazonaws.com", "partition": "aws"}
