"""Extract the protobuf numbering of the API's types from the original's Go modules into `protobuf.json`.

    go mod download -json k8s.io/api@v0.36.3 …                  (prints each module's folder as `Dir`)
    python -m midwatch_lab.schemas.extract_protobuf DIR [DIR …]

The modules are `k8s.io/api`, `k8s.io/apimachinery`, `k8s.io/apiextensions-apiserver` and `k8s.io/metrics`. Numbers and
types of fields come from `generated.proto`; what JSON calls a field, whether it is folded into its parent and whether
a zero is left out come from the struct tags beside it. Read by `midwatch_lab.schemas.protobuf`.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

TARGET: Final = Path(__file__).with_name("protobuf.json")
_UNSTABLE: Final = re.compile(r"v\d+(alpha|beta)\d+$")
_KEPT_UNSTABLE: Final = frozenset({"metrics/v1beta1"})
_MESSAGE: Final = re.compile(r"^message (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD: Final = re.compile(r"^  (optional|repeated|map<string,) ?([.\w]+)>? (\w+) = (\d+);", re.MULTILINE)
_STRUCT: Final = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_TAGGED: Final = re.compile(r'^\t(?:\w+\s+)?([^\s`]+)\s+`json:"([^"]*)" protobuf:"\w+,(\d+),', re.MULTILINE)
_NUMBERS: Final = {"int32": "int", "int64": "int"}

Tags = dict[str, dict[str, tuple[str, str]]]
"""Struct name, then field number: the Go type and the JSON tag."""


def definition(package: str, message: str) -> str:
    """Return the name by which OpenAPI documents know a message."""
    return "io.k8s." + package.removeprefix("k8s.io.").replace("_", "-") + "." + message


def tags_of(folder: Path) -> Tags:
    """Return the struct tags of a Go package."""
    found: Tags = {}
    for file in folder.glob("*.go"):
        if file.name.startswith(("generated", "zz_")) or file.name.endswith("_test.go"):
            continue
        for struct, body in _STRUCT.findall(file.read_text("utf-8")):
            found[struct] = {number: (go_type, tag) for go_type, tag, number in _TAGGED.findall(body)}
    return found


def fields_of(package: str, body: str, tags: dict[str, tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Yield (number, [JSON name, type, flags]): `r` repeated, `m` map, `i` folded into its parent, `z` no zeros."""
    for label, word, name, number in _FIELD.findall(body):
        go_type, tag = tags.get(number, ("", f"{name},omitempty"))
        json_name, *options = tag.split(",")
        flags: str = {"repeated": "r", "optional": ""}.get(str(label), "m")
        inline = not json_name and "inline" in options
        flags += "i" if inline else "z" if "omitempty" in options and not go_type.startswith("*") else ""
        scalar = word in ("string", "bool", "bytes", "double", *_NUMBERS)
        qualified = word[1:] if word.startswith(".") else f"{package}.{word}"
        kind = _NUMBERS.get(str(word), str(word)) if scalar else definition(*qualified.rsplit(".", 1))
        yield number, [name if json_name in ("", "-") else json_name, kind, flags]


def extract(modules: list[Path]) -> dict[str, Any]:
    """Return `{version, kinds, messages}` of every stable API package in the modules."""
    kinds: dict[str, str] = {}
    messages: dict[str, Any] = {}
    for module in modules:
        for file in sorted(module.rglob("generated.proto")):
            folder = file.parent
            if folder.parent.name == "testapigroup":
                continue  # the original tests itself with it
            if _UNSTABLE.match(folder.name) and f"{folder.parent.name}/{folder.name}" not in _KEPT_UNSTABLE:
                continue
            text = re.sub(r"^\s*//.*\n", "", file.read_text("utf-8"), flags=re.MULTILINE)
            package = re.findall(r"^package ([\w.]+);", text, re.MULTILINE)[0]
            tags = tags_of(folder)
            group = _group_of(folder)
            for message, body in _MESSAGE.findall(text):
                name = definition(package, message)
                # A message without a struct stands for a named list of strings (`ExtraValue`, `Verbs`).
                messages[name] = dict(fields_of(package, body, tags[message])) if message in tags else "list"
                if group is not None and '"metadata"' in json.dumps(messages[name]):
                    kinds[f"{group}/{folder.name}".lstrip("/") + " " + message] = name
    version = modules[0].name.partition("@")[2]
    return {"version": version, "kinds": kinds, "messages": messages}


def _group_of(folder: Path) -> str | None:
    for file in folder.glob("*.go"):
        found = re.search(r'GroupName\s*=\s*"([^"]*)"', file.read_text("utf-8"))
        if found is not None:
            return found[1]
    return None


def _lines(table: dict[str, Any]) -> str:
    """Return the table with one message a line, so that another version shows as a small diff."""
    parts = [f' "version": {json.dumps(table["version"])}']
    for key in ("kinds", "messages"):
        rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(table[key].items()))
        parts.append(f' "{key}": {{\n{rows}\n }}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(_lines(extract([Path(word) for word in sys.argv[1:]])))
