"""`set_args`: give one container's flags new values, keeping the form and the order of every other word."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.operations.base import WORKLOADS, WRITTEN_HERE, OperationKind, Touched, refuse
from midwatch_mcp.safe_apply.operations.flags import Flag, ListName, find, refuse_shell, written
from midwatch_mcp.safe_apply.ports import Write
from midwatch_mcp.safe_apply.values import escape

LISTS: tuple[ListName, ...] = ("command", "args")

FlagName = Annotated[str, Field(pattern=r"^--?[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Place(Model):
    """Where an undo puts a flag back that the operation takes away."""

    list: ListName
    index: int = Field(ge=0)
    joined: bool


class SetArgs(Model):
    """`args`: new value by flag; null takes the flag away, true writes it without a value."""

    container: str
    args: dict[FlagName, str | int | float | Literal[True] | None] = Field(min_length=1)
    place: dict[FlagName, Place] = Field(default_factory=dict, json_schema_extra=WRITTEN_HERE)


class SetArgsOperation(OperationKind[SetArgs]):
    """Rewrite flags of one container of a workload."""

    name = "set_args"
    about = "flags of one container; its pods restart"
    undone_by = "the flags as they were, at their places"
    example = {"container": "engine", "args": {"--max-num-seqs": "8"}}  # noqa: RUF012
    kinds = tuple(WORKLOADS)
    arguments = SetArgs

    def touched(self, args: SetArgs, value: Mapping[str, Any]) -> Touched:
        """Return the value of each flag: its place is the container and the flag, not a position in a list."""
        _, container = _container(value, args.container)
        found = {name: _find(container, name) for name in args.args}
        return {
            f"/spec/template/spec/containers[{args.container}]/{name}": [] if flag is None else [flag[1].value]
            for name, flag in found.items()
        }

    def pointers(self, args: SetArgs, value: Mapping[str, Any]) -> list[str]:
        """Return the lists that are rewritten."""
        index, container = _container(value, args.container)
        return [f"/spec/template/spec/containers/{index}/{escape(name)}" for name in _rewritten(args, container)]

    def request(self, args: SetArgs, value: Mapping[str, Any]) -> Write:
        """Return a strategic patch of the container's lists, which merges containers by name."""
        _, container = _container(value, args.container)
        patched = {"name": args.container, **_rewritten(args, container)}
        return Write("strategic", {"spec": {"template": {"spec": {"containers": [patched]}}}})

    def undo(self, args: SetArgs, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return `set_args` with the values as they were, and the places of flags that were taken away."""
        del after
        _, container = _container(before, args.container)
        values: dict[str, Any] = {}
        place: dict[str, Any] = {}
        for name, new in args.args.items():
            found = _find(container, name)
            values[name] = None if found is None else found[1].value
            if found is not None and (new is None or (new is True) != (found[1].value is True)):
                place[name] = {"list": found[0], "index": found[1].index, "joined": found[1].joined}
        return self.name, {"container": args.container, "args": values, **({"place": place} if place else {})}


def _container(value: Mapping[str, Any], name: str) -> tuple[int, Mapping[str, Any]]:
    spec = value.get("spec", {}).get("template", {}).get("spec", {})
    containers = cast("list[dict[str, Any]]", spec.get("containers") or [])
    for index, container in enumerate(containers):
        if container.get("name") == name:
            refuse_shell(container.get("command") or [], container.get("args") or [])
            return index, container
    names = ", ".join(str(container.get("name")) for container in containers) or "none"
    raise refuse(f"there is no container {name!r} in the pod template, only {names}")


def _find(container: Mapping[str, Any], name: str) -> tuple[ListName, Flag] | None:
    """Return the list and the place of a flag; one flag in both lists is refused."""
    found: list[tuple[ListName, Flag]] = []
    for which in LISTS:
        flag = find(container.get(which) or [], name)
        if flag is not None:
            found.append((which, flag))
    if len(found) > 1:
        raise refuse(f"the flag {name} stands in command and in args: set_args rewrites a flag that stands once")
    return found[0] if found else None


def _rewritten(args: SetArgs, container: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the lists that change, whole, in their new wording."""
    lists: dict[str, list[str]] = {which: list(container[which]) for which in LISTS if container.get(which)}
    changed: set[str] = set()
    back = sorted(args.args, key=lambda name: args.place[name].index if name in args.place else -1)
    for name in back:
        new = args.args[name]
        value = new if new is None or new is True else str(new)
        found = _find(lists, name)
        if found is not None:
            which, flag = found
            joined = args.place[name].joined if name in args.place else flag.joined
            words = [] if value is None else written(name, value, joined=joined)
            lists[which][flag.index : flag.index + flag.words] = words
        elif value is None:
            continue
        else:
            which, at, joined = _new_place(lists, args.place.get(name))
            lists.setdefault(which, [])[at:at] = written(name, value, joined=joined)
        changed.add(which)
    return {which: lists[which] for which in LISTS if which in changed}


def _new_place(lists: Mapping[str, list[str]], place: Place | None) -> tuple[ListName, int, bool]:
    """Return (list, index, joined) for a flag that is not there: where it once stood, or after the last word.

    The form is that of the neighbours, so that a person reads one style; a lone `--` stays last of all.
    """
    if place is not None:
        return place.list, place.index, place.joined
    which: ListName = "args" if lists.get("args") or not lists.get("command") else "command"
    words = lists.get(which, [])
    end = words.index("--") if "--" in words else len(words)
    flags = [word for word in words[:end] if word.startswith("--")]
    return which, end, bool(flags) and all("=" in word for word in flags)
