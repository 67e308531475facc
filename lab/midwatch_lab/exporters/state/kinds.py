"""All kinds of objects, and the exporter that tells what changed in them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from midwatch_lab.exporters.state.allowlist import Allowed, labels_family
from midwatch_lab.exporters.state.batch import CRON_JOB_KIND, JOB_KIND
from midwatch_lab.exporters.state.cluster import CONFIG_MAP_KIND, LEASE_KIND, NAMESPACE_KIND, NODE_KIND, SECRET_KIND
from midwatch_lab.exporters.state.kind import Kind
from midwatch_lab.exporters.state.limits import QUOTA_KIND, RANGE_KIND
from midwatch_lab.exporters.state.network import ENDPOINT_KIND, INGRESS_KIND, POLICY_KIND, SERVICE_KIND
from midwatch_lab.exporters.state.pods import POD_KIND
from midwatch_lab.exporters.state.scaling import AUTOSCALER_KIND, BUDGET_KIND
from midwatch_lab.exporters.state.storage import CLAIM_KIND, CLASS_KIND, VOLUME_KIND
from midwatch_lab.exporters.state.workloads import DAEMON_SET_KIND, DEPLOYMENT_KIND, REPLICA_SET_KIND, STATEFUL_SET_KIND
from midwatch_lab.metrics.gauges import Gauge, Group
from midwatch_lab.metrics.local import Exporter
from midwatch_lab.metrics.targets import Target
from midwatch_lab.objects import Object, uid_of
from midwatch_lab.store.changes import Change, Key
from midwatch_lab.store.store import Store

_AT_ONCE: Final = 500
"""Objects that one scrape reads: a quarter of a second's work, for which a watch or a probe may wait."""
STATE_JOB: Final = "kube-state-metrics"
KINDS: Final = (
    CONFIG_MAP_KIND, CRON_JOB_KIND, DAEMON_SET_KIND, DEPLOYMENT_KIND, ENDPOINT_KIND, AUTOSCALER_KIND, INGRESS_KIND,
    JOB_KIND, LEASE_KIND, RANGE_KIND, NAMESPACE_KIND, POLICY_KIND, NODE_KIND, VOLUME_KIND, CLAIM_KIND, BUDGET_KIND,
    POD_KIND, REPLICA_SET_KIND, QUOTA_KIND, SECRET_KIND, SERVICE_KIND, STATEFUL_SET_KIND, CLASS_KIND,
)  # fmt: skip
"""The kinds that the original reads unless told otherwise, as far as the lab has them."""
_WITHOUT_LABELS: Final = (LEASE_KIND, RANGE_KIND)
LABELLED: Final = tuple(kind.resource.plural for kind in KINDS if kind not in _WITHOUT_LABELS)
"""The kinds that have a series of their labels, once some are allowed."""


def kinds_with(allowed: Allowed) -> tuple[Kind, ...]:
    """Return the kinds, each with its family of allowed labels."""
    return tuple(
        replace(kind, families=(*kind.families, labels_family(_prefix(kind), kind.resource.plural, allowed)))
        if kind.resource.plural in LABELLED
        else kind
        for kind in KINDS
    )


def _prefix(kind: Kind) -> str:
    return f"kube_{kind.resource.singular.removesuffix('s') if kind is ENDPOINT_KIND else kind.resource.singular}"


@dataclass
class StateMetrics:
    """Follows the store, so that a scrape looks at what was written since the one before and at nothing else."""

    store: Store
    allowed: Allowed = field(default_factory=dict[str, tuple[str, ...]])
    _readers: dict[Key, Callable[[Object], Iterable[Gauge]]] = field(init=False)
    _changed: dict[tuple[Key, str], Object | None] = field(init=False)

    def __post_init__(self) -> None:
        self.kinds = kinds_with(self.allowed)
        self._readers = {kind.resource.key: kind.read for kind in self.kinds}
        self._changed = {}
        for change in self.store.present():
            self._heard(change)
        self.store.listen(self._heard)

    def _heard(self, change: Change) -> None:
        if change.key in self._readers:
            self._changed[change.key, uid_of(change.obj)] = None if change.type == "DELETED" else change.obj

    def groups(self) -> Iterable[Group]:
        """Return the objects that are new, changed or gone since the last call, the longest known first.

        Of thousands at once only so many, and the others at the next scrape, since all else stands still meanwhile.
        """
        places = list(islice(self._changed, _AT_ONCE))
        return [Group(place, self._changed.pop(place), self._readers[place[0]]) for place in places]

    @property
    def pending(self) -> bool:
        """Whether there are objects that no scrape has read yet as they are."""
        return bool(self._changed)

    @property
    def exporter(self) -> Exporter:
        """The target that they are scraped from. Labels are those that kube-prometheus leaves: job and instance."""
        families = {family.name: family.metadata for kind in self.kinds for family in kind.families}
        return Exporter(
            Target({"job": STATE_JOB, "instance": "lab"}, f"lab://{STATE_JOB}"), families, self.groups, whole=False
        )
