"""Rules of pod specifications, as they stand in Pods and in templates."""

from typing import Any, Final

from midwatch_lab import names
from midwatch_lab.kinds import rules
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object, dig
from midwatch_lab.quantity import parse
from midwatch_lab.status import duplicate, forbidden_field, invalid_value, required

_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc")
_NOT_OVERCOMMITTED: Final = ("hugepages-",)


def pod_spec(spec: Object, path: str, *, restart: tuple[str, ...] = ("Always", "OnFailure", "Never")) -> Faults:
    """Check a pod specification whose field path is `path`."""
    containers: list[Object] = spec.get("containers", [])
    if not containers:
        yield required(f"{path}.containers")
    volumes = {volume.get("name") for volume in spec.get("volumes", [])}
    seen: set[str] = set()
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(kind, [])):
            where = f"{path}.{kind}[{index}]"
            yield from _container(container, where, volumes)
            if container.get("name") in seen:
                yield duplicate(f"{where}.name", container["name"])
            seen.add(container.get("name", ""))
    yield from _ports(containers, path)
    yield from rules.one_of(spec, "restartPolicy", path, restart)
    yield from rules.one_of(spec, "dnsPolicy", path, ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"))
    yield from rules.non_negative(spec, "terminationGracePeriodSeconds", path)
    yield from rules.labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    for index, volume in enumerate(spec.get("volumes", [])):
        if fault := names.dns_label_fault(str(volume.get("name", ""))):
            yield invalid_value(f"{path}.volumes[{index}].name", volume.get("name", ""), fault)


def _container(container: Object, path: str, volumes: set[Any]) -> Faults:
    name = container.get("name", "")
    if not name:
        yield required(f"{path}.name")
    elif fault := names.dns_label_fault(name):
        yield invalid_value(f"{path}.name", name, fault)
    if not str(container.get("image", "")).strip():
        yield required(f"{path}.image")
    for index, port in enumerate(container.get("ports", [])):
        yield from _container_port(port, f"{path}.ports[{index}]")
    yield from _environment(container.get("env", []), f"{path}.env")
    for index, mount in enumerate(container.get("volumeMounts", [])):
        if mount.get("name") not in volumes:
            where = f"{path}.volumeMounts[{index}].name"
            name = str(mount.get("name", ""))
            yield required(where) if not name else _missing(where, name)
    yield from rules.one_of(container, "imagePullPolicy", path, ("Always", "IfNotPresent", "Never"))
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        if kind in container:
            yield from _probe(container[kind], f"{path}.{kind}", kind)
    yield from _resources(container.get("resources", {}), f"{path}.resources")


def _missing(where: str, name: str) -> Any:
    return type(required(where))(where, "FieldValueNotFound", f'Not found: "{name}"')


def _container_port(port: Object, path: str) -> Faults:
    for fault in names.port_name_faults(port["name"]) if port.get("name") else ():
        yield invalid_value(f"{path}.name", port["name"], fault)
    if not port.get("containerPort"):
        yield required(f"{path}.containerPort")
    else:
        yield from rules.port_number(port["containerPort"], f"{path}.containerPort")
    if port.get("hostPort"):
        yield from rules.port_number(port["hostPort"], f"{path}.hostPort")
    yield from rules.one_of(port, "protocol", path, ("SCTP", "TCP", "UDP"))


def _ports(containers: list[Object], path: str) -> Faults:
    for index, container in enumerate(containers):
        seen: set[str] = set()
        for place, port in enumerate(container.get("ports", [])):
            name = port.get("name")
            if name and name in seen:
                yield duplicate(f"{path}.containers[{index}].ports[{place}].name", name)
            seen.add(name or "")


def _environment(variables: list[Object], path: str) -> Faults:
    for index, variable in enumerate(variables):
        where = f"{path}[{index}]"
        name = str(variable.get("name", ""))
        if not name:
            yield required(f"{where}.name")
        elif "=" in name or not name.isprintable():
            detail = "a valid environment variable name must consist only of printable characters other than '='"
            yield invalid_value(f"{where}.name", name, detail)
        source = variable.get("valueFrom")
        if source is not None and variable.get("value"):
            yield invalid_value(f"{where}.valueFrom", "", "may not be specified when `value` is not empty")
        if source is not None and len(source) != 1:
            detail = (
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
            )
            yield invalid_value(f"{where}.valueFrom", "", detail)


def _probe(probe: Object, path: str, kind: str) -> Faults:
    handlers = [name for name in _HANDLERS if name in probe]
    if not handlers:
        yield required(path, "must specify a handler type")
    for extra in handlers[1:]:
        yield forbidden_field(f"{path}.{extra}", "may not specify more than 1 handler type")
    if "httpGet" in probe:
        action = probe["httpGet"]
        yield from rules.port_reference(action.get("port"), f"{path}.httpGet.port")
        yield from rules.one_of(action, "scheme", f"{path}.httpGet", ("HTTP", "HTTPS"))
    if "tcpSocket" in probe:
        yield from rules.port_reference(probe["tcpSocket"].get("port"), f"{path}.tcpSocket.port")
    for key in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        yield from rules.non_negative(probe, key, path)
    if kind != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        yield invalid_value(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def _resources(resources: Object, path: str) -> Faults:
    limits: Object = dig(resources, "limits", default={})
    requests: Object = dig(resources, "requests", default={})
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            if parse(amount) < 0:
                yield invalid_value(f"{path}.{kind}.{name}", amount, "must be greater than or equal to 0")
            elif (
                "/" not in name
                and name not in ("cpu", "memory", "ephemeral-storage")
                and not name.startswith("hugepages-")
            ):
                detail = "must be a standard resource type or fully qualified"
                yield invalid_value(f"{path}.{kind}", name, detail)
    for name, amount in requests.items():
        if name in limits and parse(amount) > parse(limits[name]):
            yield invalid_value(
                f"{path}.requests", amount, f"must be less than or equal to {name} limit of {limits[name]}"
            )
