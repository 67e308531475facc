"""Write the generated documents: JSON Schemas of the contracts and the command line's help.

`python docs/generate.py` writes them; `--check` exits 1 naming each document that is not as the code says.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from midwatch_agents.host import help_text
from midwatch_contracts.alert import Alert
from midwatch_contracts.causes import Cause
from midwatch_contracts.evidence import EvidenceRef, LedgerEntry
from midwatch_contracts.mechanisms import mechanisms
from midwatch_contracts.plan import Approval, Change, Expectation, Operation, Plan, Preview
from midwatch_contracts.surface import surface
from midwatch_evals.demo import DemoResult
from midwatch_evals.scenario import Scenario
from midwatch_lab.exporters.apiserver import REQUEST_FAMILIES, REQUEST_LABELS
from midwatch_lab.exporters.cadvisor import CONTAINER_FAMILIES, CONTAINER_LABELS, MACHINE_FAMILIES
from midwatch_lab.exporters.family import Family
from midwatch_lab.exporters.kubelet import KUBELET_FAMILIES
from midwatch_lab.exporters.machine.exporter import NODE_FAMILIES
from midwatch_lab.exporters.missing import MISSING
from midwatch_lab.exporters.state.kinds import KINDS
from midwatch_lab.load.proof import COLUMNS, DRAWS, MOST_ERRORS, prove, table
from midwatch_mcp.safe_apply.operations.catalogue import catalogue
from midwatch_mcp.safe_apply.policy import Policy
from midwatch_serving.buckets import boundaries
from midwatch_serving.metric_families import FAMILIES

DOCS = Path(__file__).resolve().parent
SHAPES = (
    Alert,
    Approval,
    Cause,
    Change,
    DemoResult,
    EvidenceRef,
    Expectation,
    LedgerEntry,
    Operation,
    Plan,
    Policy,
    Preview,
    Scenario,
)


def _schema_pages() -> dict[str, str]:
    return {
        f"schemas/{shape.__name__.lower()}.json": json.dumps(shape.model_json_schema(by_alias=True), indent=2) + "\n"
        for shape in SHAPES
    }


def _help_page() -> str:
    text, broken = help_text()
    if broken:
        raise SystemExit(f"commands that cannot be loaded: {', '.join(entry.name for entry in broken)}")
    head = [
        "# The command line",
        "",
        "Generated from the code by `make docs`. Each command has a `--help` of its own.",
        "",
    ]
    return "\n".join([*head, "```text", text.rstrip(), "```"]) + "\n"


def _tools_page() -> str:
    rows = [
        f"| `{tool.name}` | {tool.server} | {'reads' if tool.read_only else '**changes**'} | {tool.cost} | "
        f"{tool.description.splitlines()[0]} |"
        for tool in surface().values()
    ]
    return _table("The tools", "the reviewed surface", ("tool", "server", "effect", "cost", "what it answers"), rows)


def _operations_page() -> str:
    rows = [
        f"| `{one.name}` | {one.target} | {one.about} | `{one.takes_names}` | {one.undone_by} | {one.risk} |"
        for one in catalogue()
    ]
    columns = ("operation", "target", "what it does", "args", "undone by", "class")
    return _table("What a plan may hold", "the operations of the safe-apply envelope", columns, rows)


def _mechanisms_page() -> str:
    rows = [f"| `{m.id}` | {f'`{m.parent}`' if m.parent else ''} | {m.says} |" for m in mechanisms().values()]
    return _table("What can go wrong", "`mechanisms.yaml`", ("mechanism", "a kind of", "in words"), rows)


METRICS_HEAD = """
`GET /metrics` of `midwatch serve`: names, labels, types and buckets of vLLM 0.33, so that dashboards, alerts and
routers made for vLLM read them as they are, and beside them a few of our own (`midwatch_`). Prometheus adds `_bucket`,
`_sum` and `_count` to a histogram's name. OpenMetrics is answered where it is asked for. `process_*` gauges of the
process come with them.

