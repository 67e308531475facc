"""The HorizontalPodAutoscaler: every 15 seconds, as many replicas as its metrics ask for, no faster than it may.

Source: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/; conditions, reasons and events are
those of kube-controller-manager 1.36.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from midwatch_contracts.clock import Clock
from midwatch_lab.controllers.autoscaler_metrics import Measured, Target, UnreadableMetricError, measure
from midwatch_lab.controllers.recorder import Recorder
from midwatch_lab.controllers.runtime import Controller, Key
from midwatch_lab.controllers.scaling_limits import Bounds, History, limited
from midwatch_lab.errors import ApiError, LabError, SelectorError
from midwatch_lab.kinds.column import NONE
from midwatch_lab.kinds.resources import AUTOSCALERS, PODS, Resource
from midwatch_lab.objects import Object, copied, dig, labels_of, name_of, namespace_of, set_condition
from midwatch_lab.registry.registry import Registry
from midwatch_lab.registry.scale import has_scale, rescaled, scale_of
from midwatch_lab.selectors import LabelSelector
from midwatch_lab.store.store import Change
from midwatch_lab.usage import UsageBoard

_PERIOD_S: Final = 15.0
_COMPONENT: Final = "horizontal-pod-autoscaler"
_ACTIVE: Final = "ScalingActive"
_ABLE: Final = "AbleToScale"
_GOT: Final = "the HPA controller was able to get the target's current scale"


class TargetError(LabError):
    """What is to be scaled cannot be found, or cannot be scaled."""


class UnselectableError(LabError):
    """What is to be scaled does not say which pods are its own, or others scale them too."""


@dataclass
class _Round:
    """One look at an autoscaler: what it was, and what its status becomes."""

    scaler: Object
    resource: Resource
    obj: Object
    """What is scaled."""
    scale: Object
    status: Object

    @property
    def current(self) -> int:
        return int(dig(self.scale, "spec", "replicas", default=0))


class AutoscalerController(Controller):
    """Scales what autoscalers refer to."""

    principal = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"

    def __init__(self, registry: Registry, clock: Clock, recorder: Recorder, board: UsageBoard) -> None:
        super().__init__(registry, clock)
        self.recorder = recorder
        self.board = board
        self._histories: dict[Key, History] = {}

    def interested(self, change: Change) -> Iterable[Key]:
        """Return an autoscaler that is new, gone or was respecified; all else waits for the next period."""
        if change.key == AUTOSCALERS.key and (change.obj.get("spec") != (change.old or {}).get("spec")):
            yield namespace_of(change.obj), name_of(change.obj)
        elif change.key == AUTOSCALERS.key and change.type == "DELETED":
            self._histories.pop((namespace_of(change.obj), name_of(change.obj)), None)

    def reconcile(self, key: Key) -> float | None:
        """Look at the metrics and scale; again after the period."""
        scaler = self.registry.find(AUTOSCALERS, *key)
        if scaler is None:
            return None
        status = copied(scaler.get("status", {}))
        try:
            resource, obj = self._target(scaler)
            scale = scale_of(resource, obj)
        except (TargetError, ApiError) as error:
            self._say(scaler, "Warning", "FailedGetScale", str(error))
            text = f"the HPA controller was unable to get the target's current scale: {error}"
            self._set(status, _ABLE, "False", "FailedGetScale", text)
            self.write_status(AUTOSCALERS, scaler, status)
            return _PERIOD_S
        self._set(status, _ABLE, "True", "SucceededGetScale", _GOT)
        self._look(key, _Round(scaler, resource, obj, scale, status))
        return _PERIOD_S

    def _look(self, key: Key, look: _Round) -> None:
        spec: Object = look.scaler["spec"]
        least, most = int(spec.get("minReplicas", 1)), int(spec["maxReplicas"])
        current, metrics = look.current, None
        history = self._histories.setdefault(key, History())
        if not history.recommendations:
            history.recommendations.append((self.clock.now(), current))
        if not current and least:
            text = "scaling is disabled since the replica count of the target is zero"
            self._set(look.status, _ACTIVE, "False", "ScalingDisabled", text)
            wanted, why = 0, ""
        elif current > most:
            wanted, why = most, "Current number of replicas above Spec.MaxReplicas"
        elif current < least:
            wanted, why = least, "Current number of replicas below Spec.MinReplicas"
        else:
            best, metrics = self._measured(look)
            if best is None:
                self._write(look, dig(look.status, "desiredReplicas", default=0), metrics, rescaled_now=False)
                return
            wanted = best.proposal.replicas
            why = f"{best.name} above target" if wanted > current else "All metrics below target"
            wanted = self._limited(look, history, Bounds(least, most, current), wanted)
        if wanted != current:
            if not self._rescale(look, wanted, why):
                self._write(look, dig(look.status, "desiredReplicas", default=0), metrics, rescaled_now=False)
                return
            history.scaled(spec.get("behavior"), current, wanted, self.clock.now())
        self._write(look, wanted, metrics, rescaled_now=wanted != current)

    def _limited(self, look: _Round, history: History, bounds: Bounds, wanted: int) -> int:
        found = limited(history, look.scaler["spec"].get("behavior"), bounds, wanted, self.clock.now())
        self._set(look.status, _ABLE, "True", *found.stabilized)
        self._set(look.status, "ScalingLimited", "True" if found.is_limited else "False", *found.limit)
        return found.replicas

    def _target(self, scaler: Object) -> tuple[Resource, Object]:
        reference: Object = dig(scaler, "spec", "scaleTargetRef")
        kind, group = str(reference["kind"]), str(reference.get("apiVersion", "")).rpartition("/")[0]
        rows = [row for row in self.registry.catalog.resources if (row.group, row.kind) == (group, kind) and row.stored]
        if not rows:
            raise TargetError(f'no matches for kind "{kind}" in group "{group}"')
        resource = next((row for row in rows if has_scale(row)), None)
        if resource is None:
            raise TargetError("the server could not find the requested resource")
        return resource, self.registry.read(resource, namespace_of(scaler), str(reference["name"]))

    def _pods(self, look: _Round) -> list[Object]:
        try:
            selector = _selector(look.scale)
        except SelectorError as error:
            text = f"couldn't convert selector into a corresponding internal selector object: {error}"
            raise self._refused(look, "InvalidSelector", text, "InvalidSelector", text) from error
        if selector is None:
            text = "the HPA target's scale is missing a selector"
            raise self._refused(look, "SelectorRequired", "selector is required", "InvalidSelector", text)
        namespace = namespace_of(look.scaler)
        everything = self.registry.store.items(PODS.key, namespace)
        pods = [pod for pod in everything if selector.matches(labels_of(pod))]
        rivals = [other for other in self.registry.store.items(AUTOSCALERS.key, namespace) if self._claims(other, pods)]
        if len(rivals) > 1:
            shown = " ".join(f"{namespace}/{name_of(other)}" for other in rivals)
            text = (
                f"pods by selector {dig(look.scale, 'status', 'selector')} are controlled by multiple HPAs: [{shown}]"
            )
            raise self._refused(look, "AmbiguousSelector", text, "AmbiguousSelector", text)
        return pods

    def _claims(self, scaler: Object, pods: list[Object]) -> bool:
        """Tell whether an autoscaler scales what any of the pods belongs to."""
        try:
            selector = _selector(scale_of(*self._target(scaler)))
        except (TargetError, ApiError, SelectorError):
            return False
        return selector is not None and any(selector.matches(labels_of(pod)) for pod in pods)

    def _refused(self, look: _Round, event: str, said: str, reason: str, text: str) -> UnselectableError:
        self._say(look.scaler, "Warning", event, said)
        self._set(look.status, _ACTIVE, "False", reason, text)
        return UnselectableError(said)

    def _measured(self, look: _Round) -> tuple[Measured | None, list[Object]]:
        """Return the metric that asks for most, or None where what is known is not enough; and all their statuses."""
        spec: Object = look.scaler["spec"]
        try:
            target = Target(look.current, self._pods(look), self.clock.now())
        except UnselectableError as error:
            self._say(look.scaler, "Warning", "FailedComputeMetricsReplicas", str(error))
            return None, []
        found: list[Measured] = []
        refused: list[UnreadableMetricError] = []
        statuses: list[Object] = []
        for metric in spec["metrics"]:
            try:
                one = measure(metric, target, spec.get("behavior"), self.board, namespace_of(look.scaler))
            except UnreadableMetricError as error:
                self._say(look.scaler, "Warning", error.reason, str(error))
                refused.append(error)
                statuses.append({"type": ""})
            else:
                found.append(one)
                statuses.append(one.status)
        best = max(found, key=lambda item: item.proposal.replicas, default=None)
        if best is None or (refused and best.proposal.replicas < look.current):
            # What cannot be read may be what keeps the replicas busy: nothing is taken away without it.
            first = refused[0]
            text = f"the HPA was unable to compute the replica count: {first}"
            self._set(look.status, _ACTIVE, "False", first.reason, text)
            why = f"invalid metrics ({len(refused)} invalid out of {len(statuses)}), first error is: "
            why += f"{first.context}: {first}"
            self._say(look.scaler, "Warning", "FailedComputeMetricsReplicas", why)
            return None, statuses
        text = f"the HPA was able to successfully calculate a replica count from {best.name}"
        self._set(look.status, _ACTIVE, "True", "ValidMetricFound", text)
        return best, statuses

    def _rescale(self, look: _Round, wanted: int, why: str) -> bool:
        """Scale, and tell whether that went through."""
        resource, obj = look.resource, look.obj
        origin = self.origin("update", resource, namespace_of(obj), name_of(obj), "scale")
        try:
            self.registry.update(resource, obj, rescaled(resource, obj, wanted), origin)
        except ApiError as error:
            self._say(look.scaler, "Warning", "FailedRescale", f"New size: {wanted}; reason: {why}; error: {error}")
            text = f"the HPA controller was unable to update the target scale: {error}"
            self._set(look.status, _ABLE, "False", "FailedUpdateScale", text)
            return False
        text = f"the HPA controller was able to update the target scale to {wanted}"
        self._set(look.status, _ABLE, "True", "SucceededRescale", text)
        self._say(look.scaler, "Normal", "SuccessfulRescale", f"New size: {wanted}; reason: {why}")
        return True

    def _write(self, look: _Round, desired: int, metrics: list[Object] | None, *, rescaled_now: bool) -> None:
        old = look.status
        status: Object = {
            **{key: old[key] for key in ("observedGeneration", "lastScaleTime") if key in old},
            **({"lastScaleTime": self.registry.now_text()} if rescaled_now else {}),
            **({"currentReplicas": look.current} if look.current else {}),
            "desiredReplicas": desired,
            **({"currentMetrics": metrics} if metrics else {}),
            "conditions": old["conditions"],
        }
        self.write_status(AUTOSCALERS, look.scaler, status)

    def _say(self, about: Object, kind: str, reason: str, message: str) -> None:
        self.recorder.record(about, kind, reason, message, component=_COMPONENT)

    def _set(self, status: Object, kind: str, word: str, reason: str, message: str) -> None:
        new = {"type": kind, "status": word, "reason": reason, "message": message}
        set_condition(status.setdefault("conditions", []), {**new, "lastTransitionTime": self.registry.now_text()})


def _selector(scale: Object) -> LabelSelector | None:
    """Return which pods a Scale counts; None where it does not say."""
    text = str(dig(scale, "status", "selector", default=""))
    return None if text in ("", NONE) else LabelSelector.parse(text)
