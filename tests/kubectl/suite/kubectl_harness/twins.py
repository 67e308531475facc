"""The same kubectl command on the lab and on the original: the same words, the same exit code.

What a server sets anew is replaced: uids, versions, times, ages, addresses and ports of services, folders of `diff`.
"""

import difflib
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from kubectl_harness.kubectl import Done, Kubectl

_SCRUBBED: Final = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| [+-]\d{4}( UTC)?)", "<time>"),
    (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "<time>"),
    (r"""(resourceVersion"?: ?)["']\d+["']""", r"\1<version>"),
    (r"\b10\.96\.\d+\.\d+\b", "<ip>"),
    (r"(nodePort\"?: ?|NodePort: +\S+ +)\d{5}", r"\1<port>"),
    (r":3[0-2]\d{3}/", ":<port>/"),
    (r"(?<![\w.-])\d{1,2}s\b", "<age>"),
    (r"/tmp/(LIVE|MERGED)-\d+", r"/tmp/\1"),
    (r"kubectl-edit-\d+", "kubectl-edit-N"),
    (r"(resource version to be 1, was )\d+", r"\1N"),
    (r"^W\d{4} [\d:.]+ +\d+ ", "W "),
    (r"https?://127\.0\.0\.1:\d+", "<server>"),
    (r" {2,}|(?<=\S) +$", "  "),
)  # fmt: skip


def _in_order(text: str) -> str:
    """Sort the managedFields of objects in YAML: the original's order depends on the second."""
    obj: Any = yaml.safe_load(text)
    for item in (obj, *obj.get("items", ())):
        item["metadata"].get("managedFields", []).sort(key=_manager)
    return yaml.safe_dump(obj)


def _manager(entry: dict[str, str]) -> tuple[str, ...]:
    return tuple(entry.get(key, "") for key in ("operation", "manager", "apiVersion", "subresource"))


@dataclass
class Twins:
    """Runs each command on both and compares."""

    lab: Kubectl
    original: Kubectl
    scrubbed: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """What a test wants replaced besides, as (pattern, replacement)."""

    def __call__(
        self, *arguments: str, stdin: str = "", code: int = 0, environment: Mapping[str, str] | None = None
    ) -> str:
        """Run a command that is to end with this code, and return what it printed on the lab, stdout first."""

        def run(side: Kubectl) -> Done:
            return side.run(*arguments, stdin=stdin, environment=environment)

        with ThreadPoolExecutor(2) as pool:
            one, two = pool.map(run, (self.lab, self.original))
        shown = f"kubectl {' '.join(arguments)}"
        ours, theirs = self._comparable(one, self.lab), self._comparable(two, self.original)
        parted = "\n".join(difflib.unified_diff(theirs, ours, "the original", "the lab", lineterm=""))
        assert not parted, f"{shown}\n{parted}"
        assert one.code == code, f"{shown} ended with {one.code}: {one.err}{one.out}"
        return one.out + one.err

    def _comparable(self, done: Done, side: Kubectl) -> list[str]:
        out = _in_order(done.out) if "managedFields:" in done.out else done.out
        text = f"exit code {done.code}\n{out}\n-- stderr --\n{done.err}".replace(str(side.home), "<home>")
        for pattern, replacement in (*self.scrubbed, *_SCRUBBED):
            text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
        return text.splitlines()
