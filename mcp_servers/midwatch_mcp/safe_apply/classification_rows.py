"""Bring `classification.yaml` up to what an API server serves: `python -m midwatch_mcp.safe_apply.classification_rows`.

Rows and verbs that are new come in as `forbidden`, "not reviewed"; those that the server does not have go; classes and
reasons that a person has written stay. Run it against an original API server of the newest Kubernetes, then review the
diff.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import midwatch_mcp.safe_apply
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.kubernetes.connection import Bounds
from midwatch_mcp.safe_apply.classification import Row, table

PATH = Path(midwatch_mcp.safe_apply.__file__).parent / "classification.yaml"
NOT_REVIEWED = "not reviewed"
HEAD = """\
# What every request to Kubernetes may do, by resource, subresource and verb (CONTRACTS §6). Reviewed by people.
# read: stores nothing. change: can be undone, inside the policy's limits. dangerous: a person must approve each.
# forbidden: nobody can approve it. What is not here is forbidden, custom resources too (unless the policy names them).
# Rows come from discovery: python -m midwatch_mcp.safe_apply.classification_rows
"""
_CLASSES = ("read", "change", "dangerous", "forbidden")

Served = Mapping[str, tuple[str, frozenset[str]]]
"""Kind and verbs by `plural[.group][/subresource]`."""


async def served(client: KubeClient) -> tuple[str, Served]:
    """Return (version, what an API server serves), the verbs of all versions of a group together."""
    version = str((await client.get("/version"))["gitVersion"])
    groups = cast("list[dict[str, Any]]", (await client.get("/apis"))["groups"])
    places = [("", "/api/v1")]
    places += [(group["name"], f"/apis/{one['groupVersion']}") for group in groups for one in group["versions"]]
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for group, path in places:
        for entry in cast("list[dict[str, Any]]", (await client.get(path))["resources"]):
            plural, _, subresource = str(entry["name"]).partition("/")
            name = (f"{plural}.{group}" if group else plural) + (f"/{subresource}" if subresource else "")
            verbs = found.get(name, ("", frozenset[str]()))[1] | frozenset(entry["verbs"])
            found[name] = (str(entry["kind"]), verbs)
    return version, found


def merged(known: Mapping[str, Row], there: Served) -> dict[str, Row]:
    """Return a row for everything that is there, with the classes that are known."""
    rows: dict[str, Row] = {}
    for name, (kind, verbs) in sorted(there.items(), key=lambda entry: _order(entry[0])):
        old = known.get(name)
        if old is None:
            rows[name] = Row(kind=kind, forbidden=tuple(sorted(verbs)), why=NOT_REVIEWED)
            continue
        by_class = {which: tuple(v for v in getattr(old, which) if v in verbs) for which in _CLASSES}
        new = verbs - set(old.verbs)
        by_class["forbidden"] = tuple(sorted({*by_class["forbidden"], *new}))
        why = f"{old.why} ({NOT_REVIEWED}: {', '.join(sorted(new))})" if new else old.why
        rows[name] = Row(kind=kind, why=why, **by_class)
    return rows


def _order(name: str) -> tuple[str, str]:
    """Sort by group, then by name, so that a subresource stands below its resource."""
    plural, _, subresource = name.partition("/")
    return plural.partition(".")[2], f"{plural}/{subresource}"


def written(rows: Mapping[str, Row]) -> str:
    """Return the file's text: one line a row."""
    lines = [HEAD + "resources:"]
    for name, row in rows.items():
        parts = [f"kind: {row.kind}"]
        parts += [f"{which}: [{', '.join(getattr(row, which))}]" for which in _CLASSES if getattr(row, which)]
        parts += [f"why: {json.dumps(row.why, ensure_ascii=False)}"] if row.why else []
        lines.append(f"  {name}: {{{', '.join(parts)}}}")
    return "\n".join(lines) + "\n"


def main(words: list[str] | None = None) -> int:
    """Write the file again, and say what is new and what went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--insecure-skip-tls-verify", action="store_true", help="for an original on loopback")
    given = parser.parse_args(words)

    async def read() -> tuple[str, Served]:
        bounds = Bounds(insecure_skip_tls_verify=given.insecure_skip_tls_verify)
        client = KubeClient(given.kubeconfig, bounds=bounds)
        try:
            return await served(client)
        finally:
            await client.aclose()

    version, there = asyncio.run(read())
    rows = merged(table(), there)
    PATH.write_text(written(rows), "utf-8")
    new, gone = sorted(set(rows) - set(table())), sorted(set(table()) - set(rows))
    sys.stdout.write(
        f"{len(rows)} rows of {version}; new: {', '.join(new) or 'none'}; gone: {', '.join(gone) or 'none'}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
