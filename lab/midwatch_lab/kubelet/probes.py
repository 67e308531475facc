"""Probes: a request or a connection to a container, and the count of how often in a row it went well or not."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from midwatch_lab.objects import Object

_OK: Final = range(200, 400)


@dataclass(frozen=True)
class Outcome:
    """How one probe went; `why` is empty when well."""

    ok: bool
    why: str = ""


def port_of(container: Object, reference: str | int) -> int | None:
    """Return a port of a container by number or name."""
    if isinstance(reference, int):
        return reference
    ports: list[Object] = container.get("ports", [])
    return next((int(port["containerPort"]) for port in ports if port.get("name") == reference), None)


async def probe_once(probe: Object, container: Object, ip: str) -> Outcome:
    """Probe once, within the probe's timeout."""
    seconds = float(probe.get("timeoutSeconds", 1))
    action: Object = probe.get("httpGet") or probe.get("tcpSocket") or {}
    port = port_of(container, action.get("port", 0))
    if not action or not port:
        return Outcome(ok=False, why="the lab probes by httpGet and tcpSocket only, on a port that the container has")
    host = str(action.get("host") or ip)
    url = f"http://{ip}:{port}{action.get('path', '')}"
    try:
        async with asyncio.timeout(seconds):
            if "httpGet" in probe:
                return await _get(host, port, str(action.get("path", "/")), action.get("httpHeaders", []))
            return await _connect(host, port)
    except TimeoutError:
        verb = f'Get "{url}": ' if "httpGet" in probe else f"dial tcp {host}:{port}: "
        return Outcome(
            ok=False, why=f"{verb}context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )
    except OSError as error:
        text = "connect: connection refused" if isinstance(error, ConnectionRefusedError) else str(error)
        prefix = f'Get "{url}": ' if "httpGet" in probe else ""
        return Outcome(ok=False, why=f"{prefix}dial tcp {host}:{port}: {text}")


async def _connect(host: str, port: int) -> Outcome:
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    return Outcome(ok=True)


async def _get(host: str, port: int, path: str, headers: list[Object]) -> Outcome:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        extra = "".join(f"{item['name']}: {item['value']}\r\n" for item in headers)
        head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: kube-probe/1.36\r\n"
        request = f"{head}{extra}Connection: close\r\n\r\n"
        writer.write(request.encode())
        await writer.drain()
        words = (await reader.readline()).split()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    if len(words) < 2 or not words[1].isdigit():  # noqa: PLR2004 (HTTP-version and status code)
        return Outcome(ok=False, why=f'Get "http://{host}:{port}{path}": malformed HTTP response')
    code = int(words[1])
    return Outcome(ok=True) if code in _OK else Outcome(ok=False, why=f"HTTP probe failed with statuscode: {code}")


@dataclass
class Threshold:
    """Turns single outcomes into a verdict, as successThreshold and failureThreshold say."""

    successes_needed: int
    failures_needed: int
    verdict: bool
    _successes: int = 0
    _failures: int = 0

    @classmethod
    def of(cls, probe: Object, *, initial: bool) -> "Threshold":
        """Make one from a probe."""
        return cls(int(probe.get("successThreshold", 1)), int(probe.get("failureThreshold", 3)), initial)

    def add(self, *, ok: bool) -> bool:
        """Count an outcome and return the verdict."""
        if ok:
            self._successes, self._failures = self._successes + 1, 0
            if self._successes >= self.successes_needed:
                self.verdict = True
        else:
            self._successes, self._failures = 0, self._failures + 1
            if self._failures >= self.failures_needed:
                self.verdict = False
        return self.verdict
