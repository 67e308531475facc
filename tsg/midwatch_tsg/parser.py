"""From Markdown to a guide: front matter, sections `## id: title`, and in each one fenced `step` block.

Everything wrong is collected and reported at once, each with file, line, what and how to mend. Sections without an id
and a block are prose.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from markdown_it import MarkdownIt

from midwatch_tsg.fields import NAME, STEP_ID, Fields, Problems
from midwatch_tsg.model import Guide, Input, InputType, Step
from midwatch_tsg.problem import Problem
from midwatch_tsg.steps import build
from midwatch_tsg.strict_yaml import Document, YamlError, load

if TYPE_CHECKING:
    from markdown_it.token import Token

MAX_BYTES = 1_000_000
_SECTION = re.compile(r"([^\s:`]+):\s+(\S.*)")
_INPUT_TYPES = ("string", "number", "duration", "boolean")
_UNITS = ("seconds", "bytes", "cores", "ratio", "count", "per_second")
_SOURCE = re.compile(r"alert\.(labels|annotations)\.[A-Za-z_][A-Za-z0-9_]*")


@dataclass
class _Section:
    heading: str
    line: int
    blocks: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    prose: list[str] = field(default_factory=list[str])


def parse(text: str, file: str) -> tuple[Guide | None, list[Problem]]:
    """Return the guide, as far as it can be read, and what is wrong with it.

    The guide is None when it has no usable front matter or no step at all.
    """
    problems = Problems(file)
    if len(text.encode()) > MAX_BYTES:
        problems.error("file.size", 1, f"the file has more than {MAX_BYTES} bytes", "split the guide")
        return None, problems.found
    front, body, body_line = _split(text)
    if front is None:
        problems.error("front.missing", 1, "there is no front matter", "start with `---`, `id: …`, `title: …`, `---`")
        return None, problems.found
    document = _yaml(front, 2, problems)
    sections = _sections(body, body_line, problems)
    steps = _steps(sections[1:], problems)
    if document is None:
        return None, problems.found
    guide = _guide(document, tuple(steps), sections[0].prose, problems, text)
    if not steps:
        problems.error("flow.no_step", 1, "the guide has no step", "add a section `## id: title` with a `step` block")
        return None, problems.found
    return guide, problems.found


def _split(text: str) -> tuple[str | None, str, int]:
    lines = text.removeprefix("\ufeff").splitlines(keepends=True)
    if not lines or lines[0].rstrip() != "---":
        return None, text, 1
    for index, line in enumerate(lines[1:], start=1):
        if line.rstrip() == "---":
            return "".join(lines[1:index]), "".join(lines[index + 1 :]), index + 2
    return None, text, 1


def _yaml(text: str, first_line: int, problems: Problems) -> Document | None:
    try:
        document = load(text, first_line)
    except YamlError as error:
        problems.error("yaml", error.line, error.what, error.mend)
        return None
    if not isinstance(document.data, dict):
        problems.error("yaml.shape", first_line, "a mapping is needed here", "write `key: value` lines")
        return None
    return document


def _sections(body: str, body_line: int, problems: Problems) -> list[_Section]:
    """Return what stands before the first heading of level two, then each section."""
    sections = [_Section("", body_line)]
    tokens: list[Token] = MarkdownIt("commonmark").parse(body)
    for index, token in enumerate(tokens):
        line = body_line + (token.map[0] if token.map else 0)
        if token.type == "heading_open" and token.tag == "h2":
            sections.append(_Section(tokens[index + 1].content, line))
        elif token.type == "fence" and token.info.split()[:1] == ["step"]:
            if len(sections) == 1:
                problems.error(
                    "step.outside", line, "a `step` block before any section", "put a `## id: title` above it"
                )
            sections[-1].blocks.append((token.content, line + 1))
        elif token.type == "inline" and tokens[index - 1].type != "heading_open":
            sections[-1].prose.append(token.content)
    return sections


def _steps(sections: list[_Section], problems: Problems) -> list[Step]:
    steps: list[Step] = []
    seen: dict[str, int] = {}
    for section in sections:
        found = _SECTION.fullmatch(section.heading)
        if found is None:
            if section.blocks:
                problems.error(
                    "step.heading", section.line, "a section with a `step` block needs an id", "write `## id: title`"
                )
            continue
        step_id, title = found.groups()
        problems.step = step_id
        if not STEP_ID.fullmatch(step_id):
            problems.error(
                "step.id", section.line, f"`{step_id}` is no step id", "use lower-case letters, digits, - and _"
            )
        elif step_id in seen:
            where = f"the section on line {seen[step_id]} has it too"
            problems.error("step.duplicate", section.line, f"the id `{step_id}` stands twice", f"rename one: {where}")
        elif len(section.blocks) != 1:
            what = "two `step` blocks" if section.blocks else "no `step` block"
            problems.error("step.block", section.line, f"the section has {what}", "give each section one")
        else:
            seen[step_id] = section.line
            document = _yaml(*section.blocks[0], problems)
            step = None if document is None else build(step_id, title, "\n\n".join(section.prose), document, problems)
            steps.extend([] if step is None else [step])
        seen.setdefault(step_id, section.line)
        problems.step = None
    return steps


def _guide(document: Document, steps: tuple[Step, ...], prose: list[str], problems: Problems, text: str) -> Guide:
    fields = Fields(document, (), problems)
    guide_id = fields.text("id", required=True) or ""
    if guide_id and not STEP_ID.fullmatch(guide_id):
        fields.problem("front.id", f"`{guide_id}` is no guide id", "use lower-case letters, digits, - and _", "id")
    title = fields.text("title", required=True) or ""
    alerts: tuple[str, ...] = ()
    symptoms: tuple[str, ...] = ()
    if "applies_to" in fields:
        applies = fields.inner("applies_to")
        alerts, symptoms = applies.strings("alerts"), applies.strings("symptoms")
        applies.done()
    detect = None
    if "detect" in fields:
        inner = fields.inner("detect")
        detect = inner.text("promql", required=True)
        inner.done()
    inputs: list[Input] = []
    if "inputs" in fields:
        holder = fields.inner("inputs")
        inputs = [_input(holder, name) for name in holder.keys()]  # noqa: SIM118 (not a dict)
    fields.done()
    return Guide(
        id=guide_id,
        title=title,
        file=problems.file,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        inputs=tuple(inputs),
        steps=steps,
        alerts=alerts,
        symptoms=symptoms,
        detect=detect,
        prose="\n\n".join(prose),
        lines=fields.lines(),
    )


def _input(holder: Fields, name: str) -> Input:
    fields = holder.inner(name)
    if not NAME.fullmatch(name) or name == "result":
        holder.problem("data.name", f"`{name}` is no name of an input", "use lower-case letters, digits and _", name)
    kind = fields.choice("type", _INPUT_TYPES)
    if kind is None and "type" not in fields:
        fields.problem("input.type", f"the input `{name}` has no type", f"add `type:` {', '.join(_INPUT_TYPES)}")
    source = fields.text("from")
    if source is not None and not _SOURCE.fullmatch(source):
        fields.problem("input.from", f"`from: {source}` is no part of an alert", "write alert.labels.NAME", "from")
    unit = fields.choice("unit", _UNITS)
    if unit is not None and kind != "number":
        fields.problem("input.unit", "only a number has a `unit`", "a duration is in seconds already", "unit")
    default: Any = fields.raw("default")
    if isinstance(default, dict | list):
        fields.problem("input.default", "a default is one value", "write text, a number or `${other}`", "default")
    found = Input(
        name=name,
        type=cast("InputType", kind or "string"),
        line=fields.line(),
        source=source,
        default=default,
        required=default is None,
        unit=unit,
        says=fields.text("says") or "",
    )
    fields.done()
    return found
