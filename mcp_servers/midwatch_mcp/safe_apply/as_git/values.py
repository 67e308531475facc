"""An operation through the values of a Helm chart: in the keys that make the fields which it changes.

The chart is not rendered. Of the object there is as much as the values say, by keys that the user names or that are
conventional (`helm create`, Bitnami); the operation is carried out on that, and what it changes must lie in those keys.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from midwatch_mcp.safe_apply.as_git.kustomize import split_image
from midwatch_mcp.safe_apply.as_git.manifests import Files
from midwatch_mcp.safe_apply.as_git.outcome import Wanted, outcome
from midwatch_mcp.safe_apply.as_git.written import Edited, as_object
from midwatch_mcp.safe_apply.classification import kinds
from midwatch_mcp.safe_apply.errors import GitError
from midwatch_mcp.safe_apply.values import same

Json = dict[str, Any]
Before = Callable[[Wanted, str], list[Any]]
"""Returns `[value]` of the last part of a field as the cluster has it now, or `[]` where that is not known."""

_CONTAINER = "spec.template.spec.containers"
_STEP = re.compile(r"([^.\[\]]+)(?:\[([^\[\]]+)\])?")
_CONVENTIONS: dict[str, tuple[str, ...]] = {
    "replicas": ("replicaCount", "replicas"),
    "image": ("image",),
    "resources": ("resources",),
    "env": ("env", "extraEnv", "extraEnvVars"),
    "args": ("args", "extraArgs"),
    "minReplicas": ("minReplicas",),
    "maxReplicas": ("maxReplicas",),
    "minAvailable": ("minAvailable",),
    "maxUnavailable": ("maxUnavailable",),
}
"""By the last part of a field, what the last part of its key is called."""


@dataclass(frozen=True)
class Way:
    """The values file, and key by field."""

    path: str
    keys: dict[str, str] = field(default_factory=dict[str, str])


def parsed_keys(given: list[str]) -> dict[str, str]:
    """Return key by field of `--set-key FIELD=KEY`.

    Raises:
        GitError: one is not of that form.
    """
    found: dict[str, str] = {}
    for one in given:
        where, _, key = one.partition("=")
        where = f"{_CONTAINER}{where.removeprefix('containers')}" if where.startswith("containers[") else where
        steps = where.split(".")
        if not key or not all(_STEP.fullmatch(step) for step in steps) or not all(key.split(".")):
            raise GitError(
                f"--set-key {one!r} is not of the form FIELD=KEY, such as spec.replicas=replicaCount or "
                "containers[NAME].image=image"
            )
        found[where] = key
    return found


def through_values(files: Files, way: Way, one: Wanted, before: Before) -> Edited:
    """Carry an operation out in a values file.

    Raises:
        GitError: it is not clear which keys make the fields that the operation changes.
    """
    number, values = _document(files, way)
    keys, notes = dict(way.keys), list[str]()
    for wanted in _fields(one):
        if wanted not in keys:
            keys[wanted], note = _inferred(values, wanted, before(one, wanted), (way.path, one))
            notes.append(note)
    mine = {where: key for where, key in keys.items() if _could_be(where, one)}
    old = _skeleton(values, mine, one)
    new = outcome(one, old)
    changed = values
    for where, key in mine.items():
        was, to = _at(old, where), _at(new, where)
        if not same(was, to):
            changed = _set(changed, key.split("."), _as_value(_get(values, key), to, (way.path, key)))
    if not same(_skeleton(changed, mine, one), new):
        said = ", ".join(mine) or "none"
        raise GitError(
            f"{one.id}: {one.said} changes more than the fields with a key in {way.path} ({said}): name them with "
            "--set-key FIELD=KEY"
        )
    files.put(way.path, number, changed)
    notes.append(f"{way.path}: the chart was not rendered; look at `helm template`")
    how = f"{', '.join(sorted(set(mine.values())))} in {way.path}"
    return Edited(one, as_object(old, one), as_object(new, one), how, tuple(notes))


def _document(files: Files, way: Way) -> tuple[int, Json]:
    files.repository.file(way.path)
    for number, value in enumerate(files.documents(way.path)):
        if isinstance(value, dict):
            return number, cast("Json", value)
    raise GitError(f"{way.path} holds no mapping of values")


def _fields(one: Wanted) -> list[str]:
    """Return the fields that an operation changes, as far as a convention may know their keys."""
    args = one.args
    match one.op:
        case "scale":
            return ["spec.replicas"]
        case "set_image":
            return [f"{_CONTAINER}[{name}].image" for name in args["images"]]
        case "set_resources" | "set_env" | "set_args":
            return [f"{_CONTAINER}[{args['container']}].{one.op.removeprefix('set_')}"]
        case "hpa_bounds":
            return [f"spec.{name}Replicas" for name in ("min", "max") if name in args]
        case "pdb":
            return [f"spec.{name}" for name in args]
        case _:
            return []


def _could_be(where: str, one: Wanted) -> bool:
    """Say whether a field is one of the object; of containers, those that the operation names."""
    named = re.match(re.escape(_CONTAINER) + r"\[([^\]]+)\]", where)
    return named is None or named[1] in one.args.get("images", {}) or named[1] == one.args.get("container")


def _inferred(values: Json, where: str, present: list[Any], at: tuple[str, Wanted]) -> tuple[str, str]:
    """Return the one key that makes a field by its name, and what there is to say of that."""
    path, one = at
    name = where.rpartition(".")[2]
    named = [key for key in _paths(values) if key.rpartition(".")[2] in _CONVENTIONS.get(name, ())]
    fitting = [key for key in named if not present or same(_plain(_get(values, key)), present)]
    if len(fitting) == 1:
        by = "by its name and present value" if present else "by its name alone: the cluster did not say what it is now"
        return fitting[0], f"{fitting[0]} of {path} was taken for {where} {by}"
    listed = ", ".join(fitting or named) or "none of a usual name"
    raise GitError(
        f"{one.id}: which key of {path} makes {where} is not clear ({listed}): say it with --set-key {where}=KEY"
    )


def _paths(values: Json, above: str = "") -> Iterator[str]:
    for key, item in values.items():
        yield above + key
        if isinstance(item, dict) and "." not in key:
            yield from _paths(cast("Json", item), f"{above}{key}.")


# Between values and the object


def _skeleton(values: Json, keys: Mapping[str, str], one: Wanted) -> Json:
    """Return as much of the object as the values say."""
    group = next((group for group, kind in kinds() if kind == one.target.kind), "")
    version = one.target.apiVersion or (f"{group}/v1" if group else "v1")
    found: Json = {"apiVersion": version, "kind": one.target.kind, "metadata": {"name": one.target.name}}
    for where, key in keys.items():
        value = _plain(_get(values, key), env=where.endswith(".env"))
        _put(found, where, value)
    return found


def _plain(found: list[Any], *, env: bool = False) -> list[Any]:
    """Return a value in the form that the object has it."""
    if not found or not isinstance(found[0], dict):
        return found
    value = cast("Json", found[0])
    if env:
        return [[{"name": name, "value": str(item)} for name, item in value.items()]]
    if "repository" in value:
        registry = f"{value['registry']}/" if value.get("registry") else ""
        tag = f":{value['tag']}" if value.get("tag") else ""
        digest = f"@{value['digest']}" if value.get("digest") else ""
        return [f"{registry}{value['repository']}{tag}{digest}"]
    return found


def _as_value(present: list[Any], to: list[Any], at: tuple[str, str]) -> list[Any]:
    """Return a value in the form that the values have it."""
    path, key = at
    if not to or not present or not isinstance(present[0], dict):
        return to
    value = cast("Json", present[0])
    if isinstance(to[0], list):
        variables = cast("list[Json]", to[0])
        if any("value" not in item for item in variables):
            raise GitError(f"{path}: {key} is a mapping of variables, which has no valueFrom")
        return [{item["name"]: item["value"] for item in variables}]
    if not isinstance(to[0], str):
        return to
    name, tag, digest = split_image(to[0])
    registry = str(value.get("registry") or "")
    if registry and not name.startswith(f"{registry}/"):
        raise GitError(f"{path}: {key}.registry is {registry}, and the new image is {to[0]}: set it by hand")
    parts = {"repository": name.removeprefix(f"{registry}/"), "tag": tag, "digest": digest}
    return [{**value, **{part: item for part, item in parts.items() if item or value.get(part)}}]


def _get(values: Any, key: str) -> list[Any]:
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            return []
        values = cast("Json", values)[part]
    return [values]


def _set(values: Json, steps: list[str], to: list[Any]) -> Json:
    first, *rest = steps
    if not rest:
        kept = {key: item for key, item in values.items() if key != first or to}
        return {**kept, first: to[0]} if to else kept
    below = values.get(first)
    return {**values, first: _set(cast("Json", below) if isinstance(below, dict) else {}, rest, to)}


def _steps(where: str) -> Iterator[tuple[str, str | None]]:
    for step in where.split("."):
        found = _STEP.fullmatch(step)
        if found is not None:
            yield found[1], found[2]


def _put(value: Json, where: str, to: list[Any]) -> None:
    """Give a field of the object a value; one of a container makes the container, too."""
    *above, (last, _) = _steps(where)
    for name, element in above:
        if element is None:
            value = value.setdefault(name, {})
            continue
        there = cast("list[Json]", value.setdefault(name, []))
        found = next((item for item in there if item.get("name") == element), None)
        if found is None:
            found = {"name": element}
            there.append(found)
        value = found
    if to:
        value[last] = to[0]


def _at(value: Any, where: str) -> list[Any]:
    for name, element in _steps(where):
        if not isinstance(value, dict) or name not in value:
            return []
        value = cast("Json", value)[name]
        if element is not None:
            value = next((item for item in cast("list[Json]", value) if item.get("name") == element), None)
    return [value]
