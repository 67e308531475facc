"""Jobs: what may change of one, and what its status may say."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()

POD: Final[dict[str, Any]] = {"restartPolicy": "Never", "containers": [{"name": "work", "image": "work:1"}]}
AT: Final = "2026-01-01T00:00:00Z"
SPECS: Final[dict[str, dict[str, Any]]] = {
    "plain": {},
    "suspended": {"suspend": True},
    "indexed": {
        "completionMode": "Indexed", "completions": 3, "parallelism": 2, "backoffLimitPerIndex": 1,
        "maxFailedIndexes": 1, "successPolicy": {"rules": [{"succeededCount": 1}]},
    },
    "choosy": {
        "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}]}
    },
}  # fmt: skip
TEMPLATES: Final[dict[str, Any]] = {
    "image": {"spec": {"containers": [{"name": "work", "image": "work:2"}]}},
    "place": {"spec": {"nodeSelector": {"a": "b"}}},
    "labels": {"metadata": {"labels": {"x": "y"}}},
    "resources": {"spec": {"containers": [{"name": "work", "image": "work:1", "resources": {"limits": {"cpu": "1"}}}]}},
    "tolerations": {
        "spec": {"tolerations": [{"key": "a", "operator": "Exists"}], "schedulingGates": [{"name": "a.b/c"}]}
    },
}
CHANGES: Final[tuple[tuple[str, Any], ...]] = (
    ("plain", {"completions": 3}),
    ("plain", {"parallelism": 3}),
    ("plain", {"selector": {"matchLabels": {"a": "b"}}}),
    ("plain", {"completionMode": "Indexed"}),
    ("plain", {"backoffLimit": 2, "activeDeadlineSeconds": 5, "ttlSecondsAfterFinished": 4, "suspend": True}),
    ("plain", {"manualSelector": True}),
    ("plain", {"podFailurePolicy": {"rules": []}}),
    ("plain", {"podReplacementPolicy": "Failed"}),
    ("plain", {"managedBy": "a.b/c"}),
    ("plain", {"parallelism": -1}),
    *(("plain", {"template": template}) for template in TEMPLATES.values()),
    *(("suspended", {"template": template}) for template in TEMPLATES.values()),
    ("suspended", {"suspend": False, "template": TEMPLATES["place"]}),
    ("indexed", {"completions": 5}),
    ("indexed", {"completions": 5, "parallelism": 5}),
    ("indexed", {"parallelism": 7}),
    ("indexed", {"backoffLimitPerIndex": 2}),
    ("indexed", {"backoffLimitPerIndex": None}),
    ("indexed", {"maxFailedIndexes": 2}),
    ("indexed", {"successPolicy": None}),
    ("indexed", {"completionMode": "NonIndexed"}),
    ("choosy", {"podFailurePolicy": None}),
    ("choosy", {"podFailurePolicy": {"rules": []}}),
    ("choosy", {"podReplacementPolicy": "TerminatingOrFailed"}),
)


def jobs(api: Api, *rest: str) -> str:
    return api.path("batch/v1", "jobs", *rest)


async def _prepare(api: Api, kind: str) -> None:
    body = {"metadata": {"name": "work"}, "spec": SPECS[kind] | {"template": {"spec": POD}}}
    await api.setup("POST", jobs(api), body, fieldManager="m")


async def _change(api: Api, kind: str, spec: Any) -> None:
    await _prepare(api, kind)
    await api.ask("PATCH", jobs(api, "work"), {"spec": spec}, "merge", fieldManager="n")


async def _report(api: Api, kind: str, status: Any) -> None:
    await _prepare(api, kind)
    await api.ask("PATCH", jobs(api, "work", "status"), {"status": status}, "merge", fieldManager="n")


def _conditions(*kinds: str) -> list[dict[str, Any]]:
    return [{"type": kind, "status": "True", "lastTransitionTime": AT, "lastProbeTime": AT} for kind in kinds]


REPORTS: Final[tuple[tuple[str, Any], ...]] = (
    ("plain", {"active": -1, "succeeded": -1, "failed": -1}),
    ("plain", {"active": 1, "startTime": AT}),
    ("plain", {"active": 1, "startTime": AT, "ready": 2}),
    ("plain", {"active": 1, "startTime": AT, "ready": -1, "terminating": -1}),
    ("plain", {"startTime": AT, "conditions": _conditions("Complete")}),
    ("plain", {"startTime": AT, "completionTime": AT, "conditions": _conditions("Complete", "SuccessCriteriaMet")}),
    ("plain", {"startTime": AT, "conditions": _conditions("Failed")}),
    ("plain", {"startTime": AT, "conditions": _conditions("Failed", "FailureTarget")}),
    (
        "plain",
        {"startTime": AT, "conditions": _conditions("Failed", "FailureTarget", "Complete", "SuccessCriteriaMet")},
    ),
    ("plain", {"startTime": AT, "conditions": _conditions("SuccessCriteriaMet", "FailureTarget")}),
    ("plain", {"startTime": AT, "completionTime": AT}),
    (
        "plain",
        {
            "startTime": AT, "completionTime": "2025-01-01T00:00:00Z",
            "conditions": _conditions("Complete", "SuccessCriteriaMet"),
        },
    ),
    (
        "plain",
        {
            "startTime": AT, "completionTime": AT, "active": 1,
            "conditions": _conditions("Complete", "SuccessCriteriaMet"),
        },
    ),
    ("plain", {"startTime": AT, "completedIndexes": "1"}),
    ("plain", {"startTime": AT, "failedIndexes": "1"}),
    ("plain", {"startTime": AT, "uncountedTerminatedPods": {"succeeded": ["a", "a", ""]}}),
    ("plain", {"startTime": AT, "uncountedTerminatedPods": {"succeeded": ["a"], "failed": ["a"]}}),
    ("plain", {"conditions": [{"type": "Suspended", "status": "True"}]}),
    ("indexed", {"startTime": AT, "completedIndexes": "1", "failedIndexes": "1", "succeeded": 1}),
    ("indexed", {"startTime": AT, "completedIndexes": "0-9"}),
    ("indexed", {"startTime": AT, "completedIndexes": "x"}),
    ("indexed", {"startTime": AT, "completedIndexes": "2,1"}),
    ("indexed", {"startTime": AT, "completedIndexes": "1", "succeeded": 2}),
)  # fmt: skip

for number, (kind, change) in enumerate(CHANGES):
    words = f"{', '.join(change)} of a {kind} one"
    CASES.many(f"job: a change of {words} ({number + 1})", partial(_change, kind=kind, spec=change))
for number, (kind, report) in enumerate(REPORTS):
    words = f"{', '.join(report)} of a {kind} one"
    CASES.many(f"job status: a report of {words} ({number + 1})", partial(_report, kind=kind, status=report))


@CASES.case("job status: its door writes labels but no specification")
async def _(api: Api) -> None:
    await _prepare(api, "plain")
    body = {"metadata": {"labels": {"q": "r"}}, "spec": {"parallelism": 4}, "status": {"startTime": AT}}
    await api.ask("PATCH", jobs(api, "work", "status"), body, "merge", fieldManager="n")
    await api.ask("PATCH", jobs(api, "work", "status"), {"status": {"startTime": None}}, "merge", fieldManager="n")
    await api.ask("GET", jobs(api, "work"))


@CASES.case("job: labels that were generated may be taken from the job itself")
async def _(api: Api) -> None:
    await _prepare(api, "plain")
    await api.setup("PATCH", jobs(api, "work"), {"spec": {"parallelism": 2}}, "merge", fieldManager="n")
    await api.ask("PATCH", jobs(api, "work"), {"metadata": {"labels": None}}, "merge", fieldManager="n")
    await api.ask("PATCH", jobs(api, "work"), {"metadata": {"labels": {"a b": "c"}}}, "merge", fieldManager="n")
