"""One analysis of a path: which of the packets that fit it arrives, and what is to be said of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from engine.drivers.base import DriverError
from engine.drivers.networking import NetworkDriver
from engine.drivers.packets import Packet
from engine.names import arn
from engine.reachability.atlas import Atlas
from engine.reachability.journeys import Journey, travel
from engine.reachability.report import report
from engine.state import InsightsPath, Vpc

Shape = dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """Whether a path was found, and the members of NetworkInsightsAnalysis that say how, or why not."""

    found: bool
    report: Shape


def nothing(explanation: Shape) -> Finding:
    """Return what is found where there is nothing to trace."""
    return Finding(False, {"ForwardPathComponents": [], "ReturnPathComponents": [], "Explanations": [explanation]})


def journeys(network: NetworkDriver, packets: Sequence[Packet], destination: str) -> list[Journey]:
    """Try packets until one arrives and is answered; a peering as the destination is where the way ends.

    Raise DriverError where none can be traced.
    """
    found: list[Journey] = []
    for packet in packets:
        found.append(_until(travel(network, packet), destination))
        if found[-1].is_answered:
            break
    if not found:
        raise DriverError("there is no packet to trace")
    return found


def _until(journey: Journey, destination: str) -> Journey:
    for place, hop in enumerate(journey.there):
        if destination and hop.kind == "peering" and hop.id == destination and hop.outcome == "passed":
            return Journey(journey.packet, (*journey.there[:place], replace(hop, outcome="delivered")))
    return journey


def finding(db: Session, path: InsightsPath, asked: Shape, tried: Sequence[Journey]) -> Finding:
    """Return what EC2 says of a path, ``asked`` with FilterInArns and FilterOutArns, after these tries."""
    best = max(tried, key=lambda journey: (journey.is_answered, journey.arrives))
    found = report(Atlas(db), best, path.region)
    if best.is_answered:
        found["Explanations"] = _nobodys(db, best) + _mismatches(path, asked, best, found)
    return Finding(not found["Explanations"], found)


def _nobodys(db: Session, journey: Journey) -> list[Shape]:
    """Return why an address of the VPC that no interface has is no destination, unless the VPC is a VLAN of others."""
    last = journey.there[-1]
    vpc = db.get(Vpc, last.id) if last.kind == "wire" else None
    if vpc is None or vpc.vlan_is_mapped:
        return []
    component = {"Id": vpc.id, "Arn": arn(vpc.region, vpc.account, vpc.id)}
    return [{"ExplanationCode": "NO_POSSIBLE_DESTINATION", "Vpc": component, "Addresses": [last.destination]}]


def _mismatches(path: InsightsPath, asked: Shape, journey: Journey, found: Shape) -> list[Shape]:
    """Return what of the question a path that is there does not fit."""
    names = [shape["Component"]["Id"] for shape in found["ForwardPathComponents"]]
    components = {shape["Component"]["Arn"] for shape in found["ForwardPathComponents"]}
    lost = [each for each in asked.get("FilterInArns", ()) if each not in components]
    met = [each for each in asked.get("FilterOutArns", ()) if each in components]
    codes = [("COMPONENT_FILTER_RESTRICTION", each) for each in (*lost, *met)]
    shapes: list[Shape] = [{"ExplanationCode": code, "Component": _named(each)} for code, each in codes]
    if path.destination.startswith("igw-") and path.destination not in names:
        component = {"Id": path.destination, "Arn": arn(path.region, path.account, path.destination)}
        shapes.append({"ExplanationCode": "NO_PATH", "Component": component, "InternetGateway": component})
    last, packet = journey.there[-1], journey.packet
    arrived: dict[str, tuple[str, str | int]] = {
        "SOURCE_ADDRESS": (path.arriving_source, last.source),
        "DESTINATION_ADDRESS": (path.arriving_destination, last.destination),
        "SOURCE_PORT_RANGE": (path.arriving_source_ports, packet.source_port),
        "DESTINATION_PORT_RANGE": (path.arriving_destination_ports, packet.destination_port),
    }
    shapes += [
        {"ExplanationCode": f"FILTER_AT_DESTINATION_{name}"}
        for name, (want, is_) in arrived.items()
        if _differs(want, is_)
    ]
    return shapes


def _named(component: str) -> Shape:
    return {"Id": component.rpartition("/")[2], "Arn": component}


def _differs(wanted: str, value: str | int) -> bool:
    if not wanted or isinstance(value, str):
        return bool(wanted) and wanted != value
    low, high = wanted.split("-")
    return not int(low) <= value <= int(high)
