"""`exec`: a command in a container. What it did, only its answer tells; it is never sent twice."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, field_validator

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.operations.base import OperationKind, Touched
from midwatch_mcp.safe_apply.ports import Write

Word = Annotated[str, Field(max_length=4096)]
_RAN = "/ran"


class Exec(Model):
    """`argv`: program and arguments, no shell unless argv names one. `exit_codes`: which mean that it went well."""

    argv: tuple[Word, ...] = Field(min_length=1, max_length=128)
    container: str = ""
    """Default: the pod's only container, or the one that it names as its default."""
    timeout_s: float = Field(default=30.0, gt=0, le=240)
    exit_codes: tuple[Annotated[int, Field(ge=0, le=255)], ...] = (0,)

    @field_validator("argv")
    @classmethod
    def _words(cls, argv: tuple[str, ...]) -> tuple[str, ...]:
        if not argv[0].strip() or (len(argv) == 1 and " " in argv[0].strip()):
            raise ValueError('write one word an element, ["ls", "-l"]; a shell line is ["sh", "-c", "..."]')
        return argv


class ExecOperation(OperationKind[Exec]):
    """Run a command."""

    name = "exec"
    about = "run a command in a container; its output is kept with the change"
    undone_by = "nothing"
    example = {"argv": ["cat", "/proc/meminfo"], "container": "engine"}  # noqa: RUF012
    kinds = ("Pod",)
    arguments = Exec
    verb = "create"
    subresource = "exec"
    proof = "answer_once"

    def touched(self, args: Exec, value: Mapping[str, Any]) -> Touched:
        """Return that nothing tells beforehand or afterwards: the pod alone is looked at."""
        del args, value
        return {_RAN: []}

    def request(self, args: Exec, value: Mapping[str, Any]) -> Write:
        """Return the command."""
        del value
        return Write("exec", args.model_dump(mode="json"))

    def undo(self, args: Exec, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Return that there is none."""
        del args, before, after

    def predicted(self, args: Exec, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the pod as it is: a command has no dry run."""
        del args
        return dict(value)

    def shown(self, args: Exec, value: Mapping[str, Any], *, done: bool) -> dict[str, Any]:
        """Return the command, which a person must see whole."""
        del value
        return {"ran": {"container": args.container, "argv": list(args.argv)}} if done else {}

    def notes(self, args: Exec) -> Sequence[str]:
        """Say what no preview can."""
        return [f"what {args.argv[0]} does in {args.container} cannot be tried beforehand, nor undone"]
