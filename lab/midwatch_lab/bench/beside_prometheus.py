"""`midwatch bench metrics`: the lab's Prometheus beside the original 3.16, on the same samples in the same run."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.figure import Figure
from midwatch_lab.bench import ingest, queries
from midwatch_lab.bench.fleet import START_MS, Fleet
from midwatch_lab.bench.processes import cpu_seconds, resident_bytes
from midwatch_lab.errors import LabError, OriginalError
from midwatch_lab.original_prometheus import OriginalPrometheus, prometheus_binary, prometheus_running

_IN_MEMORY: Final = ("--storage.tsdb.min-block-duration=24h", "--storage.tsdb.max-block-duration=24h")
"""Keeps six hours in the original's head, as the lab keeps them, and its compaction out of the times."""
_SCRAPED: Final = 80
"""Scrapes that are given as text."""
_SMALL: Final = (40, 240)
"""Pods and scrapes of the figure among those of `midwatch bench`: 1,000 series over an hour."""


@dataclass(frozen=True)
class Filled:
    """A side that has the samples: where it answers, and what they cost it in CPU time (s) and memory (bytes)."""

    url: str
    seconds: float
    resident: int
    counted: int = 0
    """How much memory the side itself believes that they take."""


def rate_sum_ratio() -> Iterable[Figure]:
    """Measure a sum of rates by the lab ÷ by the original, over 1,000 series and an hour, in the same run.

    Raises:
        CommandError: when the original is not there.
    """
    fleet = Fleet(*_SMALL)
    try:
        with _original(fleet) as theirs, _lab(fleet) as ours:
            request = next(queries.asked(START_MS / 1000, fleet.end_s))
            ratio = next(figure.ratio for figure in queries.compare(request, ours.url, theirs.url))
    except OriginalError as error:
        raise CommandError(str(error)) from error
    return [Figure.beside(f"promql_rate_sum_{fleet.series}_ratio", ratio, "of the original's time", baseline=1.0)]


def main(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print one JSON line a figure: queries, and what a sample costs to take in and to keep."""
    del settings
    fleet = Fleet(arguments.pods, arguments.scrapes)
    try:
        for figure in _compared(fleet):
            sys.stdout.write(figure.model_copy(update={"command": "make bench-metrics"}).model_dump_json() + "\n")
            sys.stdout.flush()
    except LabError as error:
        raise CommandError(str(error)) from error
    return Exit.OK


def _compared(fleet: Fleet) -> Iterable[Figure]:
    sys.stderr.write(f"giving {fleet.samples:,} samples of {fleet.series:,} series to both sides …\n")
    with _original(fleet) as theirs, _lab(fleet) as ours:
        for request in queries.asked(START_MS / 1000, fleet.end_s):
            yield from queries.compare(request, ours.url, theirs.url)
    samples, unit = fleet.samples, "samples a second of CPU time; the original by remote write"
    baseline = samples / theirs.seconds
    yield Figure.beside("metrics_append_samples_s", samples / ours.seconds, unit, baseline=baseline)
    scraped, seconds = ingest.scrape(Fleet(fleet.pods, min(fleet.scrapes, _SCRAPED)))
    yield Figure.beside("metrics_scrape_samples_s", scraped / seconds, unit, baseline=baseline)
    taken, theirs_taken = ours.resident / samples, theirs.resident / samples
    yield Figure.beside("metrics_resident_bytes_a_sample", taken, "bytes", baseline=theirs_taken)
    unit = "bytes, as retention by size counts; beside what was measured"
    yield Figure.beside("metrics_counted_bytes_a_sample", ours.counted / samples, unit, baseline=taken)


@contextmanager
def _original(fleet: Fleet) -> Generator[Filled]:
    """Run the original, filled, until the block ends."""
    with (
        tempfile.TemporaryDirectory() as folder,
        prometheus_running(prometheus_binary(), Path(folder), arguments=_IN_MEMORY) as found,
    ):
        resident, seconds = resident_bytes(found.pid), cpu_seconds(found.pid)
        _fill(found, fleet)
        seconds, resident = cpu_seconds(found.pid) - seconds, resident_bytes(found.pid) - resident
        yield Filled(found.url, seconds, resident)


def _fill(original: OriginalPrometheus, fleet: Fleet) -> None:
    for stretch in fleet.stretches(ingest.STRETCH):
        original.write(
            {
                labels: list(zip(times, values, strict=True))
                for pod, times in ((pod, pod.times.tolist()) for pod in stretch)
                for labels, values in zip(pod.labels, pod.values.tolist(), strict=True)
            }
        )


@contextmanager
def _lab(fleet: Fleet) -> Generator[Filled]:
    """Run the lab's Prometheus as a process of its own, filled, until the block ends.

    Raises:
        LabError: when it does not start.
    """
    command = [sys.executable, "-m", "midwatch_lab.bench.metrics_server", str(fleet.pods), str(fleet.scrapes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        line = process.stdout.readline() if process.stdout is not None else b""
        if not line:
            raise LabError(f"the lab's Prometheus did not start: `{' '.join(command)}` ended with {process.wait()}")
        found = json.loads(line)
        yield Filled(found["url"], found["append_s"], found["resident"], found["counted"])
        # Leaving the block closes its standard input, which ends it.
