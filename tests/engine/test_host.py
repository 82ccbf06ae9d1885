"""The preparation of a host decides rightly, starts only what is dead, and changes nothing the second time."""

import ast
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from engine.host import accelerator, bridges, daemons, devices, masquerade, packages
from engine.host.check_network import dropping_chains, judge_bridges, overlapping
from engine.host.commands import HostError, attempt, run
from engine.host.data_directory import GuestUser, closed_to, configured_user
from engine.host.doctor import checks
from engine.host.findings import Check
from settings import Settings

ROOM = Path(packages.__file__).parent
NETWORK = IPv4Network("198.18.0.0/16")


class Commands:
    """Stands for the host's commands: keeps what was run, and answers with what a test has set."""

    def __init__(self) -> None:
        self.ran: list[list[str]] = []
        self.answers: dict[str, tuple[int, str]] = {}

    def attempt(self, command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        self.ran.append(list(command))
        code, said = next((a for words, a in self.answers.items() if words in " ".join(command)), (0, ""))
        return subprocess.CompletedProcess(command, code, said, said if code else "")

    def run(self, command: list[str], **_: Any) -> str:
        done = self.attempt(command)
        if done.returncode:
            raise HostError(f"cannot run {command[0]}: {done.stderr}; run it by hand")
        return done.stdout


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    fake = Commands()
    for module in (packages, daemons, masquerade, bridges, accelerator, devices):
        for name in ("run", "attempt"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, getattr(fake, name))
    return fake


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data")


def silent(_: str) -> None:
    """Nobody listens."""


# Errors


def test_every_error_begins_with_cannot_and_goes_on_to_a_remedy() -> None:
    texts = []
    for file in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Raise)
                and isinstance(node.exc, ast.Call)
                and "HostError" in ast.dump(node.exc.func)
            ):
                texts.append(ast.unparse(node.exc.args[0]).lstrip("f'\"("))
    assert len(texts) > 8
    assert [text for text in texts if not text.startswith("cannot ") or ";" not in text] == []


def test_a_failing_command_is_named_with_what_it_said() -> None:
    with pytest.raises(HostError, match=r"cannot run `sh -c echo no >&2; exit 3`: no; "):
        run(["sh", "-c", "echo no >&2; exit 3"])
    with pytest.raises(HostError, match=r"within 0\.1 s"):
        run(["sleep", "5"], timeout=0.1)
    assert attempt(["groundfog-no-such-program"]).returncode == 127


# Packages


def test_the_list_has_no_comments_and_no_doubles() -> None:
    wanted = packages.wanted_packages()
    assert {"libvirt-dev", "ovn-central", "openvswitch-switch", "qemu-utils", "syslinux"} <= set(wanted)
    assert len(wanted) == len(set(wanted)) and not [name for name in wanted if "#" in name or " " in name]


def test_apt_get_is_not_called_when_nothing_is_missing(commands: Commands) -> None:
    commands.answers["dpkg-query"] = (0, "".join(f"{name} installed\n" for name in packages.wanted_packages()))
    packages.ensure_packages(silent)
    assert [command[0] for command in commands.ran] == ["dpkg-query"]


def test_a_removed_package_is_missing_and_lists_are_fetched_only_when_the_install_fails(commands: Commands) -> None:
    listed = [f"{name} {'config-files' if name == 'nftables' else 'installed'}" for name in packages.wanted_packages()]
    commands.answers |= {"dpkg-query": (1, "\n".join(listed)), "apt-get install": (100, "404 Not Found")}
    with pytest.raises(HostError, match="404"):
        packages.ensure_packages(silent)
    _, first, update, second = commands.ran
    assert first == second and first[-1] == "nftables" and "--no-install-recommends" in first
    assert update[:2] == ["apt-get", "update"]


# Daemons


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def daemon(tmp_path: Path, process: str = "sleep", socket: str = "{pid}.ctl") -> daemons.Daemon:
    where = str(tmp_path / socket)
    return daemons.Daemon(process, str(tmp_path / "d.pid"), where, "d.service", ("start-d",), "read d.log")


