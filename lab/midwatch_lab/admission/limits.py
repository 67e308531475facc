"""The plugin LimitRanger: containers get the limits of their namespace's ranges, and nothing goes beyond them.

Source: https://kubernetes.io/docs/concepts/policy/limit-range/.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from midwatch_lab.admission.request import Contents, Request
from midwatch_lab.kinds.pod_resources import pod_resources
from midwatch_lab.kinds.resources import LIMIT_RANGES, PODS, VOLUME_CLAIMS
from midwatch_lab.objects import Object, annotations_of, dig
from midwatch_lab.quantity import parse

_NOTE: Final = "kubernetes.io/limit-ranger"
"""The annotation that says what was filled in."""


def fill(request: Request, contents: Contents) -> None:
    """Give the containers of a new pod the defaults of the ranges (in place)."""
    if request.resource is not PODS or not request.creates:
        return
    notes: list[str] = []
    for found in contents.items(LIMIT_RANGES.key, request.namespace):
        requests, limits = _defaults(found, "defaultRequest"), _defaults(found, "default")
        for kind, title in (("containers", "container"), ("initContainers", "init container")):
            for container in dig(request.obj["spec"], kind, default=[]):
                notes += _merged(container, requests, limits, title)
    if notes:
        annotations = {**annotations_of(request.obj), _NOTE: f"LimitRanger plugin set: {'; '.join(notes)}"}
        request.obj["metadata"]["annotations"] = annotations


def _defaults(found: Object, key: str) -> dict[str, str]:
    amounts: dict[str, str] = {}
    for item in _limits(found, "Container"):
        amounts |= dig(item, key, default={})
    return amounts


def _limits(found: Object, kind: str) -> list[Object]:
    items: list[Object] = dig(found, "spec", "limits", default=[])
    return [item for item in items if item.get("type") == kind]


def _merged(container: Object, requests: dict[str, str], limits: dict[str, str], title: str) -> Iterator[str]:
    """Fill in what a container leaves open (in place), and say what that was."""
    resources: Object = container.setdefault("resources", {})
    for key, amounts, word in (("requests", requests, "request"), ("limits", limits, "limit")):
        own: dict[str, str] = dig(resources, key, default={})
        new = [name for name in sorted(amounts) if name not in own]
        if new:
            resources[key] = {**own, **{name: amounts[name] for name in new}}
            yield f"{', '.join(new)} {word} for {title} {container.get('name', '')}"


def check(request: Request, contents: Contents) -> None:
    """Refuse a new pod or a claim that is beyond a range.

    Raises:
        ApiError: 403, with every reason at once.
    """
    if request.subresource or request.resource not in (PODS, VOLUME_CLAIMS):
        return
    if request.resource is PODS and not request.creates:
        return
    for found in contents.items(LIMIT_RANGES.key, request.namespace):
        check_one = _pod_faults if request.resource is PODS else _claim_faults
        faults = list(check_one(request.obj, found))
        if faults:
            raise request.refuse(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")


def _claim_faults(claim: Object, found: Object) -> Iterator[str]:
    kind, size = "PersistentVolumeClaim", dig(claim, "spec", "resources", "requests", default={})
    for item in _limits(found, kind):
        for name, least in dig(item, "min", default={}).items():
            yield from _below(least, kind, name, size.get(name), None)
        for name, most in dig(item, "max", default={}).items():
            request = size.get(name)
            if request is None:
                yield _unsaid("maximum", name, kind, most, "request")
            elif parse(request) > parse(most):
                yield _beyond("maximum", name, kind, most, "request", request)


def _pod_faults(pod: Object, found: Object) -> Iterator[str]:
    spec: Object = pod["spec"]
    for container in [*dig(spec, "containers", default=[]), *dig(spec, "initContainers", default=[])]:
        limits, requests = (dig(container, "resources", key, default={}) for key in ("limits", "requests"))
        yield from _faults(_limits(found, "Container"), "Container", requests, limits)
    yield from _faults(_limits(found, "Pod"), "Pod", pod_resources(spec, "requests"), pod_resources(spec, "limits"))


def _faults(items: Iterable[Object], kind: str, requests: dict[str, str], limits: dict[str, str]) -> Iterator[str]:
    for item in items:
        for name, least in dig(item, "min", default={}).items():
            yield from _below(least, kind, name, requests.get(name), limits.get(name))
        for name, most in dig(item, "max", default={}).items():
            yield from _above(most, kind, name, requests.get(name), limits.get(name))
        for name, ratio in dig(item, "maxLimitRequestRatio", default={}).items():
            yield from _ratio(ratio, kind, name, requests.get(name), limits.get(name))


def _beyond(what: str, name: str, kind: str, bound: str, word: str, amount: str) -> str:  # noqa: PLR0917 (a sentence)
    return f"{what} {name} usage per {kind} is {bound}, but {word} is {amount}"


def _unsaid(what: str, name: str, kind: str, bound: str, word: str) -> str:
    return f"{what} {name} usage per {kind} is {bound}.  No {word} is specified"


def _below(least: str, kind: str, name: str, request: str | None, limit: str | None) -> Iterator[str]:
    """Say the first thing that is under a minimum."""
    if request is None:
        yield _unsaid("minimum", name, kind, least, "request")
    elif parse(request) < parse(least):
        yield _beyond("minimum", name, kind, least, "request", request)
    elif limit is not None and parse(limit) < parse(least):
        yield _beyond("minimum", name, kind, least, "limit", limit)


def _above(most: str, kind: str, name: str, request: str | None, limit: str | None) -> Iterator[str]:
    """Say the first thing that is over a maximum."""
    if limit is None:
        yield _unsaid("maximum", name, kind, most, "limit")
    elif parse(limit) > parse(most):
        yield _beyond("maximum", name, kind, most, "limit", limit)
    elif request is not None and parse(request) > parse(most):
        yield _beyond("maximum", name, kind, most, "request", request)


def _ratio(ratio: str, kind: str, name: str, request: str | None, limit: str | None) -> Iterator[str]:
    what = f"{name} max limit to request ratio per {kind} is {ratio}"
    if request is None or not parse(request):
        yield f"{what}, but no request is specified or request is 0"
    elif limit is None or not parse(limit):
        yield f"{what}, but no limit is specified or limit is 0"
    elif (seen := parse(limit) / parse(request)) > parse(ratio):
        yield f"{what}, but provided ratio is {seen:.6f}"
