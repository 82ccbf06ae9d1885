"""The metadata service as guests meet it: over HTTP, each by the door of its VPC."""

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from botocore.utils import IMDSRegionProvider, InstanceMetadataFetcher
from sqlalchemy import update

from engine.metadata import doors, web_door
from engine.metadata.identity import open_identity
from engine.state import Instance
from tests.cloud import Cloud
from tests.engine.imds import HERE, TOKEN, TTL, Loopback, Running, eventually, move, run_instance

HOST = "simulated-us-east-1"


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key made once: it takes a while to find one."""
    directory = tmp_path_factory.mktemp("data") / "identity"
    open_identity(directory)
    return directory


@pytest.fixture
def service(cloud: Cloud, identity: Path) -> Iterator[Running]:
    shutil.copytree(identity, cloud.settings.data / "identity")
    running = Running(cloud.settings, cloud.database, Loopback(), HOST)
    yield running
    running.stop()


@pytest.fixture
def instance(cloud: Cloud) -> dict[str, Any]:
    return run_instance(cloud, HERE)


@pytest.fixture
def vpc(instance: dict[str, Any]) -> str:
    return str(instance["VpcId"])


def change(cloud: Cloud, instance: dict[str, Any], **options: Any) -> None:
    cloud.ec2.modify_instance_metadata_options(InstanceId=instance["InstanceId"], **options)


def token(service: Running, vpc: str, seconds: str = "60", guest: str = HERE) -> str:
    reply = service.ask(vpc, "/latest/api/token", "PUT", guest, **{TTL: seconds})
    assert reply.status == 200
    return reply.text


# -- answers -----------------------------------------------------------------------


def test_an_answer_looks_like_ec2s(service: Running, vpc: str, instance: dict[str, Any]) -> None:
    reply = service.ask(vpc, "/latest/meta-data/instance-id")
    assert (reply.status, reply.text) == (200, instance["InstanceId"])
    headers = dict(reply.headers)
    assert headers["Server"] == "EC2ws"
    assert headers["Content-Type"] == "text/plain"
    assert headers["Accept-Ranges"] == "none"
    assert headers["Connection"] == "close"
    assert headers["Last-Modified"].endswith("GMT")
    assert TTL not in headers


def test_an_unknown_path_is_ec2s_page(service: Running, vpc: str) -> None:
    reply = service.ask(vpc, "/latest/meta-data/nothing")
    assert (reply.status, reply.headers["Content-Type"]) == (404, "text/html")
    assert reply.text.startswith('<?xml version="1.0" encoding="iso-8859-1"?>')
    assert "<h1>404 - Not Found</h1>" in reply.text


def test_head_is_get_without_the_body(service: Running, vpc: str, instance: dict[str, Any]) -> None:
    reply = service.ask(vpc, "/latest/meta-data/instance-id", "HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["Content-Length"] == str(len(instance["InstanceId"]))


def test_other_methods_are_not_allowed(service: Running, vpc: str) -> None:
    for method in ("POST", "DELETE", "PATCH", "OPTIONS", "PUT"):
        assert service.ask(vpc, "/latest/meta-data/", method).status == 405


def test_user_data_is_a_stream_of_bytes(service: Running, cloud: Cloud) -> None:
    instance = run_instance(cloud, HERE, UserData=b"\xde\xad\xbe\xef")
    reply = service.ask(instance["VpcId"], "/latest/user-data")
    assert (reply.body, reply.headers["Content-Type"]) == (b"\xde\xad\xbe\xef", "application/octet-stream")


def test_a_stranger_is_told_nothing(service: Running, vpc: str) -> None:
    assert service.ask(vpc, "/latest/meta-data/", guest="127.0.0.9").status == 404


def test_an_old_client_is_answered(service: Running, vpc: str, instance: dict[str, Any]) -> None:
    with socket.create_connection((HERE, service.listeners.port(vpc)), timeout=5) as connection:
        connection.sendall(b"GET /latest/meta-data/instance-id HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.0 200 OK")
    assert answer.endswith(b"\r\n\r\n" + instance["InstanceId"].encode())


def test_the_database_may_fail(service: Running, vpc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError("disk on fire")

    assert service.get(vpc, "meta-data/")
    with monkeypatch.context() as patch:
        patch.setattr("engine.metadata.answers.find_facts", fail)
        patch.setattr("engine.metadata.service.places_on", fail)
        assert service.ask(vpc, "/latest/meta-data/").status == 500
        time.sleep(0.5)
    assert service.ask(vpc, "/latest/meta-data/").status == 200


# -- tokens ------------------------------------------------------------------------


def test_a_token_opens_what_is_closed_without(
    service: Running, cloud: Cloud, vpc: str, instance: dict[str, Any]
) -> None:
    change(cloud, instance, HttpTokens="required")
    assert service.ask(vpc, "/latest/meta-data/instance-id").status == 401
    assert service.ask(vpc, "/latest/meta-data/nothing").status == 401
    reply = service.ask(vpc, "/latest/api/token", "PUT", **{TTL: "21600"})
    assert (reply.status, reply.headers[TTL], reply.headers["Content-Type"]) == (200, "21600", "text/plain")
    found = service.ask(vpc, "/latest/meta-data/instance-id", **{TOKEN: reply.text})
    assert (found.status, found.text) == (200, instance["InstanceId"])
    assert 21590 < int(found.headers[TTL]) <= 21600


def test_a_token_lasts_from_one_second_to_six_hours(service: Running, vpc: str) -> None:
    for seconds in ("0", "21601", "-1", "", "x", "1.5", "1e3", "\xb2", "9" * 5000):
        assert service.ask(vpc, "/latest/api/token", "PUT", **{TTL: seconds}).status == 400, seconds


def test_a_token_must_be_asked_for_with_its_duration(service: Running, vpc: str) -> None:
    assert service.ask(vpc, "/latest/api/token", "PUT").status == 400
    assert service.ask(vpc, "/latest/api/token").status == 405


def test_a_proxy_gets_no_token(service: Running, vpc: str) -> None:
    headers = {TTL: "60", "x-forwarded-for": "1.2.3.4"}
    assert service.ask(vpc, "/latest/api/token", "PUT", **headers).status == 403


def test_a_bad_token_is_refused_even_where_none_is_needed(service: Running, vpc: str) -> None:
    for bad in ("", "x", "B" + token(service, vpc)[1:]):
        assert service.ask(vpc, "/latest/meta-data/", **{TOKEN: bad}).status == 401


def test_a_token_expires(service: Running, vpc: str) -> None:
    short = token(service, vpc, "1")
    assert service.ask(vpc, "/latest/meta-data/", **{TOKEN: short}).status == 200
    time.sleep(1.05)
    assert service.ask(vpc, "/latest/meta-data/", **{TOKEN: short}).status == 401


def test_a_token_belongs_to_one_instance(service: Running, cloud: Cloud, vpc: str) -> None:
    other = run_instance(cloud, "127.0.0.2")
    mine = token(service, vpc)
    reply = service.ask(other["VpcId"], "/latest/meta-data/", guest="127.0.0.2", **{TOKEN: mine})
    assert reply.status == 401


def test_a_token_outlives_a_restart(cloud: Cloud, vpc: str) -> None:
    first = Running(cloud.settings, cloud.database, Loopback(), HOST)
    mine = token(first, vpc)
    first.stop()
    second = Running(cloud.settings, cloud.database, first.listeners, HOST)
    first.listeners.sockets.clear()
    assert second.ask(vpc, "/latest/meta-data/", **{TOKEN: mine}).status == 200
    second.stop()


def test_a_disabled_endpoint_refuses_everything(
    service: Running, cloud: Cloud, vpc: str, instance: dict[str, Any]
) -> None:
    change(cloud, instance, HttpEndpoint="disabled")
    assert service.ask(vpc, "/latest/meta-data/").status == 403
    assert service.ask(vpc, "/latest/api/token", "PUT", **{TTL: "60"}).status == 403
    change(cloud, instance, HttpEndpoint="enabled")
    assert service.ask(vpc, "/latest/meta-data/").status == 200


def test_a_token_travels_no_further_than_it_may(
    service: Running, cloud: Cloud, vpc: str, instance: dict[str, Any]
) -> None:
    def time_to_live() -> int:
        with door.accepted.pop() as connection:
            return connection.getsockopt(socket.IPPROTO_IP, socket.IP_TTL)

    assert service.listeners.port(vpc)
    door = service.listeners.sockets[vpc]
    door.keep = True
    token(service, vpc)
    assert time_to_live() == 1
    change(cloud, instance, HttpPutResponseHopLimit=3)
    token(service, vpc)
    assert time_to_live() == 3
    service.get(vpc, "meta-data/")
    assert time_to_live() == int(Path("/proc/sys/net/ipv4/ip_default_ttl").read_text())


# -- doors -------------------------------------------------------------------------


def in_a_vpc_of_its_own(cloud: Cloud, address: str = HERE) -> dict[str, Any]:
    vpc = cloud.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = cloud.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    return run_instance(cloud, address, SubnetId=subnet)


def test_the_door_tells_who_asks(service: Running, cloud: Cloud, vpc: str, instance: dict[str, Any]) -> None:
    twin = in_a_vpc_of_its_own(cloud)
    assert service.get(vpc, "meta-data/instance-id") == instance["InstanceId"]
    assert service.get(twin["VpcId"], "meta-data/instance-id") == twin["InstanceId"]


def test_a_door_is_closed_when_nobody_is_left(service: Running, cloud: Cloud, vpc: str) -> None:
    other = in_a_vpc_of_its_own(cloud)
    port = service.listeners.port(other["VpcId"])
    cloud.ec2.terminate_instances(InstanceIds=[other["InstanceId"]])
    cloud.settle()
    assert eventually(lambda: service.listeners.namespaces == {vpc})
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HERE, port), timeout=1)
    cloud.settle()
    assert service.get(vpc, "meta-data/")


def test_instances_of_other_hosts_are_left_to_them(service: Running, cloud: Cloud, vpc: str) -> None:
    other = in_a_vpc_of_its_own(cloud)
    service.listeners.port(other["VpcId"])
    with cloud.database.write() as db:
        db.execute(update(Instance).where(Instance.id == other["InstanceId"]).values(host="another"))
    assert eventually(lambda: service.listeners.namespaces == {vpc})


def test_the_trouble_of_one_vpc_is_no_others(cloud: Cloud, vpc: str) -> None:
    listeners = Loopback()
    other = in_a_vpc_of_its_own(cloud)
    listeners.broken = {vpc}
    service = Running(cloud.settings, cloud.database, listeners, HOST)
    assert service.get(other["VpcId"], "meta-data/instance-id") == other["InstanceId"]
    assert eventually(lambda: listeners.ensured.count(vpc) > 1)
    assert vpc not in listeners.sockets
    listeners.broken = set()
    assert service.get(vpc, "meta-data/")
    service.stop()


def test_what_was_left_by_a_dead_process_is_taken_over(cloud: Cloud, vpc: str) -> None:
    listeners = Loopback()
    listeners.namespaces = {vpc, "vpc-gone"}
    service = Running(cloud.settings, cloud.database, listeners, HOST)
    assert service.get(vpc, "meta-data/")
    assert eventually(lambda: listeners.namespaces == {vpc})
    service.stop()
    assert listeners.namespaces == {vpc}


def test_a_namespace_that_was_removed_comes_back(service: Running, vpc: str) -> None:
    before = service.listeners.port(vpc)
    service.listeners.remove_namespace(vpc)
    assert service.listeners.port(vpc) != before
    assert service.get(vpc, "meta-data/")


def test_doors_are_looked_after(service: Running, vpc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "_CHECK_SECONDS", 0.1)
    assert service.get(vpc, "meta-data/")
    assert eventually(lambda: service.listeners.ensured.count(vpc) > 2)
    assert service.get(vpc, "meta-data/")


def test_a_guest_cannot_take_the_place_of_others(service: Running, cloud: Cloud, vpc: str) -> None:
    other = run_instance(cloud, "127.0.0.2")
    address = (HERE, service.listeners.port(vpc))
    greedy = [socket.create_connection(address, timeout=5) for _ in range(40)]
    assert eventually(lambda: sum(_is_closed(each) for each in greedy) == 8)
    assert service.get(vpc, "meta-data/instance-id", "127.0.0.2") == other["InstanceId"]
    for each in greedy:
        each.close()
    assert eventually(lambda: _answers(service, vpc))


def _is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _answers(service: Running, vpc: str) -> bool:
    try:
        return bool(service.get(vpc, "meta-data/"))
    except OSError:
        return False


def test_a_guest_that_says_nothing_is_hung_up_on(service: Running, vpc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_door, "_CONNECTION_SECONDS", 0.2)
    with socket.create_connection((HERE, service.listeners.port(vpc)), timeout=5) as silent:
        silent.sendall(b"GET /latest/meta-data/ HTTP/1.1\r\nHost: ")
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(1) == b""


def test_many_guests_are_served_at_once(service: Running, cloud: Cloud, vpc: str) -> None:
    guests = [f"127.0.1.{n}" for n in range(1, 9)]
    made = cloud.ec2.run_instances(ImageId="ami-00000000000000001", MinCount=8, MaxCount=8, InstanceType="t3.micro")
    cloud.settle()
    ids = [i["InstanceId"] for i in made["Instances"]]
    subnet_vpc = {i["VpcId"] for i in made["Instances"]}
    assert subnet_vpc == {vpc}
    for id, guest in zip(ids, guests, strict=True):
        move(cloud.database, id, guest)
    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(lambda g: [service.get(vpc, "meta-data/instance-id", g) for _ in range(20)], guests))
    assert told == [[id] * 20 for id in ids]


# -- clients -----------------------------------------------------------------------


def test_botocore_learns_its_region(service: Running, cloud: Cloud, vpc: str, instance: dict[str, Any]) -> None:
    import botocore.session

    change(cloud, instance, HttpTokens="required")
    session = botocore.session.Session()
    session.set_config_variable("ec2_metadata_service_endpoint", f"http://{HERE}:{service.listeners.port(vpc)}/")
    assert IMDSRegionProvider(session, environ={}).provide() == "us-east-1"


def test_botocore_finds_no_role(service: Running, vpc: str) -> None:
    config = {"ec2_metadata_service_endpoint": f"http://{HERE}:{service.listeners.port(vpc)}/"}
    assert InstanceMetadataFetcher(timeout=2, num_attempts=1, config=config).retrieve_iam_role_credentials() == {}


# -- the process -------------------------------------------------------------------


PROGRAM = """
import sys
from engine import fleet
from engine.drivers import netns
from engine.host import bridges
from engine.metadata import service
from settings import Settings
from tests.engine.imds import Loopback

