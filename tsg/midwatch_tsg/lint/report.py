"""Where rules put what they find."""

from dataclasses import dataclass, field

from midwatch_tsg.model import Guide, Step
from midwatch_tsg.problem import Problem


@dataclass
class Report:
    """Problems of one file."""

    file: str
    found: list[Problem] = field(default_factory=list[Problem])

    def error(self, rule: str, where: Step | Guide | int, what: str, mend: str, *, at: str = "") -> None:
        """Add an error at a part (`at`) of a step or of the front matter, or on a line."""
        line, step = _place(where, at)
        self.found.append(Problem(self.file, line, "error", rule, what, mend, step))

    def warning(self, rule: str, where: Step | Guide | int, what: str, mend: str, *, at: str = "") -> None:
        """Add a warning."""
        line, step = _place(where, at)
        self.found.append(Problem(self.file, line, "warning", rule, what, mend, step))

    def sorted(self) -> list[Problem]:
        """Return the problems in the order of their lines, each once."""
        return sorted(set(self.found), key=lambda problem: (problem.line, problem.severity, problem.rule, problem.what))


def _place(where: Step | Guide | int, at: str) -> tuple[int, str | None]:
    match where:
        case Step():
            return where.line_of(at), where.id
        case Guide():
            return where.lines.get(at, 1), None
        case _:
            return where, None
