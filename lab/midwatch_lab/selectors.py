"""Label and field selectors: parsing as the API server does, and matching."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from midwatch_lab.errors import SelectorError
from midwatch_lab.names import label_key_fault, label_value_fault
from midwatch_lab.objects import Object, dig

_TOKEN: Final = re.compile(r"\s*(!=|==|=|!|\(|\)|,|<|>|[^\s=!(),<>]+)")
_END: Final = "end of string"


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
        match self.operator:
            case "in":
                return value is not None and value in self.values
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
        return all(requirement.matches(labels) for requirement in self.requirements)

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
        return cls(tuple(_Parser(text).requirements()))


class _Parser:
    def __init__(self, text: str) -> None:
        self.words = _TOKEN.findall(text)
        self.place = 0

    def peek(self) -> str:
        return self.words[self.place] if self.place < len(self.words) else ""

    def take(self) -> str:
        word = self.peek()
        self.place += 1
        return word

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        if not self.words:
            return found
        while True:
            found.append(self.requirement())
            word = self.take()
            if not word:
                return found
            if word != ",":
                raise SelectorError(f"found '{word}', expected: ',' or '{_END}'")

    def requirement(self) -> Requirement:
        if self.peek() == "!":
            self.take()
            return Requirement(self.key(), "!")
        key = self.key()
        operator = self.peek()
        if operator in ("", ","):
            return Requirement(key, "exists")
        self.take()
        match operator:
            case "=" | "==":
                return Requirement(key, "in", frozenset([self.value()]))
            case "!=":
                return Requirement(key, "notin", frozenset([self.value()]))
            case "in" | "notin":
                return Requirement(key, operator, self.values())
            case ">" | "<":
                return Requirement(key, "gt" if operator == ">" else "lt", frozenset([self.value()]))
            case _:
                raise SelectorError(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def key(self) -> str:
        word = self.take()
        if fault := label_key_fault(word):
            raise SelectorError(f'unable to parse requirement: <nil>: Invalid value: "{word}": {fault}')
        return word

    def value(self) -> str:
        if self.peek() in ("", ","):
            return ""
        word = self.take()
        if fault := label_value_fault(word):
            raise SelectorError(f'unable to parse requirement: values[0]: Invalid value: "{word}": {fault}')
        return word

    def values(self) -> frozenset[str]:
        if self.take() != "(":
            found_word = self.words[self.place - 1] if self.place <= len(self.words) else ""
            raise SelectorError(f"unable to parse requirement: found '{found_word}' expected: '('")
        found: set[str] = set()
        while True:
            word = self.take()
            if not word:
                raise SelectorError(f"found '{_END}', expected: ',', or ')'")
            if word == ")":
                return frozenset(found or {""})
            if word != ",":
                found.add(word)


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

        Raises:
            SelectorError: when it does not parse, or the field cannot be selected on.
        """
        conditions: list[tuple[str, str, bool]] = []
        own = _SELECTABLE.get(kind) if custom is None else custom
        allowed = ("metadata.name", "metadata.namespace", *(own or ()))
        for part in filter(None, text.split(",")):
            found = re.fullmatch(r"([^=!]+)(!=|==|=)(.*)", part)
            if found is None:
                raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
            path = found[1]
            if path not in allowed:
                known = ': only "metadata.name", "metadata.namespace"' if own is None else ""
                quoted = f'"{path}"' if own is None else path
                prefix = (
                    "field label not supported: " + quoted if not known else quoted + " is not a known field selector"
                )
                raise SelectorError(prefix + known)
            conditions.append((path, found[3], found[2] != "!="))
        return cls(tuple(conditions))


_SELECTABLE: Final[dict[str, tuple[str, ...]]] = {
    "Pod": (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName",
    ),
    "Node": ("spec.unschedulable",),
    "Namespace": ("status.phase",),
    "Secret": ("type",),
    "Service": ("spec.clusterIP", "spec.type"),
    "ReplicaSet": ("status.replicas",),
    "Event": (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
        "reportingComponent", "source", "type", "regarding.kind", "regarding.name", "regarding.namespace",
        "regarding.uid",
    ),
}  # fmt: skip


def _field(obj: Object, path: str) -> str:
    if path == "source":
        value: Any = dig(obj, "source", "component") or obj.get("reportingComponent", "")
    elif path.startswith("regarding."):
        value = dig(obj, *path.replace("regarding", "involvedObject", 1).split("."))
    else:
        value = dig(obj, *path.split("."))
    match value:
        case None:
            return "false" if path in ("spec.unschedulable", "spec.hostNetwork") else ""
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)
