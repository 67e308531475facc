"""Services as real TCP balancers: connections to the cluster IP go to the ready endpoints in turn.

A port listens only while somebody is behind it, so that a Service without ready endpoints refuses connections.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from midwatch_lab.controllers.endpoints import SERVICE_NAME
from midwatch_lab.kinds.resources import ENDPOINT_SLICES, SERVICES
from midwatch_lab.objects import Object, dig, labels_of, name_of, namespace_of
from midwatch_lab.store.store import Change, Store

_LOG = logging.getLogger(__name__)
_CHUNK: Final = 64 * 1024
_RETRY_S: Final = 1.0

Address = tuple[str, int]


@dataclass
class _Port:
    """One listening address and what is behind it."""

    server: asyncio.Server
    backends: list[Address]
    turn: int = 0

    def next(self) -> list[Address]:
        """Return the backends in the order in which to try them; the first moves on with each call."""
        start = self.turn % len(self.backends)
        self.turn += 1
        return self.backends[start:] + self.backends[:start]


@dataclass
class Balancer:
    """Keeps one listening socket for each Service port that has ready endpoints."""

    store: Store
    node_addresses: tuple[str, ...] = ()
    """Where node ports listen."""
    _ports: dict[Address, _Port] = field(default_factory=dict[Address, _Port])
    _dirty: asyncio.Event = field(default_factory=asyncio.Event)
    _links: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    def _heard(self, change: Change) -> None:
        if change.key in (SERVICES.key, ENDPOINT_SLICES.key):
            self._dirty.set()

    async def run(self) -> None:
        """Follow Services and their endpoints until cancelled."""
        stop = self.store.listen(self._heard)
        self._dirty.set()
        try:
            while True:
                await self._dirty.wait()
                self._dirty.clear()
                await self._settle(dict(self._wanted()))
        finally:
            stop()
            for port in self._ports.values():
                port.server.close()
            links = list(self._links)
            for link in links:
                link.cancel()
            await asyncio.gather(*links, return_exceptions=True)

    def _wanted(self) -> Iterable[tuple[Address, list[Address]]]:
        slices: dict[tuple[str, str], list[Object]] = {}
        for item in self.store.items(ENDPOINT_SLICES.key):
            slices.setdefault((namespace_of(item), labels_of(item).get(SERVICE_NAME, "")), []).append(item)
        for service in self.store.items(SERVICES.key):
            address = dig(service, "spec", "clusterIP")
            if address in (None, "", "None"):
                continue
            mine = slices.get((namespace_of(service), name_of(service)), [])
            for port in dig(service, "spec", "ports", default=[]):
                backends = [found for item in mine for found in _ready(item, port.get("name", ""))]
                if backends and port.get("protocol", "TCP") == "TCP":
                    yield (str(address), int(port["port"])), backends
                    if port.get("nodePort"):
                        yield from (((node, int(port["nodePort"])), backends) for node in self.node_addresses)

    async def _settle(self, wanted: dict[Address, list[Address]]) -> None:
        for address in [address for address in self._ports if address not in wanted]:
            self._ports.pop(address).server.close()
        for address, backends in wanted.items():
            known = self._ports.get(address)
            if known is not None:
                known.backends = backends
                continue
            try:
                server = await asyncio.start_server(self._acceptor(address), *address)
            except OSError as error:
                _LOG.warning("service address %s:%d cannot be listened on: %s; trying again", *address, error)
                asyncio.get_running_loop().call_later(_RETRY_S, self._dirty.set)
                continue
            self._ports[address] = _Port(server, backends)

    def _acceptor(self, address: Address):  # noqa: ANN202 (the type is asyncio's own, and long)
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            link = asyncio.current_task()
            if link is not None:
                self._links.add(link)
            try:
                await self._link(address, reader, writer)
            finally:
                writer.close()
                if link is not None:
                    self._links.discard(link)

        return accepted

    async def _link(self, address: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = self._ports.get(address)
        for backend in port.next() if port is not None else ():
            try:
                inner_reader, inner_writer = await asyncio.open_connection(*backend)
            except OSError:
                continue
            try:
                await _both_ways(reader, writer, inner_reader, inner_writer)
            finally:
                inner_writer.close()
            return


async def _both_ways(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    inner_reader: asyncio.StreamReader,
    inner_writer: asyncio.StreamWriter,
) -> None:
    """Pipe until the pod has said all, or either side is gone: a client that hangs up ends its request at once."""
    there = asyncio.create_task(_pipe(reader, inner_writer))
    back = asyncio.create_task(_pipe(inner_reader, writer))
    try:
        await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        if there.done() and not back.done() and inner_writer.can_write_eof():
            with suppress(OSError):
                inner_writer.write_eof()
            await back
    finally:
        for task in (there, back):
            task.cancel()
        await asyncio.gather(there, back, return_exceptions=True)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()


def _ready(item: Object, port_name: str) -> list[Address]:
    number = next((p["port"] for p in item.get("ports", []) if p.get("name", "") == port_name), None)
    if number is None:
        return []
    ready = [entry for entry in item.get("endpoints", []) if dig(entry, "conditions", "ready")]
    return [(str(address), int(number)) for entry in ready for address in entry["addresses"]]
