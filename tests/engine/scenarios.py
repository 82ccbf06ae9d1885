"""For each workflow: what leaves a task of it due, and what must have come true when it was done."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from engine import desired, tasks
from engine.drivers.networking import Port
from engine.endpoints import add_interface_service, interfaces_of
from engine.state import Endpoint, EndpointService, InsightsAnalysis, Instance, NetworkInterface
from tests.cloud import REGION, Cloud
from tests.engine import drafts, exports, imports, snapshots, volumes
from tests.engine import nat_gateways as nats
from tests.engine import root_replacements as roots
from tests.translators.test_instances import launch, leftovers, state


@dataclass(frozen=True)
class Scenario:
    """``begin`` leaves a task of the workflow due and returns its resource; ``done`` says whether all came true."""

    begin: Callable[[Cloud], str]
    done: Callable[[Cloud, str], bool]


def running(cloud: Cloud) -> str:
    (id,) = launch(cloud)
    cloud.settle()
    return id


def stopped(cloud: Cloud) -> str:
    id = running(cloud)
    cloud.ec2.stop_instances(InstanceIds=[id])
    cloud.settle()
    return id


def calling(action: str, before: Callable[[Cloud], str] = running, **extra: Any) -> Callable[[Cloud], str]:
    def begin(cloud: Cloud) -> str:
        id = before(cloud)
        getattr(cloud.ec2, action)(InstanceIds=[id], **extra)
        return id

    return begin


def beginning(workflow: str, before: Callable[[Cloud], str]) -> Callable[[Cloud], str]:
    """Begin what no request begins: the workflows by which others give up."""

    def begin(cloud: Cloud) -> str:
        id = before(cloud)
        with cloud.database.write() as db:
            tasks.start(db, id, workflow, REGION)
        return id

    return begin


def is_running(cloud: Cloud, id: str) -> bool:
    (card,) = cloud.look(lambda db: desired.cards(db, id))
    return state(cloud, id) == "running" and machines(cloud).get(id) == "running" and network(cloud).port_is_up(card.id)


def is_stopped(cloud: Cloud, id: str) -> bool:
    (card,) = cloud.look(lambda db: desired.cards(db, id))
    host = cloud.look(lambda db: db.get_one(Instance, id).host)
    off = machines(cloud).get(id) in (None, "stopped") and card.id not in network(cloud).list_ports()
    return state(cloud, id) == "stopped" and off and host == ""


def is_terminated(cloud: Cloud, id: str) -> bool:
    return state(cloud, id) == "terminated" and leftovers(cloud) == [set(), set(), set()]


def machines(cloud: Cloud) -> dict[str, str]:
    return {id: power for c in cloud.backend.computes.values() for id, power in c.list_machines().items()}


def network(cloud: Cloud) -> Any:
    return cloud.drivers[REGION].network


def new_vpc(cloud: Cloud) -> str:
    """A VPC that is on the network, as after a guest was in it."""
    id = str(cloud.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"])
    cloud.settle()
    wanted = cloud.look(lambda db: desired.network(db, cloud.settings, id))
    network(cloud).ensure_network(wanted)
    return id


def change_network(cloud: Cloud) -> str:
    id = new_vpc(cloud)
    cloud.ec2.create_subnet(VpcId=id, CidrBlock="10.1.1.0/24")
    return id


def remove_network(cloud: Cloud) -> str:
    id = new_vpc(cloud)
    cloud.ec2.delete_vpc(VpcId=id)
    return id


def new_group(cloud: Cloud) -> str:
    vpc = new_vpc(cloud)
    id = str(cloud.ec2.create_security_group(VpcId=vpc, GroupName="g", Description="g")["GroupId"])
    network(cloud).ensure_group(cloud.look(lambda db: desired.group(db, id)))
    return id


def change_group(cloud: Cloud) -> str:
    id = new_group(cloud)
    cloud.ec2.authorize_security_group_ingress(
        GroupId=id, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
    )  # fmt: skip
    return id


def remove_group(cloud: Cloud) -> str:
    id = new_group(cloud)
    cloud.ec2.delete_security_group(GroupId=id)
    return id


def change_port(cloud: Cloud) -> str:
    instance = running(cloud)
    (card,) = cloud.look(lambda db: desired.cards(db, instance))
    cloud.ec2.modify_instance_attribute(InstanceId=instance, SourceDestCheck={"Value": False})
    return str(card.id)


def remove_port(cloud: Cloud) -> str:
    """An interface that was left on the network, as by a worker killed between two lines."""
    running(cloud)
    subnet = cloud.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    made = cloud.ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]
    id, groups = str(made["NetworkInterfaceId"]), tuple(group["GroupId"] for group in made["Groups"])
    network(cloud).ensure_port(
        Port(id, made["VpcId"], subnet, made["MacAddress"], (made["PrivateIpAddress"],), groups)
    )  # fmt: skip
    cloud.ec2.delete_network_interface(NetworkInterfaceId=id)
    return id


def lose_everything(cloud: Cloud) -> None:
    """As when the network's own database is lost."""
    driver = network(cloud)
    for listed, remove in (
        (driver.list_ports, driver.remove_port),
        (driver.list_groups, driver.remove_group),
        (driver.list_networks, driver.remove_network),
    ):
        for id in listed():
            remove(id)