class Told(Loopback):
    def listen(self, network_id, address, port, kind):
        listener = super().listen(network_id, address, port, kind)
        port == 80 and print(listener.getsockname()[1], flush=True)
        return listener

netns.MetadataListeners = lambda bridge, datapath, owner: Told()
bridges.read_switch = lambda: bridges.Switch(bridges={"br-int": {"datapath_type": ""}})
fleet.local_host = lambda region, regions: sys.argv[3]
service.structlog.configure(processors=[lambda *_: (_ for _ in ()).throw(service.structlog.DropEvent)])
netns.RelayListeners = lambda seats, **_: Loopback()
service.run(Settings(data=sys.argv[1], database=sys.argv[2]))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_the_process_serves_until_it_is_told_to_stop(
    cloud: Cloud, identity: Path, instance: dict[str, Any], number: signal.Signals, code: int
) -> None:
    shutil.copytree(identity, cloud.settings.data / "identity")
    url = cloud.database.writer.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", PROGRAM, str(cloud.settings.data), url, HOST]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            port = process.stdout.readline().strip()
            with urlopen(f"http://{HERE}:{port}/latest/meta-data/instance-id", timeout=5) as answer:
                assert answer.read().decode() == instance["InstanceId"]
            process.send_signal(number)
            assert (process.wait(10), process.stderr.read()) == (code, "")
        finally:
            process.kill()
