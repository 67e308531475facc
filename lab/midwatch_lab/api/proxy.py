"""`pods/proxy` and `services/proxy`: requests streamed through to a pod, whatever their method."""

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote

import httpx2
from starlette.background import BackgroundTask
from starlette.responses import Response, StreamingResponse

from midwatch_lab import status
from midwatch_lab.api.call import Call
from midwatch_lab.errors import ApiError
from midwatch_lab.kinds.resources import ENDPOINT_SLICES, SERVICES
from midwatch_lab.objects import Object, dig, entity_of, labels_of
from midwatch_lab.registry.registry import Registry
from midwatch_lab.store.audit import Origin

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_NOT_FORWARDED: Final = frozenset({
    "host", "authorization", "connection", "content-length", "transfer-encoding", "te", "upgrade", "keep-alive",
    "accept-encoding",
})  # fmt: skip
_NOT_RETURNED: Final = frozenset(
    {"connection", "transfer-encoding", "keep-alive", "content-encoding", "content-length"}
)
_SLICE_OWNER: Final = "kubernetes.io/service-name"


def split_name(text: str) -> tuple[str, str]:
    """Split `[scheme:]name[:port]` as a proxy path has it into name and port."""
    parts = text.split(":")
    if len(parts) == 3:  # noqa: PLR2004 (scheme, name and port)
        if parts[0] not in ("", "http"):
            raise status.bad_request(f"the lab proxies http only, not {parts[0]}")
        return parts[1], parts[2]
    return parts[0], parts[1] if len(parts) > 1 else ""


class Proxy:
    """Streams requests to pods. Anything but GET, HEAD and OPTIONS is a write and goes into the audit."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        # It speaks http alone; reading the system's certificates would take 50 ms.
        self.client = httpx2.AsyncClient(timeout=None, limits=limits, trust_env=False, verify=False)

    async def close(self) -> None:
        """Let go of all connections."""
        await self.client.aclose()

    async def serve(self, call: Call) -> Response:
        """Answer with what the pod answers.

        Raises:
            ApiError: 404 for no such pod or service, 503 when nothing listens there.
        """
        name, port = split_name(call.target.name)
        obj = self.registry.read(call.resource, call.target.namespace, name)
        address = self._service_address(obj, port) if call.resource is SERVICES else _pod_address(obj, port)
        method = call.request.method
        if method not in _SAFE:
            query = call.request.query_params
            dry_run = query.get("dry_run") == "true" or query.get("dryRun") == "All"
            agent = call.request.headers.get("user-agent", "unknown").partition("/")[0]
            origin = Origin(call.user.name, call.verb, call.request.url.path, agent, dry_run, "proxy")
            self.registry.store.audit.append(origin, entity_of(obj), None, None)
        query_text = call.request.url.query
        url = f"http://{address}/{quote(call.target.rest, safe='/%:@!$&()*+,;=~')}" + (
            f"?{query_text}" if query_text else ""
        )
        headers = [(k, v) for k, v in call.request.headers.items() if k.lower() not in _NOT_FORWARDED]
        content: AsyncIterator[bytes] | None = call.request.stream() if method not in _SAFE else None
        if content is not None and call.request.headers.get("content-length"):
            headers.append(("content-length", call.request.headers["content-length"]))
        try:
            request = self.client.build_request(method, url, headers=headers, content=content)
            answer = await self.client.send(request, stream=True)
        except httpx2.TransportError as error:
            raise _unreachable(address, error) from error
        kept = {k: v for k, v in answer.headers.items() if k.lower() not in _NOT_RETURNED}
        return StreamingResponse(
            answer.aiter_bytes(), status_code=answer.status_code, headers=kept, background=BackgroundTask(answer.aclose)
        )

    def _service_address(self, service: Object, port: str) -> str:
        ports: list[Object] = dig(service, "spec", "ports", default=[])
        chosen = next((p for p in ports if port in ("", str(p.get("port")), p.get("name"))), None)
        name = service["metadata"]["name"]
        if chosen is None:
            raise status.unavailable(f'no service port "{port}" found for service "{name}"')
        for found in self.registry.store.items(ENDPOINT_SLICES.key, service["metadata"]["namespace"]):
            if labels_of(found).get(_SLICE_OWNER) != name:
                continue
            number = next(
                (p["port"] for p in found.get("ports", []) if p.get("name", "") == chosen.get("name", "")), None
            )
            ready = [e for e in found.get("endpoints", []) if dig(e, "conditions", "ready")]
            if ready and number:
                return f"{ready[0]['addresses'][0]}:{number}"
        raise status.unavailable(f'no endpoints available for service "{name}"')


def _pod_address(pod: Object, port: str) -> str:
    address = dig(pod, "status", "podIP")
    if not address:
        raise status.bad_request("address not allowed")
    ports = [p for container in dig(pod, "spec", "containers", default=[]) for p in container.get("ports", [])]

    if not port:
        number = ports[0]["containerPort"] if ports else 80
    elif port.isdigit():
        number = int(port)
    else:
        number = next((item["containerPort"] for item in ports if item.get("name") == port), 0)
    if not number:
        raise status.bad_request(f'the pod "{pod["metadata"]["name"]}" has no port "{port}"')
    return f"{address}:{number}"


def _unreachable(address: str, error: Exception) -> ApiError:
    return status.unavailable(f"error trying to reach service: dial tcp {address}: {error or type(error).__name__}")
