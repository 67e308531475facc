"""Makes observations of two servers comparable: what a server sets anew each time becomes a stable placeholder.

Nothing is dropped: the same uid, version, address or generated name has the same placeholder wherever it stands, so
that "this changed" and "this stayed" are compared too.
"""

import json
import re
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, cast

_UID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_ADDRESS: Final = re.compile(r"\b10\.96\.\d+\.\d+\b")
_AGE: Final = re.compile(r"\d{1,2}s")
_NOW_S: Final = 3600
_GENERATED: Final = 5
_CUT: Final = 58
_QUOTED: Final = re.compile(r'"\{(?:[^"\\]|\\.)*"')
_CURRENT: Final = re.compile(r"(current: |too old resource version: \d+ \()\d+")


@dataclass
class _Names:
    """Placeholders of one sort, numbered in the order of first sight."""

    sort: str
    known: dict[str, str] = field(default_factory=dict[str, str])

    def of(self, value: str) -> str:
        return self.known.setdefault(value, f"<{self.sort} {len(self.known) + 1}>")


@dataclass
class Normaliser:
    """One side of one case."""

    scrubbed: list[tuple[str, str]]
    uids: _Names = field(default_factory=lambda: _Names("uid"))
    versions: _Names = field(default_factory=lambda: _Names("version"))
    addresses: _Names = field(default_factory=lambda: _Names("cluster ip"))
    node_ports: _Names = field(default_factory=lambda: _Names("node port"))
    generated: dict[str, str] = field(default_factory=dict[str, str])

    def of(self, observations: list[Any], before: list[Any]) -> list[Any]:
        """Return the observations with placeholders; those of what the case prepared come first."""
        self._learn([*before, *observations])
        for item in before:
            self._value(item, "")
        return [self._value(item, "") for item in observations]

    def _learn(self, value: Any) -> None:
        """Note the generated names, which also stand in messages and paths."""
        if isinstance(value, dict):
            known = cast("dict[str, Any]", value)
            prefix, name = known.get("generateName"), known.get("name")
            if isinstance(prefix, str) and isinstance(name, str) and len(name) == len(prefix[:_CUT]) + _GENERATED:
                self.generated.setdefault(name, f"{prefix}<generated {len(self.generated) + 1}>")
            for _, item in sorted(known.items()):
                self._learn(item)
        elif isinstance(value, list):
            for item in cast("list[Any]", value):
                self._learn(item)

    def _value(self, value: Any, key: str) -> Any:
        match value:
            case dict():
                return self._object(cast("dict[str, Any]", value))
            case list():
                return [self._value(item, key) for item in cast("list[Any]", value)]
            case str():
                return self._text(value, key)
            case int() if key == "nodePort" and value:
                return self.node_ports.of(str(value))
            case _:
                return value

    def _object(self, value: dict[str, Any]) -> dict[str, Any]:
        metadata, kind = value.get("metadata"), value.get("kind")
        if isinstance(metadata, dict) and isinstance(kind, str) and (kind.endswith("List") or kind == "Table"):
            # The version of a list is that of the whole store, in which others write too.
            value = _hidden_version(value)
        if value.get("type") == "BOOKMARK" and isinstance(value.get("object"), dict):
            shown = _hidden_version(value["object"])
            rows = [{**row, "object": _hidden_version(row.get("object") or {})} for row in shown.get("rows") or ()]
            value = {**value, "object": {**shown, **({"rows": rows} if rows else {})}}
        out = {self._text(key, ""): self._value(item, key) for key, item in sorted(value.items())}
        if isinstance(out.get("managedFields"), list):
            # The original sorts by time first, and a case may begin in one second and end in the next.
            out["managedFields"] = sorted(out["managedFields"], key=_manager)
        return out

    def _text(self, text: str, key: str) -> str:
        match key:
            case "resourceVersion" if text.isdigit() and text != "0":
                return self.versions.of(text)
            case "cells" if _AGE.fullmatch(text):
                return "<age>"
            case "continue" if text:
                return "<token>"
            case "clusterIP" | "clusterIPs" if text not in ("", "None"):
                return self.addresses.of(text)
            case "message":
                text = self._message(text)
            case _:
                pass
        for pattern, replacement in self.scrubbed:
            text = re.sub(pattern, replacement, text)
        text = _ADDRESS.sub(lambda found: self.addresses.of(found[0]), text)
        text = _UID.sub(lambda found: self.uids.of(found[0]), text)
        text = _TIME.sub(self._time, text)
        for name, shown in self.generated.items():
            text = text.replace(name, shown)
        return text

    def _message(self, text: str) -> str:
        text = _CURRENT.sub(r"\1N", text)
        # A whole object in a message has the order of a Go struct's fields, which JSON does not know.
        text = _QUOTED.sub(self._quoted, text)
        for version, shown in self.versions.known.items():
            text = re.sub(rf"(?<![\w.-]){version}(?![\w.-])", shown, text)
        return text

    def _quoted(self, found: re.Match[str]) -> str:
        try:
            obj = json.loads(json.loads(found[0]))
        except ValueError:
            return found[0]
        return json.dumps(self._value(obj, ""), sort_keys=True)

    @staticmethod
    def _time(found: re.Match[str]) -> str:
        near = abs(datetime.fromisoformat(found[0]).timestamp() - time.time()) < _NOW_S
        return f"<{'micro' if found[1] else ''}time>" if near else found[0]


def _hidden_version(obj: dict[str, Any]) -> dict[str, Any]:
    if "resourceVersion" not in obj.get("metadata", {}):
        return obj
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": "<the store's version>"}}


def _manager(entry: Any) -> tuple[str, ...]:
    return tuple(str(entry.get(key, "")) for key in ("operation", "manager", "apiVersion", "subresource"))


def differences(lab: Any, original: Any, path: str = "") -> list[str]:
    """Say where two values part, place by place."""
    if isinstance(lab, dict) and isinstance(original, dict):
        one, two = cast("dict[str, Any]", lab), cast("dict[str, Any]", original)
        found: list[str] = []
        for key in dict.fromkeys([*two, *one]):
            if key not in one:
                found.append(f"{path}.{key}: only the original: {_shown(two[key])}")
            elif key not in two:
                found.append(f"{path}.{key}: only the lab: {_shown(one[key])}")
            else:
                found += differences(one[key], two[key], f"{path}.{key}")
        return found
    if isinstance(lab, list) and isinstance(original, list):
        ones, twos = cast("list[Any]", lab), cast("list[Any]", original)
        found = []
        for index, (first, second) in enumerate(zip(ones, twos, strict=False)):
            found += differences(first, second, f"{path}[{index}]")
        if len(ones) != len(twos):
            tail = ones[len(twos) :] or twos[len(ones) :]
            found.append(f"{path}: {len(ones)} in the lab, {len(twos)} in the original; beyond: {_shown(tail)}")
        return found
    if lab == original and isinstance(lab, bool) is isinstance(original, bool):
        return []
    return [f"{path}:\n    lab      {_shown(lab)}\n    original {_shown(original)}"]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 1500 else text[:1500] + "…"
