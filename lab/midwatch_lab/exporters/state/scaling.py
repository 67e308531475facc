"""HorizontalPodAutoscalers and PodDisruptionBudgets."""

from collections.abc import Iterable, Iterator
from typing import Final

from midwatch_lab.exporters.family import Family, Point
from midwatch_lab.exporters.state.kind import NAME, NAMESPACE, Kind
from midwatch_lab.exporters.state.reading import amount, conditions, created, generation, number, observed, words
from midwatch_lab.kinds.resources import AUTOSCALERS, DISRUPTION_BUDGETS
from midwatch_lab.objects import Object, dig

_HPA: Final = "kube_horizontalpodautoscaler"
_PDB: Final = "kube_poddisruptionbudget"
_SOURCES: Final = {
    "Object": ("object", ("metric", "name")),
    "Pods": ("pods", ("metric", "name")),
    "Resource": ("resource", ("name",)),
    "ContainerResource": ("containerResource", ("name",)),
    "External": ("external", ("metric", "name")),
}
"""By the type of a metric: the field that it stands in, and where its name stands there."""
_METRIC_LABELS: Final = ("metric_name", "metric_target_type")


def _figures(metrics: list[Object], place: str) -> Iterator[Point]:
    for metric in metrics:
        field, path = _SOURCES.get(metric.get("type", ""), ("", ()))
        name, figure = dig(metric, field, *path, default=""), dig(metric, field, place, default={})
        for key, word in (("value", "value"), ("averageValue", "average")):
            if figure.get(key) is not None:
                yield {"metric_name": name, "metric_target_type": word}, amount(str(figure[key]))
        if figure.get("averageUtilization") is not None:
            yield {"metric_name": name, "metric_target_type": "utilization"}, float(figure["averageUtilization"])


def _targets(item: Object) -> Iterable[Point]:
    return _figures(dig(item, "spec", "metrics", default=[]), "target")


def _currents(item: Object) -> Iterable[Point]:
    return _figures(dig(item, "status", "currentMetrics", default=[]), "current")


AUTOSCALER_KIND: Final = Kind(
    AUTOSCALERS,
    {**NAMESPACE, "horizontalpodautoscaler": NAME},
    (
        Family(
            f"{_HPA}_info",
            "What the autoscaler scales",
            words(
                {
                    "scaletargetref_api_version": ("spec", "scaleTargetRef", "apiVersion"),
                    "scaletargetref_kind": ("spec", "scaleTargetRef", "kind"),
                    "scaletargetref_name": ("spec", "scaleTargetRef", "name"),
                }
            ),
            ("scaletargetref_api_version", "scaletargetref_kind", "scaletargetref_name"),
        ),
        generation(_HPA),
        Family(f"{_HPA}_spec_max_replicas", "Most pods that it may ask for", number("spec", "maxReplicas")),
        Family(f"{_HPA}_spec_min_replicas", "Fewest pods that it may ask for", number("spec", "minReplicas")),
        Family(f"{_HPA}_spec_target_metric", "What its metrics are to be", _targets, _METRIC_LABELS),
        Family(f"{_HPA}_status_target_metric", "What its metrics are", _currents, _METRIC_LABELS),
        Family(f"{_HPA}_status_current_replicas", "Pods that there are", number("status", "currentReplicas")),
        Family(f"{_HPA}_status_desired_replicas", "Pods that it asks for", number("status", "desiredReplicas")),
        Family(
            f"{_HPA}_status_condition",
            "1 for the status of each condition of the autoscaler",
            conditions,
            ("condition", "status"),
        ),
    ),
)
BUDGET_KIND: Final = Kind(
    DISRUPTION_BUDGETS,
    {**NAMESPACE, "poddisruptionbudget": NAME},
    (
        created(_PDB),
        Family(f"{_PDB}_status_current_healthy", "Pods that are healthy", number("status", "currentHealthy")),
        Family(f"{_PDB}_status_desired_healthy", "Pods that are to be healthy", number("status", "desiredHealthy")),
        Family(
            f"{_PDB}_status_pod_disruptions_allowed",
            "Pods that may be evicted",
            number("status", "disruptionsAllowed"),
        ),
        Family(f"{_PDB}_status_expected_pods", "Pods under the budget", number("status", "expectedPods")),
        observed(_PDB),
    ),
)
