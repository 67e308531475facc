"""The samples that both sides are given: gaps, resets, NaN, infinities, staleness, odd histograms, odd names.

Drawn from fixed seeds, so that a difference can be looked at again.
"""

import math
import random
from collections.abc import Iterable

from midwatch_lab.metrics.labels import Labels, from_dict
from midwatch_lab.metrics.remote_write import Data
from midwatch_lab.metrics.store import STALE
from promql_harness.cases import START_S

START = int(START_S * 1000)
STEP = 15_000
COUNT = 41
_TIMES = [START + index * STEP for index in range(COUNT)]

Samples = list[tuple[int, float]]


def _labels(name: str, **labels: str) -> Labels:
    return from_dict({"__name__": name, **labels})


def _steady(values: Iterable[float]) -> Samples:
    return list(zip(_TIMES, values, strict=True))


def _counter(seed: int, *, jitter: int = 0, reset: float = 0.02) -> Samples:
    """A counter that grows unevenly, with resets, gaps and scrapes that are up to `jitter` ms off."""
    draw = random.Random(seed)  # noqa: S311 (data, not secrets)
    samples: Samples = []
    value = draw.uniform(0, 50)
    for at in _TIMES:
        value = draw.uniform(0, 2) if draw.random() < reset else value + draw.choice([0, 0, 1, 2.5, 7.125])
        if draw.random() > 0.05:
            samples.append((at + draw.randint(-jitter, jitter), value))
    return samples


def _requests() -> dict[Labels, Samples]:
    data: dict[Labels, Samples] = {}
    seed = 0
    for job in ("api", "db"):
        for instance in ("a", "b", "c"):
            for code in ("200", "500"):
                seed += 1
                data[_labels("http_requests_total", job=job, instance=instance, code=code)] = _counter(
                    seed, jitter=1 if instance == "b" else 0
                )
            data[_labels("node_info", job=job, instance=instance, zone="z" + instance)] = _steady([1.0] * COUNT)
            info = {
                "job": job,
                "instance": instance,
                "version": f"v{seed}",
                "region": "north" if job == "api" else "south",
            }
            data[_labels("target_info", **info)] = _steady([1.0] * COUNT)
    # The version of one target changes half-way; the old series ends with a marker, or without one.
    data[_labels("target_info", job="api", instance="a", version="v99", region="north")] = _steady([1.0] * COUNT)[25:]
    data[_labels("build_info", job="api", instance="a", version="b1", branch="main")] = _steady([1.0] * COUNT)
    for shard in ("s1", "s2", "s10", "s9b2"):
        data[_labels("queue_depth", shard=shard, job="api")] = _counter(sum(map(ord, shard)), reset=0.3)
    return data


def _histogram(name: str, bounds: list[str], seed: int, **labels: str) -> dict[Labels, Samples]:
    draw = random.Random(seed)  # noqa: S311 (data, not secrets)
    totals = [0.0] * len(bounds)
    samples: list[Samples] = [[] for _ in bounds]
    for index in range(121):
        seen = draw.expovariate(1.5) - (0.5 if labels.get("pod") == "p2" else 0)
        for position, bound in enumerate(bounds):
            totals[position] += seen <= float(bound)
            samples[position].append((START + index * 5000, totals[position]))
    return {_labels(name, le=bound, **labels): found for bound, found in zip(bounds, samples, strict=True)}


def _histograms() -> dict[Labels, Samples]:
    data: dict[Labels, Samples] = {}
    bounds = ["0.1", "0.25", "0.5", "1", "2.5", "5.0", "+Inf"]
    for number, pod in enumerate(("p0", "p1")):
        data |= _histogram("ttft_bucket", bounds, 40 + number, pod=pod)
    data |= _histogram("ttft_bucket", ["-0.5", "-0.1", "0", "10", "9", "0.5", "+Inf"], 42, pod="p2")
    data |= _histogram("endless_bucket", ["1", "2", "3"], 43, pod="p0")
    data |= _histogram("single_bucket", ["+Inf"], 44, pod="p0")
    data |= _histogram("twice_bucket", ["1", "1.0", "2", "Inf", "+Inf"], 45)
    falling = [3.0, 2.0, 7.0, 6.5, 9.0]
    for bound, share in zip(["1", "2", "4", "8", "+Inf"], falling, strict=True):
        data[_labels("falling_bucket", le=bound, pod="p9")] = _steady(share * index for index in range(COUNT))
    for bound, share in zip(["1", "2", "+Inf"], [1.0, 1.0 + 1e-15, 2.0], strict=True):
        data[_labels("rounded_bucket", le=bound)] = _steady(share * index for index in range(COUNT))
    for bound in ("1", "NaN", "", "one", "+Inf"):
        data[_labels("broken_bucket", le=bound, pod="p0")] = _steady(float(index) for index in range(COUNT))
    for bound, value in (("1", 1.0), ("2", math.nan), ("+Inf", math.nan)):
        data[_labels("blank_bucket", le=bound)] = _steady([value] * COUNT)
    return data


def _gauges() -> dict[Labels, Samples]:
    draw = random.Random(7)  # noqa: S311 (data, not secrets)
    shapes: dict[str, list[float]] = {
        "wave": [math.sin(index / 5) * 10 for index in range(COUNT)],
        "odd": [draw.choice([math.nan, math.inf, -math.inf, 0.0, -1.5, 1e300, -0.0]) for _ in _TIMES],
        "ends": [STALE if 20 <= index < 25 or index >= 38 else float(index) for index in range(COUNT)],
        "same": [3.0] * COUNT,
        "huge": [1e308, 1.5e308] * 20 + [1e308],
    }
    data = {_labels("gauge", shape=shape, path=f"/v1/{shape}\nx"): _steady(values) for shape, values in shapes.items()}
    data[_labels("short", le="1")] = [(START + 300_000, 5.0)]
    data[_labels("dense", unit="s")] = [(START + index * 1000, float(index % 97)) for index in range(601)]
    data[_labels("epoch")] = _steady(START_S + 86400 * 17.37 * index for index in range(COUNT))
    data[_labels("lone_gauge", __type__="gauge", __unit__="bytes", a="b")] = _steady(float(i) for i in range(COUNT))
    data[from_dict({"__name__": "http.größe", "label with space": 'ü "x"', "k8s.pod/name": "p-1"})] = _counter(77)
    data[from_dict({"__name__": "http.größe", "label with space": "b\\c", "k8s.pod/name": "p-2"})] = _counter(78)
    for number in range(12):
        data[_labels("many_total", number=str(number), even=str(number % 2))] = _counter(100 + number, reset=0.1)
    for number in range(12):
        data[_labels(f"named_{number}", le=f"bad{number}")] = _steady(float(index * number) for index in range(COUNT))
    return data


def samples() -> Data:
    """Return all samples, each series in order of time."""
    return {**_requests(), **_histograms(), **_gauges()}
