"""A guide that cannot be read says, for every defect at once, where it is and how to mend it."""

from pathlib import Path

import pytest

from midwatch_tsg.errors import GuideError, GuideInvalidError, UnknownGuideError
from midwatch_tsg.guide import find, library, load
from midwatch_tsg.model import Retries, Route, ToolBody
from midwatch_tsg.parser import parse
from midwatch_tsg.strict_yaml import YamlError
from midwatch_tsg.strict_yaml import load as load_yaml

FRONT = "---\nid: g\ntitle: G\n---\n"
HEALTHY = "\n## ok: Fine\n```step\noutcome: healthy\nsays: fine\n```\n"


def guide(block: str) -> str:
    """Return a guide whose first step, `a`, has this block from line 7 on."""
    return f"{FRONT}## a: A\n```step\n{block}```\n{HEALTHY}"


def problems(text: str) -> list[tuple[int, str, str]]:
    return [(problem.line, problem.rule, problem.what) for problem in parse(text, "g.md")[1]]


def test_a_guide_is_read_with_prose_lines_and_typed_steps() -> None:
    text = (
        "---\nid: g\ntitle: G\napplies_to: {alerts: [A], symptoms: [slow]}\ninputs:\n"
        "  window: {type: duration, default: 5m}\n---\nHello.\n\n"
        "## first: What is it?\nWhy.\n\n- a list\n\n```yaml\nnot: a step\n```\n"
        "```step\ntool: metrics_query\nwith: {query: up}\nsave: {a: 'result.series[0].value'}\n"
        "no_data: ok\njoin: 2\ntimeout: 5s\nretries: {more: 2, backoff: 500ms}\non_error: continue\n"
        "next:\n  - {when: 'a > 1', go: [ok, other], option: big}\n  - {else: ok}\n```\n"
        "## Background\nProse only.\n" + HEALTHY + HEALTHY.replace("ok:", "other:")
    )
    read, found = parse(text, "g.md")
    assert found == []
    assert read is not None
    assert (read.alerts, read.symptoms, read.prose) == (("A",), ("slow",), "Hello.")
    assert [step.id for step in read.steps] == ["first", "ok", "other"]
    step = read.steps[0]
    assert step.body == ToolBody("metrics_query", {"query": "up"})
    assert step.routes == (Route("a > 1", ("ok", "other"), 28, "big"), Route(None, ("ok",), 29))
    assert (step.join, step.timeout_s, step.retries, step.on_error) == (2, 5.0, Retries(2, 0.5), "continue")
    assert step.prose == "Why.\n\na list"
    assert step.line_of("with.query") == 20
    assert step.targets == ("ok", "other")