def lose_network(cloud: Cloud) -> str:
    """The same one each time: what is brought back must not grow from one try to the next."""
    found = cloud.look(lambda db: db.scalars(select(Instance.id)).first())
    id = found or running(cloud)
    lose_everything(cloud)
    return cloud.look(lambda db: db.get_one(Instance, id).vpc_id)


def is_back(cloud: Cloud, vpc: str) -> bool:
    cards = cloud.look(lambda db: {id for each in running_in(cloud, vpc) for (id, *_) in desired.cards(db, each)})
    return vpc in network(cloud).list_networks() and network(cloud).list_ports() == cards


def running_in(cloud: Cloud, vpc: str) -> list[str]:
    chosen = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "instance-state-name", "Values": ["running"]}]
    found = cloud.ec2.describe_instances(Filters=chosen)["Reservations"]
    return [i["InstanceId"] for r in found for i in r["Instances"]]


def new_endpoint(cloud: Cloud) -> str:
    subnet = cloud.ec2.describe_subnets()["Subnets"][0]
    with cloud.database.write() as db:
        if db.scalar(select(EndpointService.id)) is None:
            add_interface_service(db, REGION, "com.example.registry", ["192.0.2.30:5000"], [443])
    made = cloud.ec2.create_vpc_endpoint(
        VpcId=subnet["VpcId"], ServiceName="com.example.registry", VpcEndpointType="Interface",
        SubnetIds=[subnet["SubnetId"]],
    )  # fmt: skip
    return str(made["VpcEndpoint"]["VpcEndpointId"])


def delete_endpoint(cloud: Cloud) -> str:
    id = new_endpoint(cloud)
    cloud.settle()
    cloud.ec2.delete_vpc_endpoints(VpcEndpointIds=[id])
    return id


def is_available(cloud: Cloud, id: str) -> bool:
    found = cloud.look(lambda db: db.get_one(Endpoint, id).state)
    cards = cloud.look(lambda db: {card.id for card in interfaces_of(db, id)})
    return found == "available" and bool(cards) and cards <= network(cloud).list_ports()


def is_deleted(cloud: Cloud, id: str) -> bool:
    held = cloud.look(lambda db: db.scalars(select(NetworkInterface.id).filter_by(managed_by=id)).all())
    gone = cloud.look(lambda db: db.get(Endpoint, id)) is None
    known = cloud.look(lambda db: set(db.scalars(select(NetworkInterface.id))))
    return gone and not held and network(cloud).list_ports() <= known


