"""OVN's log of what it dropped, from lines that ovn-controller 23.03 wrote."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.drivers.flows import ACK, SYN, Dropped, Flow
from engine.drivers.ovn_log import AclLog, dropped
from engine.drivers.ovn_names import sink_mac

AT = "2026-11-25T12:31:34.758Z"
HEAD = f'{AT}|00375|acl_log(ovn_pinctrl0)|INFO|name="vpc-1", verdict=drop, severity=info, '
MACS = "vlan_tci=0x0000,dl_src=f2:aa:02:51:4b:d5,dl_dst=06:aa:02:00:00:02"
ENDS = "nw_src=10.77.1.4,nw_dst=10.77.2.4,nw_tos=0,nw_ecn=0,nw_ttl=63,nw_frag=no"
ENDS_6 = "ipv6_src=fd77::4,ipv6_dst=fd77::5,ipv6_label=0x00000,nw_tos=0,nw_ecn=0,nw_ttl=63,nw_frag=no"
TCP = f"{HEAD}direction=to-lport: tcp,{MACS},{ENDS},tp_src=53758,tp_dst=5434,tcp_flags=syn"


def test_a_line_tells_who_dropped_what_and_when() -> None:
    assert dropped(TCP) == Dropped(
        at=datetime(2026, 11, 25, 12, 31, 34, 758000, UTC).timestamp(),
        network="vpc-1",
        flow=Flow("10.77.1.4", "10.77.2.4", 6, 53758, 5434),
        leaving=False,
        source_mac="f2:aa:02:51:4b:d5",
        destination_mac="06:aa:02:00:00:02",
        tcp_flags=SYN,
    )


@pytest.mark.parametrize(
    ("text", "flow"),
    [
        (f"udp,{MACS},{ENDS},tp_src=4000,tp_dst=53", Flow("10.77.1.4", "10.77.2.4", 17, 4000, 53)),
        (f"icmp,{MACS},{ENDS},icmp_type=8,icmp_code=0", Flow("10.77.1.4", "10.77.2.4", 1)),
        (f"ip,{MACS},nw_src=10.77.1.4,nw_dst=10.77.2.4,nw_proto=47,nw_tos=0", Flow("10.77.1.4", "10.77.2.4", 47)),
        (f"udp,{MACS},{ENDS.replace('no', 'later')},tp_src=0,tp_dst=0", Flow("10.77.1.4", "10.77.2.4", 17)),
        (f"tcp6,{MACS},{ENDS_6},tp_src=1,tp_dst=2,tcp_flags=ack", Flow("fd77::4", "fd77::5", 6, 1, 2)),
        (f"udp6,{MACS},{ENDS_6},tp_src=1,tp_dst=2", Flow("fd77::4", "fd77::5", 17, 1, 2)),
        (f"icmp6,{MACS},{ENDS_6},icmp_type=128,icmp_code=0", Flow("fd77::4", "fd77::5", 58)),
    ],
)
def test_every_protocol_is_read(text: str, flow: Flow) -> None:
    found = dropped(f"{HEAD}direction=from-lport: {text}")
    assert found is not None
    assert (found.flow, found.leaving, found.kept_in) == (flow, True, False)


def test_flags_are_those_that_a_flow_log_knows() -> None:
    found = [dropped(TCP.replace("tcp_flags=syn", f"tcp_flags={flags}")) for flags in ("syn|ack", "psh|ack", "rst")]
    assert [each.tcp_flags for each in found if each] == [SYN | ACK, 0, 4]


def test_what_ends_in_the_sink_was_kept_in_its_subnet() -> None:
    found = dropped(TCP.replace("06:aa:02:00:00:02", sink_mac("vpc-1")).replace("to-lport", "from-lport"))
    assert found is not None
    assert found.kept_in


@pytest.mark.parametrize(
    "line",
    [
        "",
        "2026-11-25T12:31:34.758Z|00001|vlog|INFO|opened log file /var/log/ovn/ovn-controller.log",
        TCP.replace("verdict=drop", "verdict=allow"),
        f"{HEAD}direction=to-lport: arp,{MACS},arp_spa=10.0.0.1,arp_tpa=10.0.0.2,arp_op=1",
        TCP[:150],
    ],
)
def test_other_lines_tell_nothing(line: str) -> None:
    assert dropped(line) is None


# -- the file ----------------------------------------------------------------------


def stamped(second: float) -> str:
    moment = datetime.fromtimestamp(second, UTC)
    return TCP.replace(AT, f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z")


def write(file: Path, *seconds: float) -> None:
    file.write_text("".join(f"{stamped(second)}\n" for second in seconds))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ovn-controller.log"


def seconds_of(file: Path, since: float, until: float) -> list[float]:
    return [drop.at for drop in AclLog(file=file).between(since, until)]


def test_a_time_begins_with_its_first_moment_and_ends_before_its_last(file: Path) -> None:
    write(file, 9, 10, 10.5, 19.999, 20, 21)
    assert seconds_of(file, 10, 20) == [10, 10.5, 19.999]


def test_the_place_in_a_large_file_is_found(file: Path) -> None:
    times = [100 + n / 10 for n in range(5000)]
    write(file, *times)
    assert file.stat().st_size > 1 << 20
    for since, until in ((100, 101), (333.3, 334.4), (598, 700), (0, 100), (700, 800)):
        assert seconds_of(file, since, until) == pytest.approx([t for t in times if since <= t < until])


def test_what_was_rotated_away_is_read_too(file: Path) -> None:
    write(file.with_name("ovn-controller.log.1"), 1, 2, 3)
    write(file, 4, 5)
    assert seconds_of(file, 2, 5) == [2, 3, 4]
    assert seconds_of(file, 4, 5) == [4]
    packed = gzip.compress(file.with_name("ovn-controller.log.1").read_bytes())
    file.with_name("ovn-controller.log.1").unlink()
    file.with_name("ovn-controller.log.1.gz").write_bytes(packed)
    file.write_text("")
    assert seconds_of(file, 2, 5) == [2, 3]


def test_a_file_with_other_lines_and_half_a_line_is_read(file: Path) -> None:
    file.write_text(f"{stamped(1)}\nsomething else\n{stamped(2)}\n{stamped(3)[:40]}")
    assert seconds_of(file, 0, 9) == [1, 2]


def test_without_a_log_nobody_knows_what_was_dropped(file: Path) -> None:
    with pytest.raises(FileNotFoundError):
        seconds_of(file, 0, 1)
