"""A lab's API server behind the wire: two Deployments, a replica, metrics, and others who write as they please.

The judge reads the server's own audit, its store, and what the replica stored; it asks neither client nor journal.
"""

import copy
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from crash_world import write_kubeconfig
from midwatch_contracts.canonical import sha256_hex
from midwatch_lab.api.server import ApiServer
from midwatch_lab.api.users import bind_users, fresh_users
from midwatch_lab.kinds.resources import CONFIGMAPS, DEPLOYMENTS, NAMESPACES, PODS, Resource
from midwatch_lab.kubelet.logs import ContainerLog
from midwatch_lab.objects import Object
from midwatch_lab.plane import ControlPlane
from midwatch_lab.registry.registry import Registry
from midwatch_lab.status import forbidden
from midwatch_lab.store.audit import Origin
from midwatch_lab.store.journal import NoJournal
from midwatch_mcp.safe_apply.fake_world import QUERY, deployment
from storm import LateClock, Storm
from storm_wire import Sent, Wire

USER = "midwatch"
PERSONS = range(20, 31)
"""Numbers of replicas that only the person writes."""
CHAT, ROUTER, REPLICA, CREATED = (
    "Deployment/llm/chat",
    "Deployment/llm/router",
    "Pod/llm/chat-1",
    "ConfigMap/llm/limits",
)
_FURNITURE = Origin("admin", "create", "/furniture", manager="kubectl")


