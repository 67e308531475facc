"""The answer to a what-if as a table for a person."""

import math
from collections.abc import Mapping
from typing import Any

from midwatch_serving.what_if import BANDED


def table(found: Mapping[str, Any]) -> str:
    """Return the answer as a table for a person."""
    present, other = found["current"], found["proposed"]
    lines = [f"{'simulated with ' + found['cost_model']['name']:<26}{'current':>26}{'proposed':>26}"]
    changed = {n: v for n, v in other["config"].items() if present["config"].get(n) != v}
    for name, value in {**changed, "replicas": other["replicas"]}.items():
        before = present["replicas"] if name == "replicas" else present["config"].get(name)
        lines.append(f"{name:<26}{before!s:>26}{value!s:>26}")
    for name in BANDED:
        which, part = name.split("_")
        cells = [_cell(side["figures"][f"{which}_ms"], part, side["bands"][f"{name}_ms"]) for side in (present, other)]
        lines.append(f"{which.upper() + ' ' + part + ' ms':<26}{cells[0]:>26}{cells[1]:>26}")
    for name in ("request_throughput", "output_throughput", "goodput", "good_share"):
        values = [side["figures"][name] for side in (present, other)]
        cells = ["-" if v is None or not math.isfinite(v) else f"{v:.2f}" for v in values]
        lines.append(f"{name:<26}{cells[0]:>26}{cells[1]:>26}")
    lines.append(f"{'preemptions':<26}{present['preemptions']:>26}{other['preemptions']:>26}")
    error = found["error"]
    share = max(error["ttft_p50"], error["tpot_p50"])
    lines.append(f"in brackets: with the model's error, {share:.0%} at the median ({error['basis']})")
    return "\n".join(lines)


def _cell(figures: Mapping[str, float] | None, part: str, band: list[float] | None) -> str:
    return "-" if figures is None or band is None else f"{figures[part]:.1f} [{band[0]:.1f}, {band[1]:.1f}]"
