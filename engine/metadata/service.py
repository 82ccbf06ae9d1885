"""The process that serves metadata, names, routers' words and relays on a host: one event loop over all their doors."""

import asyncio
import contextlib
import resource
import signal
import socket
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog
from aiohttp import web
from sqlalchemy import select

from engine.advertisements.advertiser import Advertiser, FrameDoor
from engine.desired import resolvers
from engine.metadata.answers import Answer, Answers, Question, page
from engine.metadata.doors import Door, Doors, Place, Places, Wires
from engine.metadata.identity import open_identity
from engine.metadata.places import HTTP, places_on
from engine.metadata.tokens import derive_secret
from engine.metadata.web_door import WebDoor
from engine.relays.relays import MakeListeners, Relays
from engine.resolver.doors import DatagramDoor, StreamDoor
from engine.resolver.resolver import Resolver
from engine.resolver.upstream import Upstream
from engine.secrets import open_vault
from engine.state import Region
from engine.state.database import Database
from settings import Settings

_SWEEP_SECONDS = 0.25
"""A guest takes longer than this from its launch to its first question."""
_THREADS = 4

log = structlog.get_logger()


class Service:
    """Answers requests on threads: neither a slow disk nor a signature keeps the loop from others."""

    def __init__(
        self,
        answers: Answers,
        resolver: Resolver,
        advertiser: Advertiser,
        relays: Relays,
        database: Database,
        listeners: Wires,
        hosts: Collection[str],
    ) -> None:
        self._answers = answers
        self._resolver = resolver
        self._advertiser = advertiser
        self._relays = relays
        self._database = database
        self._hosts = sorted(hosts)
        self._threads = ThreadPoolExecutor(_THREADS, "metadata")
        self._doors = Doors(listeners, self._door)
        self._blind = False

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set."""
        log.info("metadata service started", hosts=self._hosts)
        advertising = asyncio.create_task(self._advertiser.run())
        try:
            while not stop.is_set():
                await self._sweep()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _SWEEP_SECONDS)
        finally:
            advertising.cancel()
            await self._doors.close()
            await self._relays.close()
            self._resolver.close()
            self._threads.shutdown(wait=False, cancel_futures=True)
            log.info("metadata service stopped", hosts=self._hosts)

    async def _sweep(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            await self._doors.converge(await loop.run_in_executor(self._threads, self._places))
            await self._relays.converge()
            self._blind = False
        except Exception as error:
            # What is served goes on being served; the next sweep tries again, and there are four in a second.
            if not self._blind:
                log.error("cannot tell which VPCs to serve", error=str(error))
            self._blind = True

    def _places(self) -> dict[str, Places]:
        with self._database.read() as db:
            return places_on(db, self._hosts)

    def _door(self, vpc_id: str, place: Place) -> Door:
        if place.port == HTTP:
            return WebDoor(vpc_id, self.respond)
        if place.kind == "frames":
            return FrameDoor(vpc_id, self._advertiser)
        return (StreamDoor if place.kind == "stream" else DatagramDoor)(vpc_id, self._resolver)

    async def respond(self, vpc_id: str, request: web.BaseRequest) -> web.Response:
        """Answer a guest: the VPC whose door it came in by, and its address there, name the instance."""
        address = (request.remote or "").partition("%")[0]
        question = Question(vpc_id, address, request.method, request.path, request.headers)
        try:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._threads, self._answers.answer, question)
        except Exception:
            log.exception("cannot answer a request for metadata", vpc_id=vpc_id, address=question.address)
            answer = page(500)
        return _response(request, answer)


def _response(request: web.BaseRequest, answer: Answer) -> web.Response:
    headers = {"Server": "EC2ws", "Accept-Ranges": "none", **answer.headers}
    response = web.Response(status=answer.status, body=answer.body, content_type=answer.content_type, headers=headers)
    # As EC2 does; besides, the TTL that is set here is that of this answer and of no other.
    response.force_close()
    peer = request.transport.get_extra_info("socket") if request.transport else None
    if peer is not None and answer.hops is not None:
        version6 = peer.family == socket.AF_INET6
        level, option = (
            (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) if version6 else (socket.IPPROTO_IP, socket.IP_TTL)
        )
        peer.setsockopt(level, option, answer.hops)
    return response


async def serve(
    settings: Settings,
    database: Database,
    listeners: Wires,
    make_relays: MakeListeners,
    stop: asyncio.Event,
    hosts: Collection[str],
) -> None:
    """Serve the instances on ``hosts``, which are the names that this machine has, until ``stop``.

    Tokens are signed under the deployment's secret key; identity documents with the key in DATA/identity.
    """
    key_file = settings.data / "secret.key"
    open_vault(settings.secret_key, key_file)
    secret = derive_secret(settings.secret_key or key_file.read_text().strip())
    answers = Answers(database, secret, open_identity(settings.data / "identity"))
    resolver = Resolver(database, Upstream(lambda: resolvers(settings.guest_dns)))
    advertiser = Advertiser(database, hosts, listeners.router, settings.guest_mtu)
    relays = Relays(database, hosts, settings.guest_mtu, make_relays)
    await Service(answers, resolver, advertiser, relays, database, listeners, hosts).run(stop)


def run(settings: Settings) -> None:
    """Serve the metadata of this host's instances until SIGTERM or SIGINT. Raises HostError without a switch."""
    # Imported here: who has no guests has neither namespaces nor a switch.
    from engine.drivers.netns import MetadataListeners, RelayListeners
    from engine.fleet import local_host
    from engine.flow_logs.service import collecting
    from engine.host.bridges import INTEGRATION, read_switch

    datapath = read_switch().bridges.get(INTEGRATION, {}).get("datapath_type") or "system"
    owner = open_vault(settings.secret_key, settings.data / "secret.key").identity
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    database = Database(settings.database_url)
    try:
        with database.read() as db:
            regions = list(db.scalars(select(Region.name)))
        hosts = {local_host(region, regions) for region in regions}
        listeners = MetadataListeners(INTEGRATION, datapath, owner)
        make_relays = partial(RelayListeners, integration_bridge=INTEGRATION, datapath=datapath, owner=owner)
        with collecting(settings, database, hosts):
            asyncio.run(_until_signal(settings, database, listeners, make_relays, hosts))
    finally:
        database.close()


async def _until_signal(
    settings: Settings, database: Database, listeners: Wires, make_relays: MakeListeners, hosts: Collection[str]
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(settings, database, listeners, make_relays, stop, hosts)
