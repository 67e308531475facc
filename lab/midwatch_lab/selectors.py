"""Label and field selectors: parsing as the API server does, and matching."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from midwatch_lab import field_syntax, label_syntax
from midwatch_lab.errors import SelectorError
from midwatch_lab.objects import Object, dig


@dataclass(frozen=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: str
    """`in`, `notin`, `exists`, `!`, `gt` or `lt`."""
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels fulfil the condition."""
        value = labels.get(self.key)
        if self.operator == "in":
            return value in self.values
        match self.operator:
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                return self._compare(value)

    def _compare(self, value: str | None) -> bool:
        try:
            left, right = int(value or ""), int(next(iter(self.values)))
        except ValueError:
            return False
        return left > right if self.operator == "gt" else left < right


@dataclass(frozen=True)
class LabelSelector:
    """Conditions on labels, all of which must hold; none selects everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels fulfil every condition."""
        # A loop, since a list of thousands asks thousands of times.
        for requirement in self.requirements:  # noqa: SIM110 (`all` takes twice the time)
            if not requirement.matches(labels):
                return False
        return True

    @classmethod
    def of(cls, selector: Object | None) -> Self:
        """Make one from a LabelSelector object (`matchLabels`, `matchExpressions`)."""
        labels: dict[str, str] = dig(selector, "matchLabels", default={})
        found = [Requirement(key, "in", frozenset([value])) for key, value in labels.items()]
        operators = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
        for expression in dig(selector, "matchExpressions", default=[]):
            operator = operators.get(expression.get("operator"), "in")
            found.append(Requirement(expression.get("key", ""), operator, frozenset(expression.get("values", []))))
        return cls(tuple(found))

    @classmethod
    def of_map(cls, labels: Mapping[str, str] | None) -> Self:
        """Make one from a plain map, as a Service has it."""
        return cls(tuple(Requirement(key, "in", frozenset([value])) for key, value in (labels or {}).items()))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `a=b,c in (d,e),!f`.

        Raises:
            SelectorError: when the text does not parse.
        """
        return cls(tuple(Requirement(*term) for term in label_syntax.parse(text)))


def go_text(selector: Object | None) -> str:
    """Return a LabelSelector as Go prints the structure."""
    if selector is None:
        return "nil"
    labels = "".join(f"{key}: {value}," for key, value in sorted(dig(selector, "matchLabels", default={}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{item['key']},Operator:{item['operator']},"
        f"Values:[{' '.join(item.get('values', []))}],}},"
        for item in dig(selector, "matchExpressions", default=[])
    )
    inner = f"MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},"
    return f"&LabelSelector{{{inner}}}"


@dataclass(frozen=True)
class FieldSelector:
    """Conditions on fields: (path, value, whether they must be equal)."""

    conditions: tuple[tuple[str, str, bool], ...] = ()

    def matches(self, obj: Object) -> bool:
        """Tell whether the object fulfils every condition."""
        return all((_field(obj, path) == value) is equal for path, value, equal in self.conditions)

    @classmethod
    def parse(cls, text: str, kind: str, custom: tuple[str, ...] | None = None) -> Self:
        """Read `status.phase!=Running,metadata.name=x` for a kind; `custom` are the fields of a custom one.

        A kind whose fields have other names in a version is given as `Event.events.k8s.io`.

        Raises:
            SelectorError: when it does not parse, or the field cannot be selected on.
        """
        conditions: list[tuple[str, str, bool]] = []
        own = _SELECTABLE.get(kind, _SELECTABLE.get(kind.partition(".")[0])) if custom is None else custom
        allowed = ("metadata.name", "metadata.namespace", *(own or ()))
        for path, value, equal in field_syntax.parse(text):
            if path not in allowed:
                known = ': only "metadata.name", "metadata.namespace"' if own is None else ""
                quoted = f'"{path}"' if own is None else path
                prefix = (
                    "field label not supported: " + quoted if not known else quoted + " is not a known field selector"
                )
                raise SelectorError(prefix + known)
            conditions.append((path, value, equal))
        return cls(tuple(conditions))


_STORED_AS: Final = {"reportingController": "reportingComponent"}
_SELECTABLE: Final[dict[str, tuple[str, ...]]] = {
    "Pod": (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName",
    ),
    "Node": ("spec.unschedulable",),
    "Namespace": ("status.phase",),
    "Secret": ("type",),
    "Service": ("spec.clusterIP", "spec.type"),
    "Event": (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
        "reportingComponent", "source", "type",
    ),
    "Event.events.k8s.io": (
        "regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid", "regarding.apiVersion",
        "regarding.resourceVersion", "regarding.fieldPath", "reason", "reportingController", "type",
    ),
}  # fmt: skip


def _field(obj: Object, path: str) -> str:
    if path == "source":
        value: Any = dig(obj, "source", "component") or obj.get("reportingComponent", "")
    elif path.startswith("regarding."):
        value = dig(obj, *path.replace("regarding", "involvedObject", 1).split("."))
    else:
        value = dig(obj, *_STORED_AS.get(path, path).split("."))
    match value:
        case None:
            return "false" if path in ("spec.unschedulable", "spec.hostNetwork") else ""
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)