def test_a_pid_file_counts_only_while_its_number_is_that_program(
    tmp_path: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    one = daemon(tmp_path)
    assert daemons.process_of(one) is None
    for text, expected in ((f"{sleeper.pid}\n", sleeper.pid), ("", None), ("x", None), ("999999999", None)):
        Path(one.pidfile).write_text(text)
        assert daemons.process_of(one) == expected
    Path(one.pidfile).write_text(str(sleeper.pid))
    assert daemons.process_of(replace(one, process="ovsdb-server")) is None  # the number was given to another program
    sleeper.kill()
    time.sleep(0.1)
    assert daemons.process_of(one) is None  # a zombie


def test_a_process_whose_socket_does_not_answer_is_not_alive(
    tmp_path: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    one = daemon(tmp_path)
    Path(one.pidfile).write_text(str(sleeper.pid))
    Path(one.socket.format(pid=sleeper.pid)).touch()
    assert not daemons.is_alive(one)


def test_a_stuck_process_is_ended_and_its_pid_file_removed_before_a_new_start(
    tmp_path: Path, sleeper: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch, commands: Commands
) -> None:
    one = daemon(tmp_path)
    Path(one.pidfile).write_text(str(sleeper.pid))
    monkeypatch.setattr(daemons, "STUCK_LIMIT", 0.05)
    monkeypatch.setattr(daemons, "STARTED", tmp_path / "started")
    daemons._start_by_hand(one)
    assert sleeper.wait(1) == -signal.SIGTERM
    assert not Path(one.pidfile).exists()
    assert commands.ran[-1][-1] == "start-d" and (tmp_path / "started" / "sleep").exists()


@pytest.mark.parametrize(("systemd", "kernel"), [(True, True), (True, False), (False, True), (False, False)])
def test_systemd_starts_the_units_and_only_their_absence_is_made_up_for_by_hand(
    systemd: bool, kernel: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands: Commands
) -> None:
    started: set[str] = set()
    for name, value in {
        "has_systemd": lambda: systemd,
        "kernel_datapath": lambda: kernel,
        "STARTED": tmp_path,
        "_make_ovs_database": lambda: None,
        "_clear_away": lambda one: None,
        "is_alive": lambda one: str(one) in started,
        "_wait_until_alive": lambda one, _: started.add(str(one)),
    }.items():
        monkeypatch.setattr(daemons, name, value)
    daemons.ensure_daemons(Settings(), silent)
    assert started == {str(one) for one in daemons.daemons()}
    units = [command[-1] for command in commands.ran if command[0] == "systemctl"]
    switch_by_hand = not (systemd and kernel)
    assert ("ovs-vswitchd.service" not in units) == switch_by_hand
    assert len(units) == (len(started) - (0 if kernel else 1) if systemd else 0)
    commands.ran.clear()
    daemons.ensure_daemons(Settings(), silent)
    assert commands.ran == []


def test_a_daemon_that_never_answers_is_named_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"cannot start sleep: .* d\.(log|service)$"):
        daemons._wait_until_alive(daemon(tmp_path), 0.05)


# Bridges


def switch_after(changes: list[list[str]]) -> bridges.Switch:
    """The switch's database once the changes are in it."""
    switch = bridges.Switch()
    for change in changes:
        match change:
            case ["set", "Open_vSwitch", ".", *pairs]:
                switch.host.update((p.removeprefix("external_ids:").split("=", 1)[0], p.split('"')[1]) for p in pairs)
            case ["--may-exist", "add-br", name]:
                switch.bridges[name] = {"name": name, "datapath_type": "", "other_config": {}}
                switch.interfaces[name] = {"name": name, "external_ids": {}, "mtu_request": None}
            case ["set", "Bridge", name, *columns]:
                for column, value in (c.replace('"', "").split("=", 1) for c in columns):
                    head, _, key = column.partition(":")
                    (switch.bridges[name][head] if key else switch.bridges[name])[key or head] = value
    return switch


def everything(switch: bridges.Switch, settings: Settings) -> list[list[str]]:
    return [*bridges.host_changes(switch, "netdev", "me"), *bridges.bridge_changes(switch, "netdev", settings)]


def test_a_bare_switch_is_laid_out_once(settings: Settings) -> None:
    me = bridges.Switch(host={"system-id": "me"})
    first = everything(me, settings)
    after = switch_after(first)
    after.host["system-id"] = "me"
    assert after.host["ovn-bridge-mappings"] == "phys:br-phys,ext:br-ext"
    assert {row["datapath_type"] for row in after.bridges.values()} == {"netdev"}
    assert after.bridges["br-int"]["fail_mode"] == "secure"
    assert everything(after, settings) == []
    assert judge_bridges(after).ok and not judge_bridges(me).ok


def test_what_an_operator_pointed_elsewhere_stays(settings: Settings) -> None:
    own = {"system-id": "me", "ovn-remote": "tcp:10.0.0.1:6642", "ovn-encap-ip": "10.0.0.2"}
    after = switch_after(
        bridges.host_changes(bridges.Switch({**own, "ovn-bridge-mappings": "dc:br-dc"}), "system", "me")
    )
    assert not own.keys() & after.host.keys()
    assert after.host["ovn-bridge-mappings"] == "dc:br-dc,phys:br-phys,ext:br-ext"


def test_jumbo_frames_widen_the_bridges(tmp_path: Path) -> None:
    wide = bridges.bridge_changes(
        bridges.Switch({"system-id": "me"}), "system", Settings(data=tmp_path, guest_mtu=8900)
    )
    assert [c[2] for c in wide if c[-1] == "mtu_request=8900"] == ["br-int", "br-phys", "br-ext"]


def test_hardware_addresses_are_local_unicast_and_differ_by_host_and_purpose() -> None:
    made = {bridges.mac_of(host, purpose) for host in "ab" for purpose in ("ext", "phys")}
    assert len(made) == 4 and all(int(mac[:2], 16) & 3 == 2 for mac in made)


def test_tables_of_the_switch_are_read_as_rfc_7047_writes_them() -> None:
    line = '{"data":[["a",["map",[["k","v"]]],["set",[]]]],"headings":["name","external_ids","mtu_request"]}'
    assert bridges._rows(line) == [{"name": "a", "external_ids": {"k": "v"}, "mtu_request": None}]


def test_only_guests_ports_without_a_device_are_removed() -> None:
    def guest(name: str) -> dict[str, Any]:
        return {"name": name, "external_ids": {"vm-id": "1", "iface-id": "2"}}

    ports = {"vnet-gone": guest("vnet-gone"), "lo": guest("lo"), "imds-gone": {"name": "imds-gone", "external_ids": {}}}
    assert [c[-1] for c in bridges.dead_ports(bridges.Switch(interfaces=ports))] == ["vnet-gone"]


def test_a_card_that_is_missing_or_carries_the_hosts_address_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HostError, match="no such network card"):
        bridges.card_changes(bridges.Switch(), Settings(data=tmp_path, physical_interface="groundfog-none"))
    monkeypatch.setattr(bridges, "_addresses", lambda card: [{"local": "192.0.2.7", "scope": "global"}])
    with pytest.raises(HostError, match=r"lose its address 192\.0\.2\.7"):
        bridges.card_changes(bridges.Switch(), Settings(data=tmp_path, external_interface="lo"))


