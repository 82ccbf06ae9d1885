"""Reading what ``ovn-trace`` prints, without OVN."""

import pytest

from engine.drivers.base import DriverError
from engine.drivers.ovn_trace import Microflow, Tracer, read

# As OVN 23.03 prints it, but shorter.
TRACE = """# tcp,reg14=0x6,dl_src=06:aa:02:00:00:02,nw_src=10.77.2.4,nw_dst=198.18.255.242,tp_src=49152,tp_dst=80

ingress(dp="a", inport="port-1")
--------------------------------
 0. ls_in_check_port_sec (northd.c:8432): 1, priority 50, uuid 36acff41
    reg0[15] = check_in_port_sec();
    next;
 6. ls_in_pre_stateful (northd.c:6140): reg0[0] == 1, priority 100, uuid 550d0709
    ct_next;

ct_next(ct_state=new|trk)
-------------------------
 8. ls_in_acl (northd.c:6445): reg0[7] == 1 && (inport == @pg && ip4), priority 2001, uuid a550524c
    reg0[1] = 1;
    next;

egress(dp="border", inport="lrp-1", outport="lrp-2")
----------------------------------------------------
 3. lr_out_snat (northd.c:13975): ip && ip4.src == 10.77.2.4, priority 162, uuid fa8f8b22
    ct_snat(198.18.255.243);

ct_snat(ip4.src=198.18.255.243)
-------------------------------
 5. lr_out_egr_loop (northd.c:14524): ip4.dst == 198.18.255.242, priority 100, uuid 1cf051f9
    clone { ct_clear; next(pipeline=ingress, table=0); };

clone
-----
    ct_clear;
    next(pipeline=ingress, table=0);

ingress(dp="a", inport="lrp-2")
-------------------------------
13. lr_in_ip_routing (northd.c:10388): reg7 == 1 && ip4.dst == 0.0.0.0/0, priority 1, uuid 58ce1f5d
    reg0 = 10.77.1.9;
    outport = "lrp-a1";
    next;
21. lr_in_arp_request (northd.c:12929): eth.dst == 00:00:00:00:00:00 && ip4, priority 100, uuid f139373c
    arp { eth.dst = ff:ff:ff:ff:ff:ff; arp.op = 1; output; };

arp
---
    arp.op = 1;
    output;

egress(dp="a", inport="lrp-2", outport="lrp-a1")
------------------------------------------------
 6. lr_out_delivery (northd.c:12995): outport == "lrp-a1", priority 100, uuid b022d95a
    output;
"""


def test_a_trace_is_read_until_something_else_would_be_sent() -> None:
    passages = read(TRACE)
    assert [(p.pipeline, p.inport, p.outport) for p in passages] == [
        ("ingress", "port-1", ""), ("egress", "lrp-1", "lrp-2"), ("ingress", "lrp-2", ""),
    ]  # fmt: skip
    (acl,) = passages[0].steps("ls_in_acl")
    assert (acl.match, acl.uuid) == ("reg0[7] == 1 && (inport == @pg && ip4)", "a550524c")
    assert not acl.drops
    assert passages[1].translation("src") == "198.18.255.243"
    assert passages[1].translation("dst") == ""
    (routing,) = passages[2].steps("lr_in_ip_routing")
    assert (routing.assigned("reg0"), routing.assigned("outport"), routing.assigned("reg1")) == (
        "10.77.1.9",
        "lrp-a1",
        "",
    )


@pytest.mark.parametrize(
    "line",
    [
        " 4. ls_out_acl (northd.c:6543): reg0[9] == 1, priority 2000, uuid 257eda89\n    drop;",
        " 3. lr_in_ip_input: no match (implicit drop)",
    ],
)
def test_an_end_is_seen_however_it_is_written(line: str) -> None:
    (passage,) = read(f'ingress(dp="a", inport="p")\n-----\n{line}\n')
    assert [step.drops for step in passage.events if step] == [True]  # type: ignore[union-attr]


def test_what_goes_to_the_wire_is_no_flood() -> None:
    to_port = 'egress(dp="a", inport="p", outport="w")\n    ----'
    flood = f'ingress(dp="a", inport="p")\n----\nmulticast(dp="a", mcgroup="%s")\n----\n\n    {to_port}\n'
    assert [passage.outport for passage in read(flood % "_MC_unknown")] == ["", "w"]
    assert [passage.outport for passage in read(flood % "_MC_flood_l2")] == [""]


def test_a_packet_is_written_in_ovns_language() -> None:
    flow = Microflow("p", "06:00:00:00:00:01", "f2:00:00:00:00:01", "10.0.0.4", "10.0.1.4", "tcp", 49152, 80, False)
    assert flow.expression().endswith("ip.ttl == 64 && tcp.src == 49152 && tcp.dst == 80")
    six = Microflow("p", "a", "b", "fd00::1", "fd00::2", "icmp", 0, 0, True, 6)
    assert six.expression().endswith("pkt.mark == 6 && icmp6.type == 129 && icmp6.code == 0")


def test_without_a_southbound_database_there_is_no_trace() -> None:
    with pytest.raises(DriverError, match="cannot trace a packet"):
        Tracer("unix:/nowhere/nb.sock", "unix:/nowhere/sb.sock").run(
            Microflow("p", "06:00:00:00:00:01", "f2:00:00:00:00:01", "10.0.0.4", "10.0.1.4", "tcp", 1, 80, False)
        )
