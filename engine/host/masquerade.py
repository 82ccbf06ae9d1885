"""Lets guests out through this host: one table of our own in nftables, or marked rules in iptables."""

from ipaddress import IPv4Network

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


def rules(network: IPv4Network, bridge: str) -> tuple[tuple[str, ...], ...]:
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
    for table, chain, *match in rules(network, bridge):
        if attempt([iptables, "-w", "-t", table, "-C", chain, *match]).returncode == 0:
            continue
        report(f"adding a rule to {iptables}' {chain}: this kernel does not take nftables' NAT")
        # Before the rules of others: a FORWARD chain often ends in a drop.
        run([iptables, "-w", "-t", table, "-I", chain, *match])


def _iptables() -> str | None:
    """The iptables that this kernel understands: today's speaks to nftables, which may be what is missing."""
    for program in ("iptables", "iptables-legacy"):
        if attempt([program, "-w", "-t", "nat", "-S", "POSTROUTING"]).returncode == 0:
            return program
    return None


def remove_masquerade(network: IPv4Network, bridge: str, report: Report) -> None:
    """Take our table and rules away, when another machine is the gateway."""
    gone = attempt(["nft", "delete", "table", "ip", TABLE]).returncode == 0
    iptables = _iptables()
    for table, chain, *match in rules(network, bridge) if iptables else ():
        gone |= attempt([str(iptables), "-w", "-t", table, "-D", chain, *match]).returncode == 0
    if gone:
        report("guests are no longer masqueraded by this host")


def masquerades() -> bool:
    """Whether this host masquerades for guests right now."""
    if attempt(["nft", "list", "table", "ip", TABLE]).returncode == 0:
        return True
    iptables = _iptables()
    return iptables is not None and f"--comment {TABLE}" in run([iptables, "-w", "-t", "nat", "-S", "POSTROUTING"])