Left out, for there is nothing to count: what vLLM has for LoRA, speculative decoding, KV transfer and offloading,
multi-modal input, block residency samples (`kv_block_*`), and `http_*`.

Energy a token: `rate(midwatch_energy_joules_total[5m]) / ignoring(method) rate(vllm:generation_tokens_total[5m])`.
"""
METRICS_BUCKETS = """
## Buckets

Upper boundaries by family, for `--max-model-len 2048` (`request_tokens` goes up to it). `--fine-buckets` adds
boundaries to the families of times; `--custom-histogram-buckets` takes a JSON object of families to replace, such as
`{"inter_token_latency": [0.002, 0.004, 0.008]}`.

| family | boundaries |
|---|---|"""


def _metrics_page() -> str:
    columns = ("metric", "type", "labels", "buckets", "meaning")
    rows = [
        f"| `{family.exposed}` | {family.kind} | {', '.join(f'`{name}`' for name in family.label_names)} | "
        f"{f'`{family.buckets}`' if family.buckets else ''} | "
        f"{family.says}{f' Only with `{family.option}`.' if family.option else ''} |"
        for family in FAMILIES.values()
    ]
    bounds = [f"| `{name}` | {', '.join(f'{end:g}' for end in ends)} |" for name, ends in boundaries(2048).items()]
    head, table = _table("The server's metrics", "`metric_families.py`", columns, rows).split("\n\n| ", 1)
    return "\n".join(
        [
            f"{head}\n{METRICS_HEAD}",
            f"| {table.rstrip()}",
            METRICS_BUCKETS,
            *bounds,
            "",
        ]
    )


LAB_METRICS_HEAD = """# The lab's series

Generated from `lab/midwatch_lab/exporters/` by `make docs`. `midwatch lab up` has these series in its Prometheus beside
those of the pods, under the names, labels and units of a kube-prometheus stack, so that its alerts, rules and
dashboards read them. `/api/v1/targets` lists the jobs with `up` and `scrape_*`; `/api/v1/metadata` has types and
meanings.
"""
LAB_STATE_HEAD = """
## Objects: `job="kube-state-metrics"`

What kube-state-metrics 2.15 says, held against it series by series (`tests/lab_metrics/test_state_metrics.py`), for the
kinds that it reads unless told otherwise and that the lab has; with a lab's API to read, it said of a running lab's 301
series what the lab says. Labels of the target are `job` and `instance`, as
kube-prometheus leaves them; `namespace`, `pod`, … are the object's. `kube_*_labels` appear for the labels that
`--metric-labels-allowlist` allows, in the original's words. Left out, so that thousands of pods stay small:
`kube_pod_ips`, `_tolerations`, `_nodeselectors`, `_overhead_*`, `_runtimeclass_name_info`, `_service_account`,
`_scheduler`, `_status_initialized_time`, `_status_container_ready_time`; and annotations.
"""


LAB_PODS_HEAD = """
## Containers: `job="kubelet"`, `metrics_path="/metrics/cadvisor"`

