"""From a container's spec to a process: its command line and its environment."""

import base64
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from midwatch_lab.errors import LabError
from midwatch_lab.kinds.resources import CONFIGMAPS, SECRETS
from midwatch_lab.objects import Object, dig, name_of, namespace_of
from midwatch_lab.quantity import parse
from midwatch_lab.registry.registry import Registry

DEFAULT_PORT: Final = 8000
_INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "MIDWATCH_INCIDENT")
"""The last is a mark by which whoever started the lab can count from outside what is left running."""
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_REFERENCE: Final = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")


class ContainerConfigError(LabError):
    """A container's environment cannot be made: what it refers to is missing."""


class ImageMissingError(LabError):
    """A container's image cannot be pulled; the text is the image."""


@dataclass(frozen=True)
class ContainerContext:
    """What a container is to be started from."""

    pod: Object
    container: Object
    ip: str
    port: int
    """The first containerPort, 8000 where there is none."""
    arguments: tuple[str, ...]
    """`command` and `args`, with `$(NAME)` filled in."""


ProcessCommand: TypeAlias = Callable[[ContainerContext], Sequence[str]]
"""From a context to the command line of the process that plays the container; may raise `ImageMissingError`."""


def serving_command(context: ContainerContext) -> Sequence[str]:
    """Run the reference backend with the container's flags; what stands before the first flag is the image's business.

    So `vllm serve MODEL --max-num-seqs=4` and `--max-num-seqs=4` alone start the same process.
    """
    words = list(context.arguments)
    first = next((index for index, word in enumerate(words) if word.startswith("--")), len(words))
    place = ["--host", context.ip, "--port", str(context.port), "--exit-with-stdin"]
    return [sys.executable, "-m", "midwatch_serving", *words[first:], *place]


def context_of(pod: Object, container: Object, ip: str, environment: dict[str, str]) -> ContainerContext:
    """Return the context of a container whose environment is known."""
    ports: list[Object] = container.get("ports", [])
    port = int(ports[0]["containerPort"]) if ports else DEFAULT_PORT
    words: list[str] = [*container.get("command", []), *container.get("args", [])]
    return ContainerContext(pod, container, ip, port, tuple(expanded(word, environment) for word in words))


def expanded(text: str, environment: dict[str, str]) -> str:
    """Fill in `$(NAME)`; what is not known stays as it is, and `$$` is a dollar sign."""

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else environment.get(found[1], found[0])

    return _REFERENCE.sub(value, text)


def environment_of(registry: Registry, pod: Object, container: Object, ip: str) -> dict[str, str]:
    """Return the variables that the container's spec gives, in order, each able to refer to those before it.

    Raises:
        ContainerConfigError: when a ConfigMap, Secret or key is missing and not optional.
    """
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        prefix = source.get("prefix", "")
        data = _source(registry, pod, source.get("configMapRef"), source.get("secretRef"))
        found |= {prefix + key: value for key, value in data.items()}
    for variable in container.get("env", []):
        if "valueFrom" in variable:
            value = _value_from(registry, pod, container, variable["valueFrom"], ip)
            if value is not None:
                found[variable["name"]] = value
        else:
            found[variable["name"]] = expanded(variable.get("value", ""), found)
    return found


def process_environment(container: Object, given: dict[str, str]) -> dict[str, str]:
    """Return the environment of the process: little of ours, then the CPU limit, then what the spec gives."""
    base = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    base["PYTHONUNBUFFERED"] = "1"
    limit = dig(container, "resources", "limits", "cpu")
    threads = 1
    if limit is not None:
        cores = float(parse(limit))
        base["MIDWATCH_CPU_LIMIT"] = f"{cores:g}"
        threads = max(1, math.ceil(cores))
    return base | dict.fromkeys(_THREADS, str(threads)) | given


def _source(registry: Registry, pod: Object, config: Object | None, secret: Object | None) -> dict[str, str]:
    reference = config or secret or {}
    resource = CONFIGMAPS if config is not None else SECRETS
    obj = registry.find(resource, namespace_of(pod), str(reference.get("name", "")))
    if obj is None:
        if reference.get("optional"):
            return {}
        raise ContainerConfigError(f'{resource.singular} "{reference.get("name", "")}" not found')
    data: dict[str, str] = obj.get("data", {})
    if resource is CONFIGMAPS:
        return data
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}


def _value_from(registry: Registry, pod: Object, container: Object, source: Object, ip: str) -> str | None:
    if "fieldRef" in source:
        return _field(pod, str(source["fieldRef"].get("fieldPath", "")), ip)
    if "resourceFieldRef" in source:
        kind, _, name = str(source["resourceFieldRef"].get("resource", "")).partition(".")
        amount = dig(container, "resources", kind, name)
        return None if amount is None else str(math.ceil(parse(amount)))
    config, secret = source.get("configMapKeyRef"), source.get("secretKeyRef")
    reference: Object = config or secret or {}
    data = _source(registry, pod, config, secret)
    key = str(reference.get("key", ""))
    if key in data:
        return data[key]
    if reference.get("optional"):
        return None
    raise ContainerConfigError(f"couldn't find key {key} in {'ConfigMap' if config else 'Secret'} {reference['name']}")


def _field(pod: Object, path: str, ip: str) -> str:
    known: dict[str, Any] = {
        "metadata.name": name_of(pod),
        "metadata.namespace": namespace_of(pod),
        "status.podIP": ip,
        "status.hostIP": dig(pod, "status", "hostIP", default=""),
    }
    found = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if found is not None:
        return str(dig(pod, "metadata", found[1], found[2], default=""))
    return str(known[path] if path in known else dig(pod, *path.split("."), default=""))
