"""The lab's series of objects beside those of kube-state-metrics for the same objects (`state/record.py`)."""

import json
from pathlib import Path
from typing import Any

import pytest

from midwatch_lab.errors import MetricLabelsError
from midwatch_lab.exporters.state.allowlist import read_allowlist
from midwatch_lab.exporters.state.kinds import KINDS, LABELLED, kinds_with
from midwatch_lab.metrics.exposition import Page
from midwatch_lab.metrics.labels import Labels, from_dict, show
from midwatch_lab.metrics.store import Series

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "state" / "recorded.json").read_text("utf-8"))
ALLOWED = read_allowlist("namespaces=[*],pods=[app,app.kubernetes.io/name],nodes=[*],resourcequotas=[team]", LABELLED)
BUILT_IN = ("default", "kube-node-lease", "kube-public", "kube-system")
"""The namespaces that a cluster starts with; what is in them was not recorded."""
NOT_HERE = {"kube_replicationcontroller", "kube_certificatesigningrequest", "kube_mutatingwebhookconfiguration"} | {
    "kube_validatingwebhookconfiguration", "kube_volumeattachment"
}  # fmt: skip
"""Kinds that the lab does not have."""
EMPTY_WITHOUT_OPTION = "_annotations"
"""Series of annotations have an option of their own, which the lab does not have."""


def original() -> tuple[dict[Labels, float], dict[str, str]]:
    """Return the original's series of the recorded objects, and the types of all its families."""
    page = Page(lambda labels: Series(from_dict(labels)))
    found = {sample.series.labels: sample.value for sample in page.read("\n".join(RECORDED["page"]) + "\n").samples}
    kept = {labels: value for labels, value in found.items() if dict(labels).get("namespace") not in BUILT_IN}
    return kept, {name: entry.type for name, entry in page.metadata.items()}


def ours() -> dict[Labels, float]:
    kinds = {kind.resource.kind: kind for kind in kinds_with(ALLOWED)}
    return {
        from_dict({**labels, "__name__": name}): value
        for obj in RECORDED["objects"]
        for name, labels, value in kinds[obj["kind"]].read(obj)
    }


def test_every_series_of_the_recorded_objects_is_the_originals_with_its_labels_and_value() -> None:
    expected, _ = original()
    found = ours()
    missing = [f"{show(labels)} {value}" for labels, value in expected.items() if labels not in found]
    extra = [f"{show(labels)} {value}" for labels, value in found.items() if labels not in expected]
    other = [f"{show(k)} {found[k]} is {v}" for k, v in expected.items() if k in found and found[k] != v]
    assert (missing, extra, other) == ([], [], [])
    assert len(found) > 390


def test_every_family_is_one_of_the_originals_and_of_its_type() -> None:
    _, types = original()
    found = {family.name: family.type for kind in kinds_with({}) for family in kind.families}
    assert found.items() <= types.items()
    left = {
        name
        for name in types.keys() - found.keys()
        if not name.startswith(tuple(NOT_HERE)) and not name.endswith(EMPTY_WITHOUT_OPTION)
    }
    assert left == set()


def test_a_family_says_every_label_that_its_series_have() -> None:
    families = {family.name: (kind, family) for kind in KINDS for family in kind.families}
    for labels in ours():
        named = dict(labels)
        name = named.pop("__name__")
        if not name.endswith("_labels"):
            kind, family = families[name]
            assert set(named) <= {*kind.identity, *family.labels}, name
    empty = {name for name in families if not any(dict(labels)["__name__"] == name for labels in ours())}
    assert empty == {
        "kube_node_deletion_timestamp",
        "kube_persistentvolume_deletion_timestamp",
        "kube_persistentvolumeclaim_deletion_timestamp",
        "kube_pod_init_container_status_waiting_reason",
        "kube_pod_init_container_status_last_terminated_reason",
        "kube_job_complete",
        "kube_job_status_completion_time",
        "kube_namespace_status_condition",
        "kube_pod_status_ready_time",
    }, "what no recorded object has"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("pods=[app, team]", {"pods": ("app", "team")}),
        ("pods=[app],nodes=[*],pods=[b]", {"pods": ("app", "b"), "nodes": ("*",)}),
        ("*=[team]", {"*": ("team",)}),
        ("pods=[]", {"pods": ()}),
    ],
)
def test_the_option_allows_labels_by_kind(text: str, found: dict[str, tuple[str, ...]]) -> None:
    assert read_allowlist(text, LABELLED) == found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pods", r"after '' give KIND=\[KEY,\.\.\.\]"),
        ("pods=[a] nodes=[b]", "after '' give"),
        ("pods=[a],nodes", r"after 'pods=\[a\],' give"),
        ("pod=[a]", "'pod' is none of"),
    ],
)
def test_the_option_says_where_it_is_wrong(text: str, says: str) -> None:
    with pytest.raises(MetricLabelsError, match=says):
        read_allowlist(text, LABELLED)


def test_no_label_of_an_object_is_a_label_of_a_series_unless_it_is_allowed() -> None:
    kinds = {kind.resource.kind: kind for kind in kinds_with({})}
    names = {name for obj in RECORDED["objects"] for name, _, _ in kinds[obj["kind"]].read(obj)}
    assert not {name for name in names if name.endswith("_labels")}
