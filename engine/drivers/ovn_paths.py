"""A packet's hops in the words of ``drivers.packets``, from what OVN says of the logical flows that it would meet.

OVN's trace ends where a router would first ask whose card an address has, and where a translator would have to remember
a connection. There the packet is put on its way again behind that place, as often as need be.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from ipaddress import ip_address, ip_interface
from typing import Any

from engine.drivers.base import DriverError, Refused, port_uuid
from engine.drivers.ovn_border import translated_by
from engine.drivers.ovn_database import ID, NETWORK, RULE, Northbound, Row, View
from engine.drivers.ovn_external import External
from engine.drivers.ovn_names import localnet_port, switch_port
from engine.drivers.ovn_nat_gateways import source_at
from engine.drivers.ovn_places import Place, card_of, first_router, outer_port_of, own_addresses, place_of
from engine.drivers.ovn_trace import Microflow, Passage, Step, Tracer
from engine.drivers.packets import MOST_HOPS, Hop, Packet

_STRETCHES = MOST_HOPS
_IN_ACL, _OUT_ACL = ("ls_in_acl", "ls_in_acl_eval"), ("ls_out_acl", "ls_out_acl_eval")
_ANYBODY = "02:00:00:00:00:01"
"""The card of somebody whom the network does not know: a machine on the wire, if it is anybody's."""


def trace(database: Northbound, tracer: Tracer, external: External, packet: Packet) -> tuple[Hop, ...]:
    """Return the hops of a packet. Raise DriverError where there is no such port, or OVN cannot be asked."""
    tracer.catch_up()
    walk = _Walk(packet, external)
    flow = database.read(walk.begin)
    for _ in range(_STRETCHES):
        if flow is None:
            break
        passages = tracer.run(flow)
        flow = database.read(partial(walk.follow, passages))
    if not walk.is_over:
        walk.end("nowhere", "", "in", why="no such address")
    return tuple(walk.hops)


