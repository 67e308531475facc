"""Eviction: a deletion of a pod that its disruption budget must allow, and that the budget counts.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/. Nothing awaits, so that two evictions
cannot both take the last disruption that a budget allows.
"""

from dataclasses import replace
from http import HTTPStatus
from typing import Final

from midwatch_lab import status
from midwatch_lab.errors import ApiError
from midwatch_lab.kinds.resources import DISRUPTION_BUDGETS, PODS
from midwatch_lab.objects import (
    Object,
    condition,
    copied,
    dig,
    is_condition_true,
    is_terminating,
    labels_of,
    meta,
    name_of,
    namespace_of,
    set_condition,
)
from midwatch_lab.registry import managed_fields, upkeep
from midwatch_lab.registry.registry import Registry
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.selectors import LabelSelector
from midwatch_lab.store.audit import Origin

DISRUPTION_ALLOWED: Final = "DisruptionAllowed"
"""The condition of a budget that says whether one more pod may go."""
DISRUPTION_TARGET: Final = "DisruptionTarget"
"""The condition of a pod that says by whom it is made to go."""
_DISRUPTED_MAX: Final = 2000
_UNSEEN_RETRY_S: Final = 10
_REFUSAL: Final = "Cannot evict pod as it would violate the pod's disruption budget."


def evict(registry: Registry, pod: Object, options: DeleteOptions, origin: Origin) -> None:
    """Delete a pod, where its budget allows; the budget then counts one disruption fewer.

    Raises:
        ApiError: 429 when the budget does not allow it, 500 when there are several, 409 when a precondition fails.
    """
    if not _needs_no_budget(pod):
        budget = _budget_of(registry, pod)
        if budget is not None and not _may_go_uncounted(pod, budget):
            _count(registry, budget, name_of(pod), origin)
    if not origin.dry_run:
        pod, options = _announced(registry, pod, options, origin)
    registry.delete(PODS, pod, options, origin)


def disruption_target(pod: Object, reason: str, message: str, now: str) -> Object:
    """Return a copy of a pod whose condition says why it is about to go."""
    draft = copied(pod)
    new = {"type": DISRUPTION_TARGET, "status": "True", "reason": reason, "message": message}
    conditions: list[Object] = draft.setdefault("status", {}).setdefault("conditions", [])
    set_condition(conditions, {**new, "lastProbeTime": None, "lastTransitionTime": now})
    return draft


def _needs_no_budget(pod: Object) -> bool:
    """Tell whether a pod does no work that its going would disrupt."""
    return is_terminating(pod) or dig(pod, "status", "phase") in ("Succeeded", "Failed", "Pending")


def _budget_of(registry: Registry, pod: Object) -> Object | None:
    found = [
        budget
        for budget in registry.store.items(DISRUPTION_BUDGETS.key, namespace_of(pod))
        if dig(budget, "spec", "selector") is not None
        and LabelSelector.of(dig(budget, "spec", "selector")).matches(labels_of(pod))
    ]
    if len(found) > 1:
        raise status.internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    return found[0] if found else None


def _may_go_uncounted(pod: Object, budget: Object) -> bool:
    """Tell whether a pod that is not ready, and so not one of the healthy that a budget counts, may go."""
    if is_condition_true(pod, "Ready"):
        return False
    if dig(budget, "spec", "unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    desired = dig(budget, "status", "desiredHealthy", default=0)
    return dig(budget, "status", "currentHealthy", default=0) >= desired > 0


def _count(registry: Registry, budget: Object, pod: str, origin: Origin) -> None:
    """Take one disruption from a budget, and note for which pod.

    Raises:
        ApiError: 403 or 429 when there is none to take.
    """
    state: Object = copied(dig(budget, "status", default={}))
    _check_allowance(budget, state)
    state["disruptionsAllowed"] -= 1
    if not state["disruptionsAllowed"]:
        new = {
            "type": DISRUPTION_ALLOWED,
            "status": "False",
            "reason": "InsufficientPods",
            "message": "",
            "observedGeneration": state["observedGeneration"],
            "lastTransitionTime": registry.now_text(),
        }
        set_condition(state.setdefault("conditions", []), new)
    if origin.dry_run:
        return
    state.setdefault("disruptedPods", {})[pod] = registry.now_text()
    place = DISRUPTION_BUDGETS.path(namespace_of(budget), name_of(budget), "status")
    server = Origin("system:apiserver", "update", place, manager="kube-apiserver", subresource="status")
    registry.update(DISRUPTION_BUDGETS, budget, {**budget, "status": state}, server)


def _check_allowance(budget: Object, state: Object) -> None:
    name = name_of(budget)
    if state.get("observedGeneration", 0) < meta(budget).get("generation", 0):
        raise _refused(f"The disruption budget {name} is still being processed by the server.", _UNSEEN_RETRY_S)
    if len(state.get("disruptedPods", {})) > _DISRUPTED_MAX:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise status.forbidden("poddisruptionbudget", "policy", name, why)
    allowed = state.get("disruptionsAllowed", 0)
    if allowed < 0:
        why = "pdb disruptions allowed is negative"
        raise status.forbidden("poddisruptionbudget", "policy", name, why)
    if allowed:
        return
    known = condition(budget, DISRUPTION_ALLOWED) or {}
    healthy, needed = state.get("currentHealthy", 0), state.get("desiredHealthy", 0)
    if known.get("reason") == "SyncFailed" and known.get("status") != "True":
        why = f"does not allow evicting pods currently because it failed sync: {known.get('message', '')}"
    elif healthy <= needed:
        why = f"needs {needed} healthy pods and has {healthy} currently"
    else:
        why = "does not allow evicting pods currently"
    raise _refused(f"The disruption budget {name} {why}")


def _refused(why: str, retry_s: int = 0) -> ApiError:
    details: Object = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if retry_s:
        details["retryAfterSeconds"] = retry_s
    return ApiError(HTTPStatus.TOO_MANY_REQUESTS, "TooManyRequests", _REFUSAL, details=details)


def _announced(registry: Registry, pod: Object, options: DeleteOptions, origin: Origin) -> tuple[Object, DeleteOptions]:
    """Write into the pod that it is being evicted; returns it, and the options with its new version."""
    upkeep.check_preconditions(PODS, pod, options)
    text = "Eviction API: evicting"
    draft = disruption_target(pod, "EvictionByEvictionAPI", text, registry.now_text())
    owners = managed_fields.read(meta(pod).get("managedFields", []))
    pod = registry.update(PODS, pod, draft, replace(origin, subresource="status"), managed=owners)
    if options.resource_version is not None:
        options = replace(options, resource_version=str(meta(pod)["resourceVersion"]))
    return pod, options
