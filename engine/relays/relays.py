"""Opens and shuts the relays of this host as endpoints come and go."""

import asyncio
from collections.abc import Callable, Collection, Sequence

from engine.drivers.networking import Seat
from engine.metadata.doors import Door, Doors, Listeners, Place
from engine.relays.relay_door import RelayDoor
from engine.relays.seats import Relay, relays_on
from engine.state.database import Database

MakeListeners = Callable[[Callable[[str], Seat]], Listeners]
"""Makes what has namespaces for interfaces, from what says where an interface sits."""


class Relays:
    """For one event loop. ``mtu`` is that of the network, ``hosts`` the names that this machine has."""

    def __init__(self, database: Database, hosts: Collection[str], mtu: int, make_listeners: MakeListeners) -> None:
        self._database = database
        self._hosts = sorted(hosts)
        self._mtu = mtu
        self._relays: dict[str, Relay] = {}
        self._doors = Doors(make_listeners(lambda id: self._relays[id].seat), self._door)

    async def converge(self) -> None:
        """Begin whatever must be done to relay for these interfaces and no others."""
        self._relays = await asyncio.to_thread(self._look)
        await self._doors.converge({id: relay.places for id, relay in self._relays.items()})

    async def close(self) -> None:
        await self._doors.close()

    def _look(self) -> dict[str, Relay]:
        with self._database.read() as db:
            return relays_on(db, self._hosts, self._mtu)

    def _door(self, id: str, place: Place) -> Door:
        def servers() -> Sequence[str]:
            relay = self._relays.get(id)
            return relay.servers if relay is not None else ()

        return RelayDoor(id, servers)