class _Walk:
    """How far a packet came. ``source`` and ``destination`` are its addresses there, ``mark`` what it carries."""

    def __init__(self, packet: Packet, external: External) -> None:
        self.packet, self.external = packet, external
        self.source, self.destination = packet.source, packet.destination
        self.hops: list[Hop] = []
        self.is_over = False
        self._next: Microflow | None = None
        self._restored = False
        self._mark = 0
        self._arrivals: dict[str, Callable[[View, Passage, Place], None]] = {
            "subnet": self._leave_subnet,
            "inside": self._arrive_inside,
            "edge": self._arrive_by_edge,
            "peering": self._cross_peering,
            "nat gateway": self._pass_nat_gateway,
            "border": self._leave_by_border,
            "outer": self._arrive_from_outside,
            "edge end": self._leave_by_edge,
        }

    # -- stretches ---------------------------------------------------------------

    def begin(self, view: View) -> Microflow | None:
        if not self.packet.port_id:
            return self._begin_outside(view)
        port = view.named("Logical_Switch_Port", port_uuid(self.packet.port_id))
        if port is None:
            raise DriverError(f"there is no port {self.packet.port_id}")
        mac, *addresses = port.addresses[0].split()
        version = ip_address(self.destination).version
        same = [address for address in addresses if ip_address(address).version == version]
        if not self.source and not same:
            raise Refused(f"port {self.packet.port_id} has no IPv{version} address")
        self.source = self.source or same[0]
        network_id = port.external_ids[NETWORK]
        router = first_router(view, network_id, [*same, *addresses])
        near = card_of(view, network_id, self.destination)
        on_link = any(ip_address(self.destination) in ip_interface(each).network for each in router.networks)
        if on_link or (near and near.is_service):
            return self._flow(port.name, mac, near.mac if near else _ANYBODY)
        return self._flow(port.name, mac, router.mac)

    def _begin_outside(self, view: View) -> Microflow | None:
        if not self.source:
            raise Refused("a packet from outside needs a source")
        door = outer_port_of(view, self.destination, self.external)
        if door is None:
            self.end("nowhere", "", "in", why="no such address")
            return None
        return self._flow(localnet_port(self.external.bridge), _ANYBODY, door.mac)

    def follow(self, passages: list[Passage], view: View) -> Microflow | None:
        """Take the hops of a stretch, and return the next one to trace, if there is one."""
        self._next = None
        for passage in passages:
            for step in passage.steps("lr_in_policy"):
                self._mark = int(step.assigned("pkt.mark") or self._mark)
            self._pass(view, passage)
            if self.is_over or self._next:
                return self._next
        if passages:
            self._resolve(view, passages[-1])
        return None if self.is_over else self._next

    def _flow(self, inport: str, from_card: str, to_card: str) -> Microflow:
        packet = self.packet
        return Microflow(
            inport, from_card, to_card, self.source, self.destination, packet.protocol, packet.source_port,
            packet.destination_port, packet.is_reply, self._mark,
        )  # fmt: skip

    def _resolve(self, view: View, passage: Passage) -> None:
        """Go on where a router does not know a card yet and would ask for it first."""
        step = next(
            (s for s in reversed(passage.steps("lr_in_ip_routing", "lr_in_policy")) if s.assigned("outport")), None
        )
        router = view.named("Logical_Router_Port", step.assigned("outport")) if step else None
        if step is None or router is None:
            return
        place = place_of(router)
        hop = step.assigned("reg0") or step.assigned("xxreg0")
        address = self.destination if hop in ("ip4.dst", "ip6.dst") else hop
        if place.kind in ("subnet", "nat gateway"):
            near = card_of(view, router.external_ids[NETWORK], address)
            self._next = self._flow(switch_port(place.id), router.mac, near.mac if near else _ANYBODY)
        elif place.kind == "outer":
            public = translated_by(view, place.id, self.source, self.destination)
            self._leave(place.id, public)
            self._arrive_outside()
        elif place.kind == "outer edge":
            self._arrive_outside()
        elif place.kind == "peering":
            self.end("peering", place.id, "out", why="no other end")

    # -- passages ----------------------------------------------------------------

    def _pass(self, view: View, passage: Passage) -> None:
        name = passage.inport if passage.pipeline == "ingress" else passage.outport
        if (port := view.named("Logical_Switch_Port", name)) is not None:
            self._pass_switch(view, passage, port)
        elif (router := view.named("Logical_Router_Port", name)) is not None:
            place = place_of(router)
            if passage.pipeline == "egress":
                if place.kind == "outer":
                    self._leave(place.id, passage.translation("src"))
            elif not self._reach_router(passage, place) and place.kind in self._arrivals:
                self._arrivals[place.kind](view, passage, place)

    def _pass_switch(self, view: View, passage: Passage, port: Row) -> None:
        entering = passage.pipeline == "egress"
        if ID in port.external_ids:
            (self._enter_port if entering else self._leave_port)(view, passage, port)
        elif port.type == "router" and not entering:
            place = place_of(view.named("Logical_Router_Port", port.options["router-port"]))
            if place.kind == "subnet":
                self._enter_subnet(view, passage, place.id)
        elif port.type == "localport" and entering:
            self.end("services", port.name.partition("-")[2], "in", outcome="delivered")
        elif port.name == localnet_port(self.external.bridge) and entering:
            self._arrive_outside()
        elif port.type == "localnet" and entering:
            self.end("wire", port.name.partition("-")[2], "out", outcome="delivered")

    def _leave_port(self, view: View, passage: Passage, port: Row) -> None:
        id = port.external_ids[ID]
        if any(step.drops for step in passage.steps("ls_in_apply_port_sec")):
            self.end("port", id, "out", why="spoofed")
            return
        self._hop("port", id, "out")
        self._ask_groups(view, passage.steps(*_IN_ACL), port, "out")

    def _enter_port(self, view: View, passage: Passage, port: Row) -> None:
        self._ask_groups(view, passage.steps(*_OUT_ACL), port, "in")
        if self.is_over:
            return
        id = port.external_ids[ID]
        if any(step.drops for step in passage.steps("ls_out_apply_port_sec")):
            self.end("port", id, "in", why="not addressed")
        elif any(ip_address(self.destination) in each for each in own_addresses(port)):
            self.end("port", id, "in", outcome="delivered")
        else:
            self.end("port", id, "in", outcome="passed")

    def _ask_groups(self, view: View, steps: list[Step], port: Row, direction: Any) -> None:
        id = port.external_ids[ID]
        row = view.begun("ACL", steps[-1].hint, steps[-1].match) if steps else None
        if row is None:
            self._hop("groups", id, direction, why="reply")
        elif RULE in row.external_ids:
            rule, group = row.external_ids[RULE], row.external_ids[ID]
            self._hop("groups", id, direction, rule=rule, group=group)
        elif ID not in row.external_ids:
            self.end("uplink", port.external_ids[NETWORK], direction, why="closed")
        elif row.action == "drop":
            self.end("groups", id, direction, why="no rule")
        else:
            self._hop("groups", id, direction, why="served")

    def _enter_subnet(self, view: View, passage: Passage, subnet_id: str) -> None:
        steps = passage.steps(*_IN_ACL)
        self._filter(subnet_id, "in", view.begun("ACL", steps[-1].hint, steps[-1].match) if steps else None)

    def _filter(self, subnet_id: str, direction: Any, row: Row | None) -> None:
        """Say which line of a subnet's filter decided; where there is no filter, or no line is asked, none did."""
        label = row.external_ids.get(RULE, "") if row is not None else ""
        number = label.rpartition(" ")[2]
        if row is None or row.action != "drop":
            why = "served" if row is not None and not label else ""
            self._hop("filter", subnet_id, direction, rule=number, why=why)
        else:
            self.end("filter", subnet_id, direction, rule=number, why="no line" if number == "*" else "line")

    # -- routers -----------------------------------------------------------------

    def _reach_router(self, passage: Passage, place: Place) -> bool:
        """Say whether the packet was for the router itself, and went no further."""
        for step in passage.steps("lr_in_ip_input"):
            if any(action.startswith(("ip4.dst <-> ip4.src", "ip6.dst <-> ip6.src")) for action in step.actions):
                self.end("router", place.id, "in", outcome="delivered")
            elif "next;" not in step.actions and place.kind != "nat gateway":
                self.end("router", place.id, "in", why="closed")
        return self.is_over

    def _leave_subnet(self, view: View, passage: Passage, place: Place) -> None:
        for step in passage.steps("lr_in_ip_routing"):
            row = view.begun("Logical_Router_Static_Route", step.hint, step.match)
            rule = row.external_ids.get(RULE, "local") if row is not None else "local"
            if step.drops:
                known = row is not None
                why, rule = ("blackhole", rule) if known else ("no route", "")
                self.end("routes", place.id, "out", why=why, rule=rule)
                return
            policies = [s for s in passage.steps("lr_in_policy") if s.hint]
            policy = view.begun("Logical_Router_Policy", policies[-1].hint, policies[-1].match) if policies else None
            self._filter(place.id, "out", policy)
            if not self.is_over:
                self._hop("routes", place.id, "out", rule=rule)

    def _arrive_inside(self, view: View, passage: Passage, place: Place) -> None:
        """Take the way from the uplink in: to its subnet, or where the uplink's own routes lead."""
        for step in passage.steps("lr_in_policy"):
            row = view.begun("Logical_Router_Policy", step.hint, step.match)
            if row is not None and RULE in row.external_ids:
                rule = row.external_ids[RULE]
                if step.drops:
                    self.end("routes", place.id, "in", why="blackhole", rule=rule)
                else:
                    self._hop("routes", place.id, "in", rule=rule)
            elif step.drops:
                self.hops.pop()
                self.end("uplink", place.id, "in", why="spoofed")
        if not self.is_over and any(step.drops for step in passage.steps("lr_in_ip_routing")):
            self.end("nowhere", place.id, "in", why="no such address")

    def _arrive_by_edge(self, view: View, passage: Passage, place: Place) -> None:
        self._hop("uplink", place.id, "in")
        self._arrive_inside(view, passage, place)

    def _cross_peering(self, view: View, passage: Passage, place: Place) -> None:
        if any(step.drops for step in passage.steps("lr_in_policy")):
            self.end("peering", place.id, "in", why="not of the peer")
            return
        self._hop("peering", place.id, "in")
        if any(step.drops for step in passage.steps("lr_in_ip_routing")):
            self.end("nowhere", "", "in", why="no such address")

    def _pass_nat_gateway(self, view: View, passage: Passage, place: Place) -> None:
        port = place.port
        own = {str(ip_interface(each).ip) for each in port.networks}
        if self.destination in own:
            if not self.packet.is_reply or not self.packet.behind:
                self.end("nat gateway", place.id, "in", why="closed")
                return
            self.destination = self.packet.behind
            subnet = first_router(view, port.external_ids[NETWORK], [str(ip_interface(port.networks[0]).ip)])
            self._next = self._flow(switch_port(place.id), port.mac, subnet.mac)
        elif self.source in own:
            self.end("nat gateway", place.id, "in", why="loop")
            return
        else:
            self.source = source_at(view, place.id, self.source)
        self._hop("nat gateway", place.id, "in")

    # -- the uplink --------------------------------------------------------------

    def _leave_by_border(self, view: View, passage: Passage, place: Place) -> None:
        if any(step.drops for step in passage.steps("lr_in_policy")):
            self.end("uplink", place.id, "out", why="spoofed")

    def _leave(self, network_id: str, public: str) -> None:
        """Cross the border with a public address, or not at all."""
        if not public:
            self.end("uplink", network_id, "out", why="no public address")
            return
        self.source = public
        self._hop("uplink", network_id, "out")

    def _leave_by_edge(self, view: View, passage: Passage, place: Place) -> None:
        if any(step.drops for step in passage.steps("lr_in_policy")):
            self.end("uplink", place.id, "out", why="spoofed")
        elif any(step.drops for step in passage.steps("lr_in_ip_routing")):
            self.end("nowhere", "", "in", why="no such address")
        else:
            self._hop("uplink", place.id, "out")

    def _arrive_outside(self) -> None:
        if not self.is_over:
            self.hops[-1] = replace(self.hops[-1], outcome="delivered")
            self.is_over = True

    def _arrive_from_outside(self, view: View, passage: Passage, place: Place) -> None:
        port = place.port
        private = passage.translation("dst")
        own = str(ip_interface(port.networks[0]).ip)
        if not private and not self._restored and self.destination == own and self.packet.behind:
            self._restored, self.destination = True, self.packet.behind
            self._next = self._flow(port.name, _ANYBODY, port.mac)
            return
        if not private and not self._restored:
            self.end("nowhere", place.id, "in", why="no such address")
            return
        self.destination = private or self.destination
        if any(step.drops for step in passage.steps("lr_in_policy")):
            self.end("uplink", place.id, "in", why="spoofed")
        else:
            self._hop("uplink", place.id, "in")

    # -- hops --------------------------------------------------------------------

    def _hop(self, kind: Any, id: str, direction: Any, **what: Any) -> None:
        self.hops.append(Hop(kind, id, direction, self.source, self.destination, **what))
        if len(self.hops) > MOST_HOPS:
            self.hops[-1] = replace(self.hops[-1], outcome="dropped", why="loop")
            self.is_over = True

    def end(self, kind: Any, id: str, direction: Any, outcome: str = "dropped", **what: Any) -> None:
        """Add the last hop."""
        self._hop(kind, id, direction, outcome=outcome, **what)
        self.is_over = True
