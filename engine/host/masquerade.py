"""Lets guests out through this host: one table of our own in nftables, or marked rules in iptables."""

from ipaddress import IPv4Network, IPv6Network

from engine.host.commands import HostError, Report, attempt, run

TABLE = "groundfog"
_MARK = ("-m", "comment", "--comment", TABLE)


def ruleset(network: IPv4Network, bridge: str) -> str:
    """The whole table, to replace what is there in one transaction: connections that are open go on."""
    return f"""
table ip {TABLE} {{}}
delete table ip {TABLE}
table ip {TABLE} {{
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {network} ip daddr != {network} oifname != "{bridge}" masquerade
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname "{bridge}" accept
        oifname "{bridge}" accept
    }}
}}
"""


def ruleset6(pool: IPv6Network, bridge: str) -> str:
    """The table for IPv6, made if it is not there: each deployment on this host adds its pool, and takes no other's."""
    return f"""
table ip6 {TABLE} {{
    set pools {{
        type ipv6_addr; flags interval; auto-merge;
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
    }}
}}
flush chain ip6 {TABLE} postrouting
flush chain ip6 {TABLE} forward
add element ip6 {TABLE} pools {{ {pool} }}
add rule ip6 {TABLE} postrouting ip6 saddr @pools oifname != "{bridge}" masquerade
add rule ip6 {TABLE} forward iifname "{bridge}" accept
add rule ip6 {TABLE} forward oifname "{bridge}" accept
"""


def rules(network: IPv4Network | IPv6Network, bridge: str) -> tuple[tuple[str, ...], ...]:
    """The same in iptables' words, each without its verb (-A, -C, -D): (table, chain, match and target...)."""
    net = str(network)
    return (
        ("nat", "POSTROUTING", "-s", net, "!", "-d", net, "!", "-o", bridge, *_MARK, "-j", "MASQUERADE"),
        ("filter", "FORWARD", "-i", bridge, *_MARK, "-j", "ACCEPT"),
        ("filter", "FORWARD", "-o", bridge, *_MARK, "-j", "ACCEPT"),
    )


def ensure_masquerade(network: IPv4Network, bridge: str, report: Report) -> None:
    """Masquerade what comes from ``network`` through ``bridge``. Raises HostError where the kernel has no NAT."""
    asked = attempt(["nft", "--file", "-"], stdin=ruleset(network, bridge))
    if asked.returncode == 0:
        return
    iptables = _iptables()
    if iptables is None:
        raise HostError(
            f"cannot masquerade what guests send: {asked.stderr.strip()}; load the kernel's NAT "
            "(modprobe -a nft_masq nft_chain_nat), or set GROUNDFOG_EXTERNAL_MASQUERADE=false and route "
            f"{network} yourself"
        )
    _add_rules(iptables, network, bridge, report)


def _add_rules(iptables: str, network: IPv4Network | IPv6Network, bridge: str, report: Report) -> None:
    for table, chain, *match in rules(network, bridge):
        if attempt([iptables, "-w", "-t", table, "-C", chain, *match]).returncode == 0:
            continue
        report(f"adding a rule to {iptables}' {chain}: this kernel does not take nftables' NAT")
        # Before the rules of others: a FORWARD chain often ends in a drop.
        run([iptables, "-w", "-t", table, "-I", chain, *match])


def ensure_masquerade6(pool: IPv6Network, bridge: str, report: Report) -> None:
    """Masquerade what comes from ``pool`` and leaves by another device, where the kernel has NAT for IPv6."""
    if attempt(["nft", "--file", "-"], stdin=ruleset6(pool, bridge)).returncode == 0:
        return
    iptables = _iptables(6)
    if iptables is not None:
        _add_rules(iptables, pool, bridge, report)


def _iptables(version: int = 4) -> str | None:
    """The iptables that this kernel understands: today's speaks to nftables, which may be what is missing."""
    name = "iptables" if version == 4 else "ip6tables"
    for program in (name, f"{name}-legacy"):
        if attempt([program, "-w", "-t", "nat", "-S", "POSTROUTING"]).returncode == 0:
            return program
    return None


def remove_masquerade(network: IPv4Network, bridge: str, report: Report) -> None:
    """Take our table and rules away, when another machine is the gateway."""
    gone = attempt(["nft", "delete", "table", "ip", TABLE]).returncode == 0
    if _remove_rules(network, bridge) or gone:
        report("guests are no longer masqueraded by this host")


def _remove_rules(network: IPv4Network | IPv6Network, bridge: str) -> bool:
    iptables, gone = _iptables(network.version), False
    for table, chain, *match in rules(network, bridge) if iptables else ():
        gone |= attempt([str(iptables), "-w", "-t", table, "-D", chain, *match]).returncode == 0
    return gone


def remove_masquerade6(pool: IPv6Network, bridge: str) -> None:
    """Masquerade nothing from ``pool`` any more."""
    attempt(["nft", "delete", "element", "ip6", TABLE, "pools", f"{{ {pool} }}"])
    _remove_rules(pool, bridge)


def masquerades() -> bool:
    """Whether this host masquerades for guests right now."""
    if attempt(["nft", "list", "table", "ip", TABLE]).returncode == 0:
        return True
    iptables = _iptables()
    return iptables is not None and f"--comment {TABLE}" in run([iptables, "-w", "-t", "nat", "-S", "POSTROUTING"])


def masquerades6(pool: IPv6Network) -> bool:
    """Whether this host masquerades what comes from ``pool`` right now."""
    if attempt(["nft", "get", "element", "ip6", TABLE, "pools", f"{{ {pool} }}"]).returncode == 0:
        return True
    iptables = _iptables(6)
    return iptables is not None and f"-s {pool} " in run([iptables, "-w", "-t", "nat", "-S", "POSTROUTING"])
