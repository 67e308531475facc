"""Benchmarks of the lab's metrics."""

from collections.abc import Iterable

from midwatch_contracts.figure import Figure, median_seconds
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.engine.query import instant, read
from midwatch_lab.metrics.store import Store

PODS = 3
BUCKETS = 40
SCRAPES = 60
START_S = 1_700_000_000
RUNS = 51
QUANTILE = "histogram_quantile(0.95, sum by (le) (rate(ttft_seconds_bucket[20s])))"
SUM = "sum(rate(ttft_seconds_bucket[20s]))"


def histogram_quantile() -> Iterable[Figure]:
    """Measure a p95 over 3 pods of 40 buckets at 1 s scrapes, in ms, beside the plain sum of the same rates."""
    store = _scraped()
    now = START_S + SCRAPES
    quantile, total = read(QUANTILE), read(SUM)
    ours = median_seconds(lambda: instant(store, quantile, now, Limits()), repeat=RUNS)
    base = median_seconds(lambda: instant(store, total, now, Limits()), repeat=RUNS)
    yield Figure.beside("promql_histogram_quantile_ms", ours * 1000, "ms", baseline=base * 1000)


def _scraped() -> Store:
    store = Store()
    for pod in range(PODS):
        for bucket in range(BUCKETS):
            labels = {"__name__": "ttft_seconds_bucket", "pod": f"chat-{pod}", "le": f"{(bucket + 1) / 10:.1f}"}
            series = store.series(tuple(sorted(labels.items())))
            for scrape in range(SCRAPES):
                store.append(series, (START_S + scrape) * 1000, float(scrape * (bucket + 1)))
    return store
