"""From the labels that a page shows to those of a series: with its target's, relabelled, and within limits."""

from collections.abc import Mapping
from dataclasses import dataclass

from midwatch_contracts.promql import quote_value
from midwatch_lab.metrics.errors import ScrapeError
from midwatch_lab.metrics.labels import NAME, Labels, from_dict
from midwatch_lab.metrics.relabelling import relabelled
from midwatch_lab.metrics.scrape_config import Job
from midwatch_lab.metrics.store import Series, Store
from midwatch_lab.metrics.targets import Target

_SHOWN = 50


@dataclass(frozen=True)
class SeriesOf:
    """Gives the series of what a target's page shows."""

    store: Store
    target: Target

    def __call__(self, exposed: dict[str, str]) -> Series | None:
        """Return the series of labels, None where relabelling drops it.

        Raises:
            ScrapeError: when a label goes beyond the job's limits, or relabelling takes the name away.
        """
        job = self.target.job
        labels = dict((honoured if job.honor_labels else conflict_free)(exposed, self.target.labels))
        if job.metric_relabel:
            found = relabelled(labels, job.metric_relabel)
            if found is None:
                return None
            labels = found
        if not labels.get(NAME):
            raise ScrapeError("missing metric name (__name__ label)")
        _check(labels, job)
        return self.store.series(from_dict(labels))


def conflict_free(exposed: Mapping[str, str], target: Mapping[str, str]) -> Labels:
    """Join the labels of a line and its target; the target's win, a line's own moves to `exported_<name>`."""
    joined = {name: value for name, value in exposed.items() if name not in target}
    for name, value in exposed.items():
        if name in target and value:
            moved = f"exported_{name}"
            while moved in joined or moved in target:
                moved = f"exported_{moved}"
            joined[moved] = value
    return from_dict({**joined, **target})


def honoured(exposed: Mapping[str, str], target: Mapping[str, str]) -> Labels:
    """Join the labels of a line and its target; the line's win, and an empty one takes the target's away."""
    return from_dict({**target, **exposed})


def _check(labels: Mapping[str, str], job: Job) -> None:
    """Refuse what is beyond the limits, in the original's words."""
    metric = labels[NAME][:_SHOWN]
    if job.label_limit and len(labels) > job.label_limit:
        numbers = f"number of labels: {len(labels)}, limit: {job.label_limit}"
        raise ScrapeError(f"label_limit exceeded (metric: {metric}, {numbers})")
    if not (job.label_name_length_limit or job.label_value_length_limit):
        return
    for name, value in sorted(labels.items()):
        sizes = len(name.encode()), len(value.encode())
        if job.label_name_length_limit and sizes[0] > job.label_name_length_limit:
            numbers = f"length: {sizes[0]}, limit: {job.label_name_length_limit}"
            shown = f"metric: {metric}, label name: {name[:_SHOWN]}, {numbers}"
            raise ScrapeError(f"label_name_length_limit exceeded ({shown})")
        if job.label_value_length_limit and sizes[1] > job.label_value_length_limit:
            numbers = f"length: {sizes[1]}, limit: {job.label_value_length_limit}"
            shown = f"metric: {metric}, label name: {name[:_SHOWN]}, value: {quote_value(value[:_SHOWN])}, {numbers}"
            raise ScrapeError(f"label_value_length_limit exceeded ({shown})")