def plugged(cloud: Cloud) -> str:
    """A second interface that a running instance is about to have."""
    instance = running(cloud)
    subnet = cloud.look(lambda db: db.get_one(Instance, instance).subnet_id)
    id = str(cloud.ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"])
    cloud.ec2.attach_network_interface(NetworkInterfaceId=id, InstanceId=instance, DeviceIndex=1)
    return id


def unplugged(force: bool) -> Callable[[Cloud], str]:
    """A second interface that a running instance has, and is about to lose."""

    def begin(cloud: Cloud) -> str:
        id = plugged(cloud)
        cloud.settle()
        attachment = cloud.look(lambda db: db.get_one(NetworkInterface, id).attachment_id)
        cloud.ec2.detach_network_interface(AttachmentId=attachment, Force=force)
        return id

    return begin


def cards(cloud: Cloud) -> set[str]:
    """Return the cards of all machines, be they on or off."""
    guests = [guest for c in cloud.backend.computes.values() for guest in c._guests.values()]
    return {nic.port_id for guest in guests for nic in guest.machine.nics}


def is_plugged(cloud: Cloud, id: str) -> bool:
    (found,) = cloud.ec2.describe_network_interfaces(NetworkInterfaceIds=[id])["NetworkInterfaces"]
    attached = (found["Status"], found["Attachment"]["Status"]) == ("in-use", "attached")
    return attached and id in cards(cloud) and network(cloud).port_is_up(id)


def is_unplugged(cloud: Cloud, id: str) -> bool:
    (found,) = cloud.ec2.describe_network_interfaces(NetworkInterfaceIds=[id])["NetworkInterfaces"]
    free = found["Status"] == "available" and "Attachment" not in found
    return free and id not in cards(cloud) and id not in network(cloud).list_ports()


def start_analysis(cloud: Cloud) -> str:
    """Ask whether a new guest reaches the internet."""
    instance = running(cloud)
    gateway = cloud.ec2.describe_internet_gateways()["InternetGateways"][0]["InternetGatewayId"]
    path = cloud.ec2.create_network_insights_path(Source=instance, Destination=gateway, Protocol="tcp")
    id = path["NetworkInsightsPath"]["NetworkInsightsPathId"]
    begun = cloud.ec2.start_network_insights_analysis(NetworkInsightsPathId=id)["NetworkInsightsAnalysis"]
    return str(begun["NetworkInsightsAnalysisId"])


def analysis(cloud: Cloud, id: str) -> tuple[str, bool | None]:
    row = cloud.look(lambda db: db.get_one(InsightsAnalysis, id))
    return row.status, row.found


SCENARIOS = {
    "boot_instance": Scenario(lambda cloud: launch(cloud)[0], is_running),
    "start_instance": Scenario(calling("start_instances", stopped), is_running),
    "stop_instance": Scenario(calling("stop_instances"), is_stopped),
    "force_stop_instance": Scenario(calling("stop_instances", Force=True), is_stopped),
    "reboot_instance": Scenario(calling("reboot_instances"), is_running),
    "terminate_instance": Scenario(calling("terminate_instances"), is_terminated),
    "force_terminate_instance": Scenario(calling("terminate_instances", Force=True), is_terminated),
    "abandon_launch": Scenario(beginning("abandon_launch", lambda cloud: launch(cloud)[0]), is_terminated),
    "fail_start": Scenario(beginning("fail_start", calling("start_instances", stopped)), is_stopped),
    "attach_interface": Scenario(plugged, is_plugged),
    "detach_interface": Scenario(unplugged(force=False), is_unplugged),
    "force_detach_interface": Scenario(unplugged(force=True), is_unplugged),
    "abandon_attachment": Scenario(beginning("abandon_attachment", plugged), is_unplugged),
    "sync_network": Scenario(
        change_network, lambda cloud, id: [s.cidr for s in network(cloud)._networks[id].subnets] == ["10.1.1.0/24"]
    ),
    "sync_group": Scenario(
        change_group, lambda cloud, id: 22 in [rule.from_port for rule in network(cloud)._groups[id].rules]
    ),
    "sync_port": Scenario(change_port, lambda cloud, id: network(cloud)._ports[id].forwarding is True),
    "create_endpoint": Scenario(new_endpoint, is_available),
    "delete_endpoint": Scenario(delete_endpoint, is_deleted),
    "restore_network": Scenario(beginning("restore_network", lose_network), is_back),
    "analyze_path": Scenario(start_analysis, lambda cloud, id: analysis(cloud, id) == ("succeeded", True)),
    "fail_analysis": Scenario(
        beginning("fail_analysis", start_analysis), lambda cloud, id: analysis(cloud, id) == ("failed", None)
    ),
    "remove_network": Scenario(remove_network, lambda cloud, id: id not in network(cloud).list_networks()),
    "remove_group": Scenario(remove_group, lambda cloud, id: id not in network(cloud).list_groups()),
    "create_nat_gateway": Scenario(nats.creating, lambda cloud, id: nats.serves(cloud, id, 1)),
    "fail_nat_gateway": Scenario(nats.failing, lambda cloud, id: nats.is_gone(cloud, id, "failed")),
    "sync_nat_gateway": Scenario(nats.associating, lambda cloud, id: nats.serves(cloud, id, 2)),
    "drain_nat_gateway": Scenario(nats.draining, lambda cloud, id: nats.serves(cloud, id, 1)),
    "delete_nat_gateway": Scenario(nats.deleting, lambda cloud, id: nats.is_gone(cloud, id, "deleted")),
    "create_snapshot": Scenario(snapshots.taking, snapshots.are_completed),
    "fail_snapshot": Scenario(beginning("fail_snapshot", snapshots.taking), snapshots.have_failed),
    "complete_snapshot": Scenario(drafts.completing, drafts.is_completed),
    "cancel_draft": Scenario(drafts.late, drafts.is_cancelled),
    "copy_snapshot": Scenario(snapshots.copying, snapshots.are_completed),
    "remove_snapshot": Scenario(snapshots.removing, snapshots.is_removed),
    "pause_instance": Scenario(snapshots.pausing, snapshots.has_restarted),
    "create_volume": Scenario(volumes.creating, volumes.is_available),
    "fail_volume": Scenario(beginning("fail_volume", volumes.creating), volumes.is_error),
    "delete_volume": Scenario(volumes.deleting, volumes.is_gone),
    "attach_volume": Scenario(volumes.attaching, volumes.is_attached),
    "detach_volume": Scenario(volumes.detaching, volumes.is_detached),
    "abandon_volume_attachment": Scenario(
        beginning("abandon_volume_attachment", volumes.attaching), volumes.is_detached
    ),
    "modify_volume": Scenario(volumes.growing, volumes.is_modified),
    "fail_modification": Scenario(beginning("fail_modification", volumes.growing), volumes.is_unmodified),
    "import_disks": Scenario(imports.importing, imports.is_imported),
    "export_disks": Scenario(exports.exporting, exports.is_exported),
    "export_instance_disks": Scenario(exports.exporting_instance, exports.is_instance_exported),
    "cancel_export": Scenario(exports.cancelling, exports.is_cancelled),
    "cancel_import": Scenario(imports.cancelling, imports.is_cancelled),
    "replace_root_volume": Scenario(roots.replacing, roots.is_replaced),
    "fail_root_replacement": Scenario(beginning("fail_root_replacement", roots.replacing), roots.has_failed),
    "remove_port": Scenario(remove_port, lambda cloud, id: id not in network(cloud).list_ports()),
}
