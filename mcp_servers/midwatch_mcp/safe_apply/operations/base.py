"""What an operation is: pure functions over the object as it was read (CONTRACTS §5)."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar, cast

from pydantic import ValidationError

from midwatch_contracts.model import Model
from midwatch_contracts.plan import Target
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.ports import View, Write
from midwatch_mcp.safe_apply.values import cleaned

ArgsT = TypeVar("ArgsT", bound=Model)

Touched = dict[str, list[Any]]
"""The values that an operation is about to replace, by place: `[value]`, or `[]` where there is none yet."""

Undo = tuple[str, dict[str, Any]]
"""(operation, args) that lead back."""

WORKLOADS: dict[str, str] = {"Deployment": "apps", "StatefulSet": "apps", "DaemonSet": "apps"}
"""Kinds with a pod template whose change the operations understand, and their API group."""

Proof = Literal["reading", "answer", "answer_once"]
"""How it is known that an operation was carried out. `reading`: the target shows it, whatever became of the answer.
`answer`: only the answer shows it, and sending it again does no harm. `answer_once`: only the answer shows it, and it
must not be sent again, so that without an answer it stays unknown for ever."""


@dataclass(frozen=True)
class Part:
    """One write of an operation that makes several; `before` and `after` are as much of the target as it looks at."""

    op: str
    target: Target
    args: dict[str, Any]
    uid: str
    """Empty for the operation's own target."""
    before: dict[str, Any]
    after: dict[str, Any]


class OperationKind(ABC, Generic[ArgsT]):
    """One operation by name. Nothing here reads, writes or waits."""

    name: ClassVar[str]
    about: ClassVar[str]
    """What it does, in one line for the person who drafts."""
    undone_by: ClassVar[str]
    """What leads back, in a few words; `nothing` for what is irreversible."""
    example: ClassVar[dict[str, Any]]
    """Arguments that a draft could hold."""
    kinds: ClassVar[tuple[str, ...]]
    """Kinds of target that it understands; `*` is any kind that the policy lets through."""
    arguments: type[ArgsT]

    verb: ClassVar[str] = "patch"
    subresource: ClassVar[str] = ""
    """Verb and subresource as the API server's access control knows them."""
    serving: ClassVar[bool] = False
    """Whether its target is a serving backend, `{serving: "Pod/ns/name"}`."""
    view: ClassVar[View] = "state"
    absence: ClassVar[bool] = False
    """Whether the absence of the object is one of its states. Such an operation knows its object by what `touched`
    returns, not by the uid alone."""
    proof: ClassVar[Proof] = "reading"
    patience_s: ClassVar[float] = 0.0
    """How long it waits for a target that asks to come back later, such as a disruption budget."""

    def parse(self, args: Mapping[str, Any]) -> ArgsT:
        """Read the arguments.

        Raises:
            RefusedChangeError: names each argument that does not fit, and those that there are.
        """
        try:
            return _strictly(self.arguments, dict(args))
        except (TypeError, ValueError) as error:
            raise self._unfit(error) from error

    def _unfit(self, error: TypeError | ValueError) -> RefusedChangeError:
        """Return the refusal of arguments."""
        if isinstance(error, ValidationError):
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'args'}: {e['msg']}" for e in error.errors())
        else:
            wrong = f"they are no JSON: {error}"
        return RefusedChangeError(
            "bad_draft",
            f"the arguments of {self.name} do not fit: {wrong}. It takes {', '.join(self.drafted())}, such as "
            f"{self.example} (`midwatch change operations {self.name}` says more)",
        )

    def drafted(self) -> list[str]:
        """Return the names of the arguments that a draft gives; the others are `change_propose`'s to write."""
        return [
            name for name, field in self.arguments.model_fields.items() if not written_here(field.json_schema_extra)
        ]

    @abstractmethod
    def touched(self, args: ArgsT, value: Mapping[str, Any]) -> Touched:
        """Return what is about to be replaced in `value`, by place."""

    @abstractmethod
    def request(self, args: ArgsT, value: Mapping[str, Any]) -> Write:
        """Return the write that carries the operation out on `value`."""

    @abstractmethod
    def undo(self, args: ArgsT, before: Mapping[str, Any], after: Mapping[str, Any]) -> Undo | None:
        """Return what leads back from `after`, the dry run's result, to `before`; None where nothing does."""

    def pointers(self, args: ArgsT, value: Mapping[str, Any]) -> Sequence[str]:
        """Return the JSON Pointers into `value` below which the operation changes something."""
        return list(self.touched(args, value))

    def predicted(self, args: ArgsT, value: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what `value` would become where the target has no dry run; None where it has one."""
        del args, value

    def shown(self, args: ArgsT, value: Mapping[str, Any], *, done: bool) -> dict[str, Any]:
        """Return what a diff shows of the target before the operation, or once it is `done`."""
        del args, done
        return cleaned(value)

    def parts(self, args: ArgsT, target: Target) -> Sequence[Part]:
        """Return the writes of an operation that makes several, in order; they are the plan's, and fixed."""
        del args, target
        return ()

    def notes(self, args: ArgsT) -> Sequence[str]:
        """Return what a person must know who approves it, from the arguments alone."""
        del args
        return ()


def _strictly(arguments: type[ArgsT], args: Mapping[str, Any]) -> ArgsT:
    """Read arguments as they are, with nothing taken for something else: `true` is no 1, `"4"` no 4, NaN no number.

    A whole number may come as a double, since expressions have no others (CONTRACTS §4).
    """
    try:
        return arguments.model_validate_json(json.dumps(args, allow_nan=False), strict=True)
    except ValidationError as error:
        try:
            return arguments.model_validate_json(json.dumps(_whole(args), allow_nan=False), strict=True)
        except ValidationError:
            raise error from None


def _whole(value: Any) -> Any:
    """Return JSON data with whole numbers as integers."""
    if isinstance(value, Mapping):
        return {key: _whole(item) for key, item in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_whole(item) for item in cast("Sequence[Any]", value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Nothing(Model):
    """Arguments of an operation that takes none."""


WRITTEN_HERE: dict[str, Any] = {"x-written-by": "change_propose"}
"""Marks an argument that no draft gives."""


def written_here(extra: Any) -> bool:
    """Say whether a field's extra schema marks it as written by `change_propose`."""
    return isinstance(extra, dict) and "x-written-by" in extra


def refuse(message: str) -> RefusedChangeError:
    """Return the refusal of what the envelope does not understand."""
    return RefusedChangeError("not_understood", message)
