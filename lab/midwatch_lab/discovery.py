"""Discovery of scrape targets in the lab's cluster: jobs with static targets, pods, and pods behind Services.

The roles are those of Prometheus's `kubernetes_sd_configs`: `endpoints` (`endpointslice` finds the same) and `pod`.
What was found is kept while its objects stay the same, since it is asked for at every scrape.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from midwatch_lab.controllers.endpoints import Backend, backends
from midwatch_lab.discovery_labels import endpoint_targets, pod_targets
from midwatch_lab.discovery_objects import Objects
from midwatch_lab.kinds.resources import PODS, SERVICES
from midwatch_lab.metrics.scrape_config import Discovery, Job
from midwatch_lab.metrics.targets import Dropped, Target, populated
from midwatch_lab.monitors import Monitors
from midwatch_lab.objects import Object, dig, is_terminating, name_of, namespace_of

Found = list[Target | Dropped]
_Place = tuple[str, ...]
_Kept = tuple[tuple[object, ...], Found]
"""The job and the objects that targets were made of, and the targets."""


@dataclass
class Discoverer:
    """Finds the targets of jobs; `interval_s` and `timeout_s` are those of jobs that name none."""

    objects: Objects
    jobs: Sequence[Job]
    interval_s: float = 1.0
    timeout_s: float = 1.0
    _kept: dict[_Place, _Kept] = field(default_factory=dict[_Place, _Kept])
    _before: dict[_Place, _Kept] = field(default_factory=dict[_Place, _Kept])
    _monitors: Monitors = field(init=False)

    def __post_init__(self) -> None:
        self._monitors = Monitors(self.objects)

    def targets(self) -> Found:
        """Return what there is, scraped and dropped, of the jobs and of the cluster's monitors."""
        self._before, self._kept = self._kept, {}
        monitored = [target for job in self._monitors.jobs() for target in self._of(job)]
        taken = {(target.url, *sorted(target.labels.items())) for target in monitored if isinstance(target, Target)}
        found = [target for job in self.jobs for target in self._of(job) if not _is_taken(target, taken)]
        return found + monitored

    def _of(self, job: Job) -> Found:
        found = list(self._same((job.name,), (), job, lambda: job.static))
        for discovery in job.kubernetes:
            found += (self._endpoints if discovery.role == "endpoints" else self._pods)(job, discovery)
        return found

    def _endpoints(self, job: Job, discovery: Discovery) -> Found:
        found: Found = []
        for service in self.objects.items(SERVICES.key):
            namespace = namespace_of(service)
            if discovery.namespaces and namespace not in discovery.namespaces:
                continue
            for backend in backends(service, self.objects.items(PODS.key, namespace)):
                if not is_terminating(backend.pod):
                    found += self._backend(job, service, backend)
        return found

    def _backend(self, job: Job, service: Object, backend: Backend) -> Found:
        place = (job.name, "endpoints", namespace_of(service), name_of(service), name_of(backend.pod))
        return self._same(place, (service, backend.pod), job, lambda: endpoint_targets(service, backend))

    def _pods(self, job: Job, discovery: Discovery) -> Found:
        found: Found = []
        for pod in self.objects.items(PODS.key):
            if discovery.namespaces and namespace_of(pod) not in discovery.namespaces:
                continue
            if dig(pod, "status", "podIP") and not is_terminating(pod):
                place = (job.name, "pod", namespace_of(pod), name_of(pod))
                found += self._same(place, (pod,), job, lambda pod=pod: pod_targets(pod))
        return found

    def _same(
        self, place: _Place, objects: tuple[Object, ...], job: Job, labels: Callable[[], Iterable[Mapping[str, str]]]
    ) -> Found:
        """Return the targets made of objects; those of before where the objects are."""
        kept, made_of = self._before.get(place), (job, *objects)
        if kept is None or any(one is not other for one, other in zip(kept[0], made_of, strict=True)):
            kept = (made_of, [populated(one, job, self.interval_s, self.timeout_s) for one in labels()])
        self._kept[place] = kept
        return kept[1]


def _is_taken(target: Target | Dropped, taken: Collection[object]) -> bool:
    """Say whether a target is left to the one that a monitor has of it."""
    if not taken or not isinstance(target, Target) or not target.job.yielding:
        return False
    return (target.url, *sorted(target.labels.items())) in taken
