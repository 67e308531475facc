"""`set_env`: environment variables of one container. A plan is kept and shown, so it holds no secret's value."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, field_validator

from midwatch_contracts.model import Model
from midwatch_mcp.redact import redact_text, secret_name
from midwatch_mcp.safe_apply.operations.base import WORKLOADS, WRITTEN_HERE, OperationKind, Touched, Undo, refuse
from midwatch_mcp.safe_apply.operations.pod_template import Container, container_of, put
from midwatch_mcp.safe_apply.ports import Write

VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,252}$")]
Source = Literal["secretKeyRef", "configMapKeyRef", "fieldRef", "resourceFieldRef", "fileKeyRef"]


class ValueFrom(Model):
    """`valueFrom` as Kubernetes has it: where the value comes from."""

    valueFrom: dict[Source, dict[str, JsonValue]] = Field(min_length=1, max_length=1)  # noqa: N815 (Kubernetes')


class SetEnv(Model):
    """`env`: new value by variable: text, `{valueFrom: {secretKeyRef: {name, key}}}`, or null to take it away."""

    container: str
    env: dict[VariableName, str | ValueFrom | None] = Field(min_length=1)
    place: dict[VariableName, int] = Field(default_factory=dict, json_schema_extra=WRITTEN_HERE)
    """Where an undo puts a variable back that the operation takes away: later ones may refer to earlier ones."""

    @field_validator("env")
    @classmethod
    def _no_secrets(cls, env: dict[str, str | ValueFrom | None]) -> dict[str, str | ValueFrom | None]:
        for name, value in env.items():
            if isinstance(value, str) and value and (secret_name(name) or redact_text(value) != value):
                raise ValueError(
                    f"{name} looks like a secret, and a plan is kept and shown: write "
                    "{valueFrom: {secretKeyRef: {name, key}}}"
                )
        return env


class SetEnvOperation(OperationKind[SetEnv]):
    """Rewrite `env` of one container, keeping the order of every other variable."""

    name = "set_env"
    about = "environment variables of one container (no secret's value: valueFrom); the pods restart"
    undone_by = "the variables as they were, at their places"
    example = {"container": "engine", "env": {"VLLM_LOGGING_LEVEL": "DEBUG", "OLD": None}}  # noqa: RUF012
    kinds = tuple(WORKLOADS)
    arguments = SetEnv

    def touched(self, args: SetEnv, value: Mapping[str, Any]) -> Touched:
        """Return each variable as it is."""
        container = container_of(value, args.container)
        found = {name: _find(container, name) for name in args.env}
        return {
            f"{container.place}/env[{name}]": [] if entry is None else [_meaning(entry[1])]
            for name, entry in found.items()
        }

    def pointers(self, args: SetEnv, value: Mapping[str, Any]) -> list[str]:
        """Return the list that is rewritten."""
        return [f"{container_of(value, args.container).pointer}/env"]

    def request(self, args: SetEnv, value: Mapping[str, Any]) -> Write:
        """Return a JSON patch of the list: a strategic one could not take `value` away beside a new `valueFrom`."""
        container = container_of(value, args.container)
        return Write("json", put(container, "env", _rewritten(args, container)))

    def undo(self, args: SetEnv, before: Mapping[str, Any], after: Mapping[str, Any]) -> Undo:
        """Return the variables as they were."""
        del after
        container = container_of(before, args.container)
        env: dict[str, Any] = {}
        place: dict[str, int] = {}
        for name, new in args.env.items():
            entry = _find(container, name)
            env[name] = None if entry is None else _kept(name, entry[1])
            if entry is not None and new is None:
                place[name] = entry[0]
        return self.name, {"container": args.container, "env": env, **({"place": place} if place else {})}


def _find(container: Container, name: str) -> tuple[int, dict[str, Any]] | None:
    found = [(index, entry) for index, entry in enumerate(container.list_of("env")) if entry.get("name") == name]
    if len(found) > 1:
        raise refuse(f"the variable {name} stands {len(found)} times: set_env rewrites one that stands once")
    return found[0] if found else None


def _meaning(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a variable means, without its name; an empty value is not written by the API server."""
    return {"valueFrom": entry["valueFrom"]} if "valueFrom" in entry else {"value": entry.get("value", "")}


def _kept(name: str, entry: Mapping[str, Any]) -> Any:
    """Return a variable as an undo writes it.

    Raises:
        RefusedChangeError: it holds a secret in plain text, which the plan would have to keep.
    """
    if "valueFrom" in entry:
        return {"valueFrom": entry["valueFrom"]}
    value = str(entry.get("value", ""))
    if value and (secret_name(name) or redact_text(value) != value):
        raise refuse(
            f"the present value of {name} looks like a secret in plain text, which the undo would have to keep"
        )
    return value


def _rewritten(args: SetEnv, container: Container) -> list[dict[str, Any]]:
    entries = container.list_of("env")
    for name in sorted(args.env, key=lambda name: args.place.get(name, -1)):
        new = args.env[name]
        at = next((index for index, entry in enumerate(entries) if entry.get("name") == name), None)
        if new is None:
            entries = [entry for entry in entries if entry.get("name") != name]
            continue
        written = {"name": name, "value": new} if isinstance(new, str) else {"name": name, **new.model_dump()}
        if at is not None:
            entries[at] = written
        else:
            entries.insert(args.place.get(name, len(entries)), written)
    return entries