One target a node, with `node` and `instance` (the node's address). Measured every 5 s from Linux's `/proc`, and written
once a measurement. A container is a group of processes and no cgroup: memory that two processes share counts twice, and
what only a cgroup counts is not there. `container_cpu_cfs_*` is what the reference backend counts of its own CPU limit,
of pods whose pages are scraped. A pod has series of its own beside its containers', without `container` and
`image`, as in a cluster: select `container!=""`.
"""
LAB_KUBELET_HEAD = """
## Nodes: `job="kubelet"`, `metrics_path="/metrics"`
"""
LAB_API_HEAD = """
## The API server: `job="apiserver"`

Requests for resources that there are; `apiserver_request_sli_duration_seconds` leaves out watches and streams.
"""
LAB_MACHINE_HEAD = """
## The machine: `job="node-exporter"`

What node_exporter 1.9.1 says under these names, read every 5 s. All nodes of a lab share one machine, so there is one
instance of its name, and none a node: two would count it twice. So rules that join its `namespace` and `pod` with
`kube_pod_info` find nothing: no pod in the lab is an exporter. File systems of other machines are left out.
"""
LAB_MISSING_HEAD = """
## What the rules of kube-prometheus read and is not here

`tests/lab_metrics/kube_prometheus_names.yaml` lists every series that these rules read, with source and commit; a test
holds that each is here or in this table. The lab's scheduler and controllers are no targets, as on many managed
clusters: leave out the alerts that miss them (`KubeSchedulerDown`, `KubeControllerManagerDown`).

| series | why not |
|---|---|"""


def _lab_metrics_page() -> str:
    state = [(tuple(kind.identity), family) for kind in KINDS for family in kind.families]
    containers = [(CONTAINER_LABELS, family) for family in CONTAINER_FAMILIES]
    sections = (
        (LAB_METRICS_HEAD + LAB_STATE_HEAD, state),
        (LAB_PODS_HEAD, [*containers, *_plain(MACHINE_FAMILIES)]),
        (LAB_KUBELET_HEAD, _plain(KUBELET_FAMILIES)),
        (LAB_API_HEAD, [(REQUEST_LABELS, family) for family in REQUEST_FAMILIES]),
        (LAB_MACHINE_HEAD, _plain(NODE_FAMILIES)),
    )
    lines = [line for head, families in sections for line in (head, *_series_table(families))]
    return "\n".join([*lines, LAB_MISSING_HEAD, *(f"| `{name}` | {why} |" for name, why in MISSING.items()), ""])


def _plain(families: Iterable[Family]) -> list[tuple[tuple[str, ...], Family]]:
    return [((), family) for family in families]


def _series_table(families: Iterable[tuple[tuple[str, ...], Family]]) -> list[str]:
    """Return a table; each family comes with the labels that all series of its objects have."""
    rows = [
        f"| `{family.name}` | {family.type} | {', '.join(f'`{label}`' for label in (*base, *family.labels))} | "
        f"{family.help} |"
        for base, family in families
    ]
    return ["| series | type | labels | meaning |", "|---|---|---|---|", *rows]


def _table(title: str, source: str, columns: tuple[str, ...], rows: list[str]) -> str:
    head = [f"# {title}", "", f"Generated from {source} by `make docs`.", ""]
    return "\n".join([*head, f"| {' | '.join(columns)} |", "|" + "---|" * len(columns), *rows]) + "\n"


SHAPES_TITLE = "What the load shapes draw"
SHAPES_HEAD = f"""
Each figure that a shape or preset of [load.md](load.md) stands for, as it was published, beside what {DRAWS:,} draws of
seed 1 give (of conversations: {DRAWS:,} conversations). A distance is counted in standard errors of those draws, so
that no tolerance is chosen: a test holds every figure within {MOST_ERRORS:g}. `midwatch bench load-shapes` prints them.
"""


def _shapes_page() -> str:
    page = _table(SHAPES_TITLE, "`proof.py`", COLUMNS, table(prove()))
    head, rows = page.split("\n\n| ", 1)
    return f"{head}\n{SHAPES_HEAD}\n| {rows}"


SLOW = {"load-shapes.md": _shapes_page}
"""Pages that take seconds; tests/load/test_traffic.py holds them against the code, with what it draws anyway."""


def pages() -> dict[str, str]:
    """Return every generated document by its path under `docs/`."""
    return {
        **_schema_pages(),
        "operations.md": _operations_page(),
        "command-line.md": _help_page(),
        "tools.md": _tools_page(),
        "causes.md": _mechanisms_page(),
        "metrics.md": _metrics_page(),
        "lab-metrics.md": _lab_metrics_page(),
    }


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a document is out of date")
    check = parser.parse_args().check
    found = pages() | ({} if check else {name: page() for name, page in SLOW.items()})
    stale = [name for name, text in found.items() if not _same(DOCS / name, text)]
    for name in stale:
        if check:
            sys.stderr.write(f"docs/{name} is not what the code says: run `make docs`\n")
            continue
        (DOCS / name).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / name).write_text(found[name], "utf-8")
    return 1 if check and stale else 0


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text("utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
