"""The way out by IPv6: made once, taken back, and no error where the kernel has none."""

import json
from ipaddress import IPv6Network
from pathlib import Path
from typing import Any

import pytest

from engine.host import ipv6, masquerade
from engine.host.doctor import examine
from settings import Settings
from tests.engine.test_host import Commands, silent

POOL = IPv6Network("fd6f:6700::/32")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What /proc says of IPv6: it is on, nothing is forwarded, and eth0 listens to routers."""
    conf = tmp_path / "conf"
    for device, names in {"all": {"disable_ipv6": "0", "forwarding": "0", "accept_ra": "1"},
                          "eth0": {"accept_ra": "1"}, "eth1": {"accept_ra": "0"},
                          "br-ext": {"disable_ipv6": "1", "accept_ra": "0"}}.items():  # fmt: skip
        (conf / device).mkdir(parents=True)
        for name, value in names.items():
            (conf / device / name).write_text(f"{value}\n")
    monkeypatch.setattr(ipv6, "_CONF", conf)
    return conf


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    fake = Commands()
    for module in (masquerade, ipv6):
        for name in ("run", "attempt"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, getattr(fake, name))
    fake.answers = {"address show": (0, "[]"), "route show": (0, "[]")}
    return fake


def ready(commands: Commands, settings: Settings, edge: str = "") -> None:
    """Have the host answer as one that was prepared."""
    address = {"addr_info": [{"local": "fd00:c612::1", "prefixlen": 64}]}
    route = {"dst": str(POOL), "gateway": edge or str(ipv6.edge_of(settings)), "dev": "br-ext"}
    commands.answers = {"address show": (0, json.dumps([address])), "route show": (0, json.dumps([route]))}


def changes(commands: Commands) -> list[str]:
    return [" ".join(command[:4]) for command in commands.ran if "show" not in command and command[0] == "ip"]


def test_the_host_becomes_the_router_and_says_so_once(settings: Settings, kernel: Path, commands: Commands) -> None:
    lines: list[str] = []
    ipv6.ensure_ipv6(settings, lines.append)
    assert changes(commands) == ["ip -6 address replace", "ip -6 route replace"]
    assert len(lines) == 3 and (kernel / "all/forwarding").read_text() == "1\n"
    assert (kernel / "eth0/accept_ra").read_text() == "2\n", "its own default route may come from a router"
    assert (kernel / "eth1/accept_ra").read_text() == "0\n" and (kernel / "br-ext/disable_ipv6").read_text() == "0\n"
    assert any(command[0] == "nft" for command in commands.ran)
    ready(commands, settings)
    commands.ran, again = [], []
    ipv6.ensure_ipv6(settings, again.append)
    assert changes(commands) == again == []
    assert examine(ipv6.check_way_out6, settings).ok


def test_it_stops_when_another_machine_is_the_router(settings: Settings, kernel: Path, commands: Commands) -> None:
    elsewhere = Settings(data=settings.data, external_masquerade=False)
    ipv6.ensure_ipv6(elsewhere, silent)
    assert changes(commands) == []
    ready(commands, settings)
    ipv6.ensure_ipv6(elsewhere, silent)
    assert changes(commands) == ["ip -6 route delete", "ip -6 address delete"]
    assert [command for command in commands.ran if command[:3] == ["nft", "delete", "element"]]
    assert examine(ipv6.check_way_out6, elsewhere).ok


@pytest.mark.parametrize("value", ["", "1"])
def test_a_kernel_without_ipv6_is_no_error_but_the_doctors_word(
    settings: Settings, kernel: Path, commands: Commands, value: str
) -> None:
    file = kernel / "all/disable_ipv6"
    file.write_text(value) if value else file.unlink()
    ipv6.ensure_ipv6(settings, silent)
    assert commands.ran == []
    found = examine(ipv6.check_way_out6, settings)
    assert found.ok is None and "no IPv6" in found.detail


def test_the_doctor_tells_what_is_missing(settings: Settings, kernel: Path, commands: Commands) -> None:
    def look() -> tuple[bool | None, str]:
        found = examine(ipv6.check_way_out6, settings)
        return found.ok, found.detail

    assert look() == (None, "none, as this host does not forward IPv6")
    (kernel / "all/forwarding").write_text("1\n")
    assert look()[1] == "this deployment was never up"
    ready(commands, settings)
    found: dict[str, Any] = {**commands.answers}
    for name, text in (("address show", "lacks the address"), ("route show", "no route to fd6f:6700::/32")):
        commands.answers = {**found, name: (0, "[]")}
        assert look()[0] is False and text in look()[1]
    ready(commands, settings, edge="fd00:c612::bad")
    assert look()[0] is False and "another deployment, by fd00:c612::bad" in look()[1]
    ready(commands, settings)
    commands.answers |= {"nft": (1, ""), "ip6tables": (3, "")}
    assert look()[0] is None and "not masqueraded" in look()[1]


def test_each_deployment_adds_its_pool_to_the_table(commands: Commands) -> None:
    text = masquerade.ruleset6(POOL, "br-ext")
    assert "add element ip6 groundfog pools { fd6f:6700::/32 }" in text and "delete" not in text
    masquerade.ensure_masquerade6(POOL, "br-ext", silent)
    assert [command[0] for command in commands.ran] == ["nft"]


def test_ip6tables_stands_in_and_its_absence_is_no_error(commands: Commands) -> None:
    commands.answers = {"nft": (1, "Operation not supported"), "-C": (1, "")}
    masquerade.ensure_masquerade6(POOL, "br-ext", silent)
    added = [(command[0], command[5]) for command in commands.ran if "-I" in command]
    assert added == [("ip6tables", "POSTROUTING"), ("ip6tables", "FORWARD"), ("ip6tables", "FORWARD")]
    commands.ran, commands.answers = [], {"nft": (1, ""), "ip6tables": (3, "")}
    masquerade.ensure_masquerade6(POOL, "br-ext", silent)
    assert not any("-I" in command for command in commands.ran)
