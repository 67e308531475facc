"""Duration expressions."""

from typing import Final

from promql_harness import Cases

CASES: Final = Cases()

CASES.queries(
    [
        "rate(many_total[30s * 2])",
        "rate(many_total[1m + 30s])",
        "rate(many_total[2m - 1m])",
        "rate(many_total[4m / 2])",
        "rate(many_total[100 % 61])",
        "rate(many_total[2 ^ 6])",
        "rate(many_total[(1m + 30s) * 2])",
        "gauge offset (1m - 30s)",
        "gauge offset -(30s)",
        "gauge offset (2 ^ 5)",
        "gauge offset (1m * 2 - 7s)",
        "gauge offset (300 % 47)",
        "rate(many_total[max_of(1m, 30s)])",
        "rate(many_total[min_of(1m, 2m) + 5s])",
        "rate(many_total[max_of(20s, min_of(3m, 1m))])",
        "gauge offset min_of(10s, 5s)",
        "gauge offset -max_of(10s, 5s)",
        "avg_over_time(dense[10s * 3:1s * 2])",
        "max_over_time(dense[5m / 5:2 ^ 2])",
        "sum_over_time(dense[100 % 70:10 % 7])",
        "dense[2s * 2]",
        "dense[10s - 4s] offset (4s / 2)",
        "rate(many_total[step() + 1m])",
        "rate(many_total[max_of(step(), 1m)])",
        "avg_over_time(dense[step() * 2 + 3s])",
        "avg_over_time(dense[range() / 10 + 1m])",
        "sum_over_time(dense[min_of(range(), 5m) + 1s])",
        "gauge offset step()",
        "gauge offset -step()",
        "gauge offset range()",
        "gauge offset (range() / 20)",
        "rate(many_total[step()])",
        "rate(many_total[range()])",
        "count_over_time(dense[1m:max_of(step(), 5s)])",
        "sum_over_time(dense[2s - 2s])",
        "sum_over_time(dense[1s - 2s])",
        "dense[1s / 0]",
        "dense[5 % 0]",
        "sum_over_time(dense[-1s])",
        "dense[0s]",
        "sum_over_time(dense[0 * 1m])",
        "dense[1e30s]",
        "dense offset 1e300",
        "dense[-(-5s)]",
        "dense[+5s]",
        "dense[2 ^ 2 ^ 2]",
        "dense[1.0005]",
        "dense[1.0015 * 1]",
        "dense[2.5s]",
        "gauge offset (30s)",
        "dense[(5s)]",
    ]
)
