"""The jail file: what it says, what in it does not fit, and when it lets nothing through."""

import datetime as dt
import json
import re
from pathlib import Path

import pytest

from midwatch_mcp.safe_apply.errors import PolicyError
from midwatch_mcp.safe_apply.freeze import Freeze
from midwatch_mcp.safe_apply.policy import Policy, sentences
from midwatch_mcp.safe_apply.policy_file import load, parse


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


WRONG: dict[str, tuple[str, int, str, str]] = {
    "a misspelt field": ("autonomi = 3\n", 1, "autonomi", "do you mean autonomy?"),
    "a field under no table": ('frozen = "x"\n\nmax_objects = 3\n', 3, "max_objects", "write it under [limits]"),
    "a misspelt limit": ("[limits]\n# most\nmax_objekts = 3\n", 3, "limits.max_objekts", "do you mean max_objects?"),
    "a level that there is not": ("autonomy = 6\n", 1, "autonomy", "at most 5"),
    "words for a number": ('[limits]\nmax_objects = "many"\n', 2, "limits.max_objects", "policy schema"),
    "a share of more than all": ("[limits]\nmax_traffic_share = 75\n", 2, "limits.max_traffic_share", "at most 1"),
    "one namespace without its list": ('[namespaces]\nallow = "llm"\n', 2, "namespaces.allow", 'allow = ["llm-*"]'),
    "a kind in lower case": ('kinds = ["Pod", "deployment"]\n', 1, "kinds.1", "kinds = ["),
    "a misspelt kind": ('kinds = ["Pod", "Deploymnt"]\n', 1, "kinds.1", "do you mean Deployment?"),
    "a misspelt kind of a group": ('kinds = ["apps/Deploymnt"]\n', 1, "kinds.0", "do you mean Deployment?"),
    "a kind of another group": ('kinds = ["apps/Pod"]\n', 1, "kinds.0", "write one of ControllerRevision, "),
    "a custom kind without its group": ('kinds = ["Widget"]\n', 1, "kinds.0", '"example.com/Widget"'),
    "a misspelt operation": (
        'operations = [\n  "scale",\n  "rollout-undo",\n]\n',
        3,
        "operations.1",
        "do you mean rollout_undo?",
    ),
    "no operation at all": ('operations = ["*"]\n', 1, "operations.0", "write one of annotate, "),
    "a misspelt field to let through": ('let_through = ["hostNetwrk"]\n', 1, "let_through.0", "hostNetwork?"),
    "a flag with its dashes": (
        'let_through = ["--trust_remote_code"]\n',
        1,
        "let_through.0",
        "mean trust-remote-code?",
    ),
    "a variable of a family": ('let_through = ["LD_PRELOAD"]\n', 1, "let_through.0", "do you mean LD_*?"),
    "what nothing forbids": ('let_through = ["replicas"]\n', 1, "let_through.0", "take it out"),
    "another schema": ('schema = "midwatch.policy/v9"\n', 1, "schema", "midwatch.policy/v1"),
    "a zone that there is not": (
        '[[freeze]]\nreason = "a"\n\n[[freeze]]\nreason = "b"\nzone = "Mars/Olympus"\n',
        6,
        "freeze.1.zone",
        'zone = "Europe/Berlin"',
    ),
    "a day in full": ('[[freeze]]\nreason = "a"\ndays = ["Friday"]\n', 3, "freeze.0.days.0", "'Fri'"),
    "a window that never begins": (
        '[[freeze]]\nreason = "a"\nfrom = 2026-12-20T00:00:00Z\nto = 2026-12-19T00:00:00Z\n',
        1,
        "freeze.0",
        "[[freeze]]",
    ),
    "a time and a date": (
        '[[freeze]]\nreason = "a"\nfrom = 18:00:00\nto = 2026-12-19T00:00:00Z\n',
        1,
        "freeze.0",
        "18:00",
    ),
    "no people": ("[approvals.dangerous]\npeople = 0\n", 2, "approvals.dangerous.people", "at least 1"),
    "no TOML": ("autonomy = 3\nkinds = [\n", 2, "", "toml.io"),
    "a key twice": ("autonomy = 3\nautonomy = 5\n", 2, "", "toml.io"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_named_with_line_field_and_mend(tmp_path: Path, what: str) -> None:
    text, line, field, mend = WRONG[what]
    found, faults = parse(text)
    assert found is None
    assert [(fault.line, fault.field) for fault in faults] == [(line, field)]
    assert mend in faults[0].mend + faults[0].says
    file = tmp_path / "policy.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(PolicyError, match="nothing is allowed") as caught:
        load(file)
    assert f"{file}:{line}: " in str(caught.value)


def test_every_fault_of_a_file_is_named_at_once() -> None:
    _, faults = parse('autonomy = 9\nkind = ["Pod"]\n[limits]\nmax_scale_factor = 0.5\n')
    assert [(fault.line, fault.field) for fault in faults] == [
        (1, "autonomy"),
        (4, "limits.max_scale_factor"),
        (2, "kind"),
    ]


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    _, faults = parse("a = " + "[" * 100_000)
    assert len(faults) == 1


@pytest.mark.parametrize(
    ("now", "frozen"),
    [
        ("2026-11-27T17:59:59+01:00", False),  # a Friday
        ("2026-11-27T18:00:00+01:00", True),
        ("2026-11-28T07:59:00+01:00", True),
        ("2026-11-28T08:00:00+01:00", False),
        ("2026-11-28T19:00:00+01:00", False),
        ("2026-11-27T17:30:00+00:00", True),
    ],
)
def test_a_window_of_every_week_holds_in_its_own_zone_and_over_midnight(now: str, frozen: bool) -> None:  # noqa: FBT001
    policy, faults = parse(
        '[[freeze]]\nreason = "Friday night"\nzone = "Europe/Berlin"\ndays = ["Fri"]\nfrom = 18:00:00\nto = 08:00:00\n'
    )
    assert policy is not None, faults
    assert (policy.frozen_at(at(now)) is not None) is frozen
    assert policy.freeze[0].says() == "Fri 18:00 to 08:00 of the next day (Europe/Berlin): Friday night"


def test_a_window_of_one_time_holds_from_its_begin_to_its_end() -> None:
    policy, faults = parse(
        '[[freeze]]\nreason = "year end"\nzone = "Europe/Berlin"\n'
        "from = 2026-12-20T00:00:00\nto = 2027-01-05T00:00:00Z\n"
    )
    assert policy is not None, faults
    found = [policy.frozen_at(at(now)) is not None for now in ("2026-12-19T22:59:59Z", "2026-12-19T23:00:00Z")]
    assert found == [False, True]
    assert policy.frozen_at(at("2027-01-05T00:00:00Z")) is None


def test_days_alone_are_whole_days() -> None:
    window = Freeze(reason="Sunday", days=("Sun",))
    assert [window.active(at(f"2026-11-{day}T{hour}Z")) for day, hour in ((28, "23:59:59"), (29, "00:00:00"))] == [
        False,
        True,
    ]
    assert not window.active(at("2026-11-30T00:00:00Z"))


def test_a_plain_kind_is_kubernetes_own_and_a_custom_one_is_named_with_its_group() -> None:
    policy = Policy.model_validate({"kinds": ["Deployment", "example.com/Widget"]})
    asked = [("apps", "Deployment"), ("example.com", "Deployment"), ("example.com", "Widget"), ("", "Widget")]
    assert [policy.has_kind(*one) for one in asked] == [True, False, True, False]


def test_a_policy_is_said_in_sentences() -> None:
    policy = Policy.model_validate(
        {"autonomy": 4, "images": ["ghcr.io/acme/*"], "approvals": {"dangerous": {"people": 2, "host": False}}}
    )
    said = "\n".join(sentences(policy))
    assert "Autonomy is 4 (act)" in said
    assert "A dangerous change needs the approval of 2 different people; by signature, not through an MCP host." in said
    assert "Images come only from ghcr.io/acme/*." in said
    assert "{" not in said


def test_the_schema_describes_the_file() -> None:
    schema = json.loads(json.dumps(Policy.model_json_schema(by_alias=True)))
    assert set(schema["properties"]) == {field.alias or name for name, field in Policy.model_fields.items()}
    assert schema["additionalProperties"] is False


def test_the_example_of_the_documents_fits_and_shows_every_field() -> None:
    page = (Path(__file__).parents[2] / "docs" / "safe-apply.md").read_text("utf-8")
    example = page.split("```toml policy\n")[1].split("```")[0]
    policy, faults = parse(example)
    assert policy is not None, faults
    built_in = Policy()
    for name, field in Policy.model_fields.items():
        key = field.alias or name
        assert re.search(rf"^(\[+)?{key}\b", example, re.MULTILINE) or key == "frozen", key
    marked = {line.split("=")[0].strip() for line in example.splitlines() if line.rstrip().endswith("# example")}
    for name in ("autonomy", "kinds", "gitops", "limits", "approvals", "protected_labels", "protected_annotations"):
        assert name not in marked
        assert getattr(policy, name) == getattr(built_in, name)
    assert policy.namespaces.deny == built_in.namespaces.deny