# The way out


def test_nftables_is_asked_first_and_alone(commands: Commands) -> None:
    masquerade.ensure_masquerade(NETWORK, "br-ext", silent)
    assert [command[0] for command in commands.ran] == ["nft"]
    assert 'ip saddr 198.18.0.0/16 ip daddr != 198.18.0.0/16 oifname != "br-ext" masquerade' in masquerade.ruleset(
        NETWORK, "br-ext"
    )


def test_iptables_stands_in_and_gets_only_the_rules_it_lacks(commands: Commands) -> None:
    commands.answers = {"nft": (1, "Operation not supported"), "-C FORWARD -i": (0, ""), "-C": (1, "")}
    masquerade.ensure_masquerade(NETWORK, "br-ext", silent)
    added = [command[4:6] for command in commands.ran if "-I" in command]
    assert added == [["-I", "POSTROUTING"], ["-I", "FORWARD"]]


def test_the_old_iptables_stands_in_where_the_new_one_is_nftables_too(commands: Commands) -> None:
    commands.answers = {"nft": (1, ""), "iptables-legacy": (0, ""), "iptables -w": (4, "Failed to initialize nft")}
    masquerade.ensure_masquerade(NETWORK, "br-ext", silent)
    assert {command[0] for command in commands.ran[2:]} == {"iptables-legacy"}