@pytest.mark.parametrize(
    ("text", "line", "rule", "what"),
    [
        ("# No front matter\n", 1, "front.missing", "no front matter"),
        ("---\nid: g\n---\n" + HEALTHY, 2, "step.missing_field", "`title` is missing"),
        ("---\nid: Bad Id\ntitle: G\n---\n" + HEALTHY, 2, "front.id", "no guide id"),
        ("---\nid: g\nid: h\ntitle: G\n---\n" + HEALTHY, 3, "yaml", "the key `id` stands twice"),
        ("---\nid: g\ntitle: G\nauthor: me\n---\n" + HEALTHY, 4, "step.unknown_field", "`author` is no field"),
        (
            "---\nid: g\ntitle: G\ninputs: {a: {type: text}}\n---\n" + HEALTHY,
            4,
            "step.field_value",
            "not one of string",
        ),
        (
            "---\nid: g\ntitle: G\ninputs:\n  a: {from: labels.x}\n---\n" + HEALTHY,
            5,
            "input.from",
            "no part of an alert",
        ),
        (FRONT, 1, "flow.no_step", "no step"),
        (FRONT + "```step\noutcome: healthy\nsays: x\n```\n" + HEALTHY, 5, "step.outside", "before any section"),
        (FRONT + "## Just prose\n```step\noutcome: healthy\n```\n" + HEALTHY, 5, "step.heading", "needs an id"),
        (FRONT + "## a: A\nNothing.\n" + HEALTHY, 5, "step.block", "no `step` block"),
        (FRONT + HEALTHY + HEALTHY, 12, "step.duplicate", "`ok` stands twice"),
        (FRONT + "## Ok: A\n```step\noutcome: healthy\n```\n" + HEALTHY, 5, "step.id", "`Ok` is no step id"),
        (
            guide("tool: x\ncheck: y\nnext: ok\n"),
            7,
            "step.kind",
            "this has tool and check",
        ),
        (guide("next: ok\n"), 7, "step.kind", "a step is one of"),
        (guide("guide: other\nnext: ok\n"), 7, "step.sub_guide", "cannot be run yet"),
        (guide("tool: x\nwhit: {}\nnext: ok\n"), 8, "step.unknown_field", "`whit`"),
        (guide("tool: [x\nnext: ok\n"), 8, "yaml", "no YAML"),
        (
            guide("wait: 1s\nnext:\n  - {go: ok}\n"),
            9,
            "flow.route",
            "an entry of `next`",
        ),
        (guide("wait: 1s\njoin: most\nnext: ok\n"), 8, "flow.join", "'most'"),
        (guide("tool: x\nretries: 99\nnext: ok\n"), 8, "step.retries", "99"),
        (guide("tool: x\ntimeout: 5\nnext: ok\n"), 8, "step.duration", "no duration"),
        (guide("check: 'true'\nthen: ok\n"), 7, "flow.missing_else", "no `else`"),
        (
            guide("decide: x\nby: model\nnext: ok\n"),
            8,
            "step.by_model",
            "not available yet",
        ),
        (
            guide("ask: x\noptions: [yes]\nnext: ok\n"),
            7,
            "step.options",
            "two options",
        ),
        (guide("tool: x\nuntil: 'true'\nnext: ok\n"), 8, "step.until", "`every`"),
        (guide("outcome: healthy\nsays: x\nnext: ok\n"), 9, "outcome.next", "an end"),
        (
            guide("outcome: cause\nsays: x\n"),
            7,
            "outcome.cause",
            "the cause is missing",
        ),
        (
            guide("change: x\nundo: automatic\nnext: ok\n"),
            7,
            "change.no_operation",
            "needs",
        ),
        (
            FRONT + "## a: A\n```step\nchange: x\noperations: [{op: scale, target: {}}]\nexpect:\n  - {promql: up}\n"
            "undo: automatic\nnext: ok\n```\n" + HEALTHY,
            10,
            "change.expect",
            "`promql` with `holds`",
        ),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(text: str, line: int, rule: str, what: str) -> None:
    found = problems(text)
    assert any(where == line and name == rule and what in said for where, name, said in found), found
    assert all(problem.mend for problem in parse(text, "g.md")[1])


def test_all_defects_are_reported_at_once() -> None:
    text = FRONT + "## a: A\n```step\ntool: x\njoin: most\nwhit: 1\n```\n## b: B\n"
    assert {rule for _, rule, _ in problems(text)} == {"flow.join", "step.unknown_field", "step.block"}


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("a: &x [1]\nb: *x\n", "anchors and aliases", 10),
        ("a: 1\nb: !!python/object:os.system x\n", "tag", 11),
        ("a: 1\n---\nb: 2\n", "second YAML document", 11),
        ("a: 1\na: 2\n", "stands twice", 11),
        ("? [a, b]\n: 1\n", "a key that is no text", 10),
        ("a: " + "[" * 60 + "]" * 60 + "\n", "nests too deeply", 10),
        ("a: " + "[" * 90_000, "nests too deeply", 10),
        ("x" * 100_001, "100001 characters", 10),
        ("a: \x00\n", "no YAML", 10),
    ],
)
def test_yaml_that_surprises_is_refused(text: str, what: str, line: int) -> None:
    with pytest.raises(YamlError) as caught:
        load_yaml(text, 10)
    assert what in caught.value.what
    assert caught.value.line == line


def test_plain_scalars_are_what_yaml_1_2_says() -> None:
    document = load_yaml("a: [yes, no, on, 010, 1:30, 2024-01-01, 1_000, 0x1f, 1.5, -3, 1e3, true, null, ~, '7']", 1)
    assert document.data["a"] == [
        "yes", "no", "on", "010", "1:30", "2024-01-01", "1_000", "0x1f", 1.5, -3, 1000.0, True, None, None, "7",
    ]  # fmt: skip


def test_a_guide_with_defects_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "bad.md").write_text(FRONT + "## a: A\n")
    with pytest.raises(GuideInvalidError, match=r"bad\.md:5: error: the section has no `step` block; give each"):
        load(tmp_path / "bad.md")
    with pytest.raises(GuideError, match="cannot be read"):
        load(tmp_path / "missing.md")


def test_the_library_is_found_by_id_and_a_folder_may_replace_a_guide(tmp_path: Path) -> None:
    assert find("ttft-slo-burn").id == "ttft-slo-burn"
    (tmp_path / "mine.md").write_text("---\nid: ttft-slo-burn\ntitle: Mine\n---\n" + HEALTHY)
    assert library([tmp_path])["ttft-slo-burn"].title == "Mine"
    assert find(str(tmp_path / "mine.md")).title == "Mine"
    with pytest.raises(UnknownGuideError, match="there is no guide `other`: there are ttft-slo-burn"):
        find("other")
    (tmp_path / "again.md").write_text("---\nid: ttft-slo-burn\ntitle: Mine\n---\n" + HEALTHY)
    with pytest.raises(GuideError, match="the same id"):
        library([tmp_path])
    with pytest.raises(GuideError, match="no folder of guides"):
        library([tmp_path / "nowhere"])
