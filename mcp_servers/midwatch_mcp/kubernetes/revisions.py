"""The revisions of a workload, newest first, and in which settings two of them differ."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from midwatch_mcp.kubernetes.flags import beside_flags, containers_of, settings_of
from midwatch_mcp.kubernetes.room import KubeRoom, at, count, mapping, objects, owned_by, presented, selector_text, text
from midwatch_mcp.redact import REDACTED, harmless, secret_name

REVISION = "deployment.kubernetes.io/revision"
_HISTORY = "deployment.kubernetes.io/revision-history"
_CAUSE = "kubernetes.io/change-cause"
_HASH_LABELS = frozenset({"pod-template-hash", "controller-revision-hash"})
_READ_ELSEWHERE = frozenset({"name", "image", "env", "resources", "command", "args"})
"""Fields of a container that `settings_of` reads."""
_KEYS = ("name", "key", "containerPort", "mountPath", "ip", "devicePath", "topologyKey")
"""What tells the entries of a list apart, the first that all of them have."""
_VALUE_CHARACTERS = 300


@dataclass(frozen=True)
class KeptRevision:
    """One revision as the cluster keeps it: a ReplicaSet of a Deployment, a ControllerRevision of the others."""

    number: int
    item: Mapping[str, Any]
    """Redacted."""
    raw: Mapping[str, Any]
    """The pod template as it is, for comparing alone: nothing of it may leave the server."""

    @property
    def name(self) -> str:
        """Its object's name."""
        return text(self.item, "metadata", "name")

    @property
    def template(self) -> dict[str, Any]:
        """Its pod template, redacted."""
        return _template(self.item)

    @property
    def brought_back(self) -> bool:
        """Whether a rollback made an older revision the newest again."""
        return bool(text(self.item, "metadata", "annotations", _HISTORY))

    @property
    def cause(self) -> str:
        """What was written down as its cause."""
        return text(self.item, "metadata", "annotations", _CAUSE)

    @property
    def replicas(self) -> int | None:
        """Pods of it that are there, where its object tells."""
        found = at(self.item, "status", "replicas")
        return found if isinstance(found, int) else None


def _template(item: Mapping[str, Any]) -> dict[str, Any]:
    return mapping(item, "spec", "template") or mapping(item, "data", "spec", "template")


async def kept_revisions(room: KubeRoom, workload: Mapping[str, Any]) -> list[KeptRevision]:
    """Return the revisions that the cluster still keeps, newest first."""
    deployment = text(workload, "kind") == "Deployment"
    resource = await room.resource("ReplicaSet" if deployment else "ControllerRevision.apps")
    query = {"labelSelector": selector_text(mapping(workload, "spec", "selector")) or None}
    listed = await room.client.list(resource.path(text(workload, "metadata", "namespace")), query)
    uid = text(workload, "metadata", "uid")
    owned = [item for item in objects(listed["items"]) if owned_by(item, uid)]
    kept = [KeptRevision(number_of(item), presented(item), _template(item)) for item in owned]
    return sorted(kept, key=lambda revision: revision.number, reverse=True)


def number_of(item: Mapping[str, Any]) -> int:
    """Return the revision that a Deployment, ReplicaSet or ControllerRevision bears; 0 where it bears none."""
    written = text(item, "metadata", "annotations", REVISION)
    return int(written) if written.isdecimal() else count(item.get("revision"))


def differences(before: KeptRevision, after: KeptRevision) -> list[tuple[str, str, str | None, str | None]]:
    """Return (container, setting, before, after) for all in which two pod templates differ; secret values redacted.

    What differs is found on the templates as they are, so that a changed secret is named though its value is not.
    """
    old, new = template_settings(before.raw), template_settings(after.raw)
    shown_old, shown_new = template_settings(before.template), template_settings(after.template)
    return [
        (*key, _shown(key, old, shown_old), _shown(key, new, shown_new))
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    ]


def _shown(
    key: tuple[str, str], raw: Mapping[tuple[str, str], str], redacted: Mapping[tuple[str, str], str]
) -> str | None:
    if key not in raw:
        return None
    if key not in redacted or (key[1].startswith("--") and secret_name(key[1])):
        return REDACTED
    value = str(harmless(redacted[key]))
    return value if len(value) <= _VALUE_CHARACTERS else value[:_VALUE_CHARACTERS] + " ..."


def template_settings(template: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Return everything that a pod template sets, by (container, name); the container is empty for the pod itself."""
    found: dict[tuple[str, str], str] = {}
    for name, container in containers_of(template).items():
        found |= {(name, setting): value for setting, value in settings_of(container).items()}
        if beside := beside_flags(container):
            found[name, "command"] = " ".join(beside)
        rest = {key: value for key, value in container.items() if key not in _READ_ELSEWHERE}
        found |= {(name, path): value for path, value in _flat(rest)}
    spec = {
        key: value for key, value in mapping(template, "spec").items() if key not in {"containers", "initContainers"}
    }
    found |= {("", path): value for path, value in _flat(spec)}
    for part in ("labels", "annotations"):
        entries = mapping(template, "metadata", part)
        found |= {("", f"{part}.{key}"): str(value) for key, value in entries.items() if key not in _HASH_LABELS}
    return found


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, value) of the single values of JSON; entries of lists by what tells them apart."""
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        if not fields and path:
            yield path, "{}"
        for key, item in fields.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        entries = cast("list[Any]", value)
        key = next((k for k in _KEYS if entries and all(isinstance(e, Mapping) and k in e for e in entries)), None)
        if key is None or len({str(entry[key]) for entry in entries}) < len(entries):
            yield path, json.dumps(entries, separators=(",", ":"))
        else:
            for entry in entries:
                inner = {name: item for name, item in entry.items() if name != key} or {"present": True}
                yield from _flat(inner, f"{path}[{entry[key]}]")
    else:
        yield path, value if isinstance(value, str) else json.dumps(value)


SCALED = re.compile(r"^Scaled (?:up|down) replica set (\S+) (?:from (\d+) )?to (\d+)\b")