def test_both_are_taken_away_when_another_machine_is_the_gateway(commands: Commands) -> None:
    lines: list[str] = []
    masquerade.remove_masquerade(NETWORK, "br-ext", lines.append)
    assert [command[0] for command in commands.ran] == ["nft"] + ["iptables"] * 4
    assert lines == ["guests are no longer masqueraded by this host"]


def test_without_any_nat_the_error_says_what_to_load(commands: Commands) -> None:
    commands.answers = {"nft": (1, "table does not exist"), "iptables": (3, "")}
    with pytest.raises(HostError, match=r"table does not exist; load the kernel's NAT \(modprobe"):
        masquerade.ensure_masquerade(NETWORK, "br-ext", silent)


def test_chains_of_others_that_drop_are_found() -> None:
    listed = """{"nftables": [{"metainfo": {}}, {"chain": {"family": "ip", "table": "filter", "name": "FORWARD",
        "hook": "forward", "policy": "drop"}}, {"chain": {"family": "ip", "table": "x", "name": "plain"}},
        {"chain": {"family": "ip", "table": "groundfog", "name": "forward", "hook": "forward", "policy": "drop"}}]}"""
    assert dropping_chains(listed) == ["ip filter FORWARD"]


def test_a_network_that_overlaps_the_external_one_is_found() -> None:
    routes = [{"dst": "default", "dev": "eth0"}, {"dst": "198.18.0.0/16", "dev": "br-ext"}]
    assert overlapping(routes, NETWORK) == ""
    assert overlapping([*routes, {"dst": "198.18.4.1", "dev": "tun0"}], NETWORK) == "198.18.4.1 on tun0"


# The accelerator


def test_the_boot_sector_is_one_that_firmware_boots() -> None:
    assert len(accelerator.boot_sector()) == 512 and accelerator.boot_sector()[-2:] == b"\x55\xaa"


def test_the_verdict_is_kept_for_this_boot_and_asked_anew_after(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(accelerator, "why_not", lambda name: asked.append(name) or "it hangs")
    assert [accelerator.accelerator(settings) for _ in range(3)] == ["tcg"] * 3
    assert asked == ["kvm"]
    monkeypatch.setattr(accelerator, "_key", lambda: "another boot")
    accelerator.accelerator(settings)
    (settings.data / "accelerator").write_text('{"key": "another')
    accelerator.accelerator(settings)
    assert asked == ["kvm"] * 3
    assert accelerator.accelerator(Settings(data=settings.data, accelerator="kvm")) == "kvm"


def test_a_probe_that_hangs_and_one_that_aborts_are_both_no(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], timeout: float) -> Any:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(accelerator, "QEMU", Path("/bin/sh"))
    monkeypatch.setattr(accelerator, "attempt", hang)
    assert "did not come out of its firmware within 5 s" in accelerator.why_not("tcg")
    for code, expected in (
        (accelerator.PASSED, ""),
        (-6, "a probe guest on tcg ended with status -6: failed to set MSR"),
    ):
        done = subprocess.CompletedProcess([], code, "", "failed to set MSR\nAssertion" if code < 0 else "")
        monkeypatch.setattr(accelerator, "attempt", lambda command, timeout, done=done: done)
        assert accelerator.why_not("tcg") == expected


# The data directory and the doctor


def test_the_guests_user_is_read_from_libvirts_configuration() -> None:
    assert configured_user('#user = "root"\n') == "libvirt-qemu"
    assert configured_user('# x\nuser = "+qemu"\ngroup = "kvm"\n') == "qemu"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look as another user")
def test_a_closed_parent_is_found_as_the_guests_user_sees_it() -> None:
    nobody = GuestUser("nobody", 65534, 65534)
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        way = [Path(name), Path(name, "a"), Path(name, "a", "b")]
        way[2].mkdir(parents=True)
        way[0].chmod(0o711)
        way[1].chmod(0o700)
        assert closed_to(nobody, way) == way[1:]


def test_the_doctor_looks_only_at_what_the_engine_needs_and_survives_a_failing_check(tmp_path: Path) -> None:
    def check_workers(settings: Settings) -> Check:
        raise OSError("no worker")

    found = checks(Settings(data=tmp_path, engine="simulated", port=0), [check_workers])
    assert [one.name for one in found] == ["data", "disk", "memory", "clock", "port", "workers"]
    assert found[-1].ok is False and found[-1].detail == "no worker" and found[-1].remedy
    assert all(one.ok or one.remedy for one in found)
