"""Queries drawn from the grammar with a fixed seed: nestings that nobody would think of writing down."""

import random
from typing import Final

from promql_harness import Cases

CASES: Final = Cases()
COUNT: Final = 150

_SELECTORS: Final = (
    "http_requests_total",
    'http_requests_total{job="api",code="200"}',
    'gauge{shape=~"wave|same"}',
    "many_total",
    'many_total{even="1"}',
    "dense",
    "ttft_bucket",
    'ttft_bucket{pod!="p2"}',
    "queue_depth",
    'gauge{shape="ends"}',
    '{"http.größe"}',
)
_MODIFIERS: Final = ("", "", "", " offset 45s", " offset -1m", " @ 1700000333", " @ end()", " @ start() offset 30s")
_RANGES: Final = ("30s", "1m", "100s", "3m", "10m", "1m * 2", "min_of(2m, 90s)")
_OF_RANGES: Final = (
    *("rate", "increase", "delta", "irate", "idelta", "deriv", "changes", "resets", "avg_over_time", "sum_over_time"),
    *("min_over_time", "max_over_time", "count_over_time", "last_over_time", "stddev_over_time", "present_over_time"),
)
_OF_VECTORS: Final = (
    *("abs", "ceil", "floor", "sqrt", "exp", "ln", "log2", "sgn", "round", "sin", "cos", "atan", "timestamp", "minute"),
)
_AGGREGATIONS: Final = ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")
_GROUPINGS: Final = (
    "",
    " by (job)",
    " by (instance, even)",
    " without (code)",
    " without (number, le, pod)",
    " by (le)",
)
_OPERATORS: Final = ("+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=")
_NUMBERS: Final = ("2", "0.5", "-1", "1e3", "time() % 7", "scalar(dense)", "pi()")


class _Grammar:
    """Draws instant vectors, at most `depth` deep."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)  # noqa: S311 (queries, not secrets)

    def vector(self, depth: int) -> str:
        pick = self.draw.choice
        if depth == 0:
            return pick(_SELECTORS) + pick(_MODIFIERS)
        inner = self.vector(depth - 1)
        return pick(
            (
                f"{pick(_OF_RANGES)}({pick(_SELECTORS)}[{pick(_RANGES)}]{pick(_MODIFIERS)})",
                f"{pick(_OF_RANGES)}(({inner})[{pick(('2m:15s', '5m:', '90s:7s'))}]{pick(_MODIFIERS)})",
                f"{pick(_OF_VECTORS)}({inner})",
                f"{pick(_AGGREGATIONS)}{pick(_GROUPINGS)} ({inner})",
                f"{pick(('topk', 'bottomk'))}(100, {inner})",  # of equal values either side may keep any
                f"quantile{pick(_GROUPINGS)} (0.{pick('1359')}, {inner})",
                f"({inner}) {pick(_OPERATORS)} {pick(_NUMBERS)}",
                f"{pick(_NUMBERS)} {pick(('+', '-', '*', '/', '> bool', '== bool'))} ({inner})",
                f"({inner}) {pick(('and', 'or', 'unless'))} on (job, instance) ({self.vector(depth - 1)})",
                f"({inner}) {pick(('+', '-', '/', '> bool', '<'))} ({inner})",
                f"-({inner})",
                f"clamp({inner}, 1, 40)",
                f"histogram_quantile(0.{pick('159')}, sum by (le) ({inner}))",
                f"absent({inner})",
                f'label_replace({inner}, "copy", "$1", "{pick(("job", "number", "le"))}", "(.*)")',
            )
        )


_DRAWN: Final = _Grammar(20231114)
CASES.queries(dict.fromkeys(_DRAWN.vector(1 + number % 3) for number in range(COUNT)))
