"""Collects and delivers the flow logs of this host's guests, on two threads of whatever process asks for it."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread

import structlog
from sqlalchemy import select

from engine.flow_logs import rows
from engine.flow_logs.collector import Collector
from engine.flow_logs.counting import Counting, Wanted
from engine.flow_logs.deliveries import Deliveries
from engine.flow_logs.pending import Pending
from engine.flow_logs.rows import Facts
from engine.flow_logs.stores import UNKNOWN, open_store
from engine.flow_logs.writer import Writer
from engine.secrets import open_vault
from engine.state import FlowLog, now
from engine.state.database import Database
from settings import Settings

_AGAIN = 30.0
"""Seconds after which what could not be delivered is tried again."""

log = structlog.get_logger("groundfog.flow_logs")


@dataclass(frozen=True)
class Rows:
    """What the database tells (see ``collector.Rows``), and is told."""

    database: Database
    settings: Settings
    hosts: Collection[str]

    def wanted(self) -> Wanted:
        with self.database.read() as db:
            return rows.wanted(db, self.hosts)

    def facts(self) -> Facts:
        with self.database.read() as db:
            return rows.facts(db, self.settings, self.hosts)

    def known(self) -> set[str]:
        with self.database.read() as db:
            return set(db.scalars(select(FlowLog.id)))

    def note(self, said: Mapping[str, str]) -> None:
        """Keep of each log why its last delivery failed, or that it did not."""
        if not said:
            return
        with self.database.write() as db:
            for row in db.scalars(select(FlowLog).where(FlowLog.id.in_(said)).with_for_update()):
                row.error = said[row.id]
                if not row.error:
                    row.delivered = now()


@contextmanager
def collecting(settings: Settings, database: Database, hosts: Collection[str]) -> Iterator[None]:
    """Collect flow logs on this machine, whose names as a host are ``hosts``, for as long as the block lasts."""
    # Imported here: who has no guests has no need for what speaks to the kernel and to OVN.
    from engine.drivers.nftables import NftablesCounters
    from engine.drivers.ovn_log import AclLog
    from engine.host.bridges import taps

    root = settings.data / "flow-logs"
    pending = Pending(root / ".pending")
    known = Rows(database, settings, hosts)
    counters, drops = NftablesCounters(open_vault(settings.secret_key, settings.data / "secret.key").identity), AclLog()
    stop, ready = Event(), Event()
    writer = Writer(counters, drops, pending, ",".join(sorted(hosts)))
    collector = Collector(known, Counting(counters, taps), writer, ready.set)
    store = open_store(settings.flow_log_store, settings.flow_log_store_key, settings.flow_log_store_secret)
    deliveries = Deliveries(pending, root, store, known.known)
    threads = [
        Thread(target=collector.run, args=(stop,), name="flow-logs", daemon=True),
        Thread(
            target=_deliver, args=(deliveries, collector, known, ready, stop), name="flow-log-delivery", daemon=True
        ),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        ready.set()
        for thread in threads:
            thread.join(timeout=5)


def _deliver(deliveries: Deliveries, collector: Collector, known: Rows, ready: Event, stop: Event) -> None:
    while not stop.is_set():
        ready.wait(_AGAIN)
        ready.clear()
        try:
            said = deliveries.deliver()
            troubled = collector.troubled()
            known.note({id: word or (UNKNOWN if id in troubled else "") for id, word in said.items()})
        except Exception as error:
            log.error("cannot deliver flow logs now", error=repr(error))
            stop.wait(1)