class Replica:
    """A serving backend's configuration (CONTRACTS §8): a version, an ETag, a conditional PATCH."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {"max_num_seqs": 4, "max_num_batched_tokens": 512}
        self.version = 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        values, version = self.values, self.version
        code = 200
        if request.method == "PATCH":
            if request.headers.get("if-match") != f'"{version}"':
                code = 412
            else:
                values, version = values | (await request.json())["values"], version + 1
                if "dry_run" not in request.query_params:
                    self.values, self.version = values, version
        body = orjson.dumps({"version": version, "values": values, "restart_required": []})
        response = Response(body, code, {"ETag": f'"{version}"'}, "application/json")
        await response(scope, receive, send)


class NoLogs:
    """A log source of a cluster that runs nothing."""

    def log_of(self, uid: str, container: str, *, previous: bool) -> ContainerLog | None:
        del uid, container, previous


@dataclass
class Metrics:
    """A Prometheus that answers one value, and the time of its newest scrape."""

    clock: LateClock
    value: float = 0.2
    stopped_at: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Request(scope, receive).query_params["query"]
        now = self.clock.now()
        newest = now if self.stopped_at is None else min(self.stopped_at, now)
        value = self.value if asked == QUERY else newest - newest % 1.0
        result: list[Any] = [{"metric": {}, "value": [now, str(value)]}]
        body = {"status": "success", "data": {"resultType": "vector", "result": result}}
        await Response(orjson.dumps(body), media_type="application/json")(scope, receive, send)


@dataclass
class StormWorld:
    """One cluster, set back to its beginning for each try."""

    clock: LateClock
    wire: Wire
    metrics: Metrics = field(init=False)
    replica: Replica = field(init=False)
    plane: ControlPlane = field(init=False)
    storm: Storm = field(init=False)

    def __post_init__(self) -> None:
        self.users, self.tokens = fresh_users()
        first = ControlPlane(self.clock)
        bind_users(first.registry)
        _furnish(first.registry)
        self._first = first.store
        self.enter(Storm(0))

    def enter(self, storm: Storm) -> None:
        """Begin anew, under a storm of its own."""
        self.storm, self.metrics, self.replica = storm, Metrics(self.clock), Replica()
        self.plane = ControlPlane(self.clock, NoJournal(self._first.saved()))
        registry = self.plane.registry
        self._admitted(registry)
        self._api = ApiServer(registry, self.clock, self.users, NoLogs())
        self._api.proxy.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(self.replica))
        self.wire.serve(self, storm, self._meddle)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.metrics if scope["path"].startswith("/prometheus/") else self._api
        await app(scope, receive, send)

    def kubeconfig(self, folder: Path) -> Path:
        file = folder / "kubeconfig"
        write_kubeconfig(file, f"http://127.0.0.1:{self.wire.port}", self.tokens[USER])
        return file

    def _admitted(self, registry: Registry) -> None:
        """Have webhooks see what Midwatch writes, dry runs too, before it is stored."""
        create, update = registry.create, registry.update

        def created(resource: Resource, namespace: str, obj: Object, origin: Origin, **more: Any) -> Object:
            return create(resource, namespace, self._through_webhooks(resource, obj, origin), origin, **more)

        def updated(resource: Resource, old: Object, obj: Object, origin: Origin, **more: Any) -> Object:
            return update(resource, old, self._through_webhooks(resource, obj, origin), origin, **more)

        registry.create, registry.update = created, updated

    def _through_webhooks(self, resource: Resource, obj: Object, origin: Origin) -> Object:
        if origin.principal != USER:
            return obj
        if self.storm.draw("webhook denies"):
            told = 'admission webhook "guard.example.com" denied the request: not on a Friday'
            raise forbidden(resource.plural, resource.group, obj["metadata"]["name"], told)
        if self.storm.draw("webhook mutates"):
            obj = copy.deepcopy(obj)
            if "replicas" in obj.get("spec", {}):
                obj["spec"]["replicas"] += 1
            if resource is CONFIGMAPS:
                obj["data"] |= {"queue": "1", "injected": "yes"}
        return obj

    def _meddle(self, sent: Sent) -> None:
        """Let others write while a request is on its way: a controller its status, a person a value now and then."""
        if sent.target.startswith("/prometheus/"):
            if self.storm.draw("metrics stop") and self.metrics.stopped_at is None:
                self.metrics.stopped_at = self.clock.now()
            return
        name = self.storm.rng.choice(("chat", "router", *[""] * 6))
        if not name:
            return
        generation = self.storm.rng.randint(1, 99)

        def observe(draft: Object) -> None:
            draft["status"] = {"observedGeneration": generation}

        controller = Origin("system:deployment-controller", "update", "/status", manager="kcm", subresource="status")
        self.plane.registry.modify(DEPLOYMENTS, "llm", name, observe, controller)
        if self.storm.begun and self.storm.draw("somebody writes") and self.storm.rng.random() < 0.2:
            replicas = self.storm.rng.choice(PERSONS)

            def decide(draft: Object) -> None:
                draft["spec"]["replicas"] = replicas

            self.plane.registry.modify(DEPLOYMENTS, "llm", name, decide, Origin("person", "update", "/", "kubectl"))

    # What the judge reads

    def touched(self) -> dict[str, Any]:
        """Return the values that the plan is about, as they are stored."""
        store = self.plane.store
        chat = self.plane.registry.read(DEPLOYMENTS, "llm", "chat")["spec"]["template"]["spec"]["containers"]
        made = store.get(CONFIGMAPS.key, "llm", "limits")
        return {
            CHAT: chat[1]["args"][1].partition("=")[2],
            ROUTER: self.plane.registry.read(DEPLOYMENTS, "llm", "router")["spec"]["replicas"],
            REPLICA: self.replica.values["max_num_seqs"],
            # What a webhook adds beside is none of the plan's; what it makes of what was given is.
            CREATED: None if made is None else {"queue": made["data"].get("queue")},
        }

    def taken(self) -> Counter[str]:
        """Return how many writes of each object the server took from Midwatch, by its audit, and the replica stored."""
        entries = self.plane.store.audit.entries()
        found = Counter(
            entry["object"]
            for entry in entries
            if entry["principal"] == USER and not entry["dry_run"] and entry["sha256_before"] != entry["sha256_after"]
        )
        return found + Counter({REPLICA: self.replica.version - 1})

    def rest(self) -> str:
        """Return a hash of everything in the namespaces of the platform that the plan is not about."""
        store = self.plane.store
        kept = {
            kind.plural: [one for one in store.items(kind.key) if one["metadata"]["name"] != "limits"]
            for kind in (CONFIGMAPS, PODS, NAMESPACES)
        }
        return sha256_hex(kept)


def _furnish(registry: Registry) -> None:
    registry.create(NAMESPACES, "", {"metadata": {"name": "llm"}}, _FURNITURE)
    for name in ("chat", "router"):
        registry.create(DEPLOYMENTS, "llm", deployment(name), _FURNITURE)
    container = {"name": "engine", "image": "engine:1", "ports": [{"name": "http", "containerPort": 8000}]}
    pod = {"metadata": {"name": "chat-1"}, "spec": {"containers": [container]}}
    registry.create(PODS, "llm", pod, _FURNITURE)

    def run(draft: Object) -> None:
        draft["status"] = {"phase": "Running", "podIP": "127.9.9.9"}

    kubelet = Origin("system:node", "update", "/status", manager="kubelet", subresource="status")
    registry.modify(PODS, "llm", "chat-1", run, kubelet)
