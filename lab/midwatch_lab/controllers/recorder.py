"""Events: what controllers and the kubelet say about objects. The same words about the same object are counted."""

from collections import OrderedDict
from typing import Final
from uuid import uuid4

from midwatch_lab.kinds.resources import EVENTS, NAMESPACES
from midwatch_lab.objects import Object, copied, is_terminating, name_of, namespace_of, uid_of
from midwatch_lab.registry.registry import Registry
from midwatch_lab.store.audit import Origin

_KEPT: Final = 2000


class Recorder:
    """Writes events; at most 2,000 are kept, the oldest go first."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._known: OrderedDict[tuple[str, ...], tuple[str, str]] = OrderedDict()
        for event in sorted(registry.store.items(EVENTS.key), key=_last_seen):
            self._known[_word_of(event)] = (namespace_of(event), name_of(event))

    def record(
        self, about: Object, kind: str, reason: str, message: str, *, component: str, field_path: str = ""
    ) -> None:
        """Say something about an object: `kind` is Normal or Warning, `component` says who speaks."""
        namespace = namespace_of(about) or "default"
        home = self.registry.store.get(NAMESPACES.key, "", namespace)
        if home is None or is_terminating(home):
            return
        word = (uid_of(about), kind, reason, message, component, field_path)
        origin = Origin(f"system:{component}", "create", EVENTS.path(namespace), manager=component)
        known = self._known.get(word)
        old = self.registry.find(EVENTS, *known) if known else None
        if old is not None:
            self._count(old, origin)
            return
        made = self.registry.create(EVENTS, namespace, self._event(about, word), origin)
        self._known[word] = (namespace, name_of(made))
        self._forget(origin)

    def _event(self, about: Object, word: tuple[str, ...]) -> Object:
        _, kind, reason, message, component, field_path = word
        now = self.registry.now_text()
        involved = {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": name_of(about),
            "namespace": namespace_of(about),
            "uid": uid_of(about),
            "resourceVersion": about["metadata"].get("resourceVersion", ""),
            "fieldPath": field_path,
        }
        return {
            "metadata": {"name": f"{name_of(about)}.{uuid4().hex[:16]}"},
            "involvedObject": {key: value for key, value in involved.items() if value},
            "reason": reason,
            "message": message,
            "type": kind,
            "source": {"component": component},
            "reportingComponent": component,
            "reportingInstance": "",
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }

    def _count(self, old: Object, origin: Origin) -> None:
        draft = copied(old)
        draft["count"] = int(draft.get("count", 1)) + 1
        draft["lastTimestamp"] = self.registry.now_text()
        path = EVENTS.path(namespace_of(old), name_of(old))
        self.registry.update(EVENTS, old, draft, Origin(origin.principal, "patch", path, manager=origin.manager))

    def _forget(self, origin: Origin) -> None:
        while len(self._known) > _KEPT:
            _, place = self._known.popitem(last=False)
            old = self.registry.find(EVENTS, *place)
            if old is not None:
                path = EVENTS.path(*place)
                self.registry.remove(EVENTS, old, Origin(origin.principal, "delete", path, manager=origin.manager))


def _last_seen(event: Object) -> str:
    return str(event.get("lastTimestamp") or "")


def _word_of(event: Object) -> tuple[str, ...]:
    """Return what `record` was told when it made an event, for those of an earlier life."""
    involved: Object = event.get("involvedObject", {})
    said = (event.get("type"), event.get("reason"), event.get("message"), event.get("reportingComponent"))
    return tuple(str(word or "") for word in (involved.get("uid"), *said, involved.get("fieldPath")))
