"""Access reviews: what a user may do, asked by that user. They are answered on the spot and are no writes."""

from http import HTTPStatus
from typing import Any

from midwatch_lab.api.call import Call
from midwatch_lab.api.users import User
from midwatch_lab.api.writing import Written, check_kind
from midwatch_lab.kinds.catalog import Catalog
from midwatch_lab.kinds.resources import ACCESS_REVIEWS, RULES_REVIEWS
from midwatch_lab.objects import Object, dig
from midwatch_lab.registry.registry import Registry


async def serve(registry: Registry, call: Call) -> Written:
    """Answer a SelfSubjectAccessReview, SelfSubjectRulesReview or SelfSubjectReview."""
    body = await call.body_object()
    check_kind(registry.catalog, call.resource, body)
    decoded = registry.decode(call.resource, body).value
    if call.resource is ACCESS_REVIEWS:
        status = {"allowed": _may(registry.catalog, call.user, decoded.get("spec", {}))}
    elif call.resource is RULES_REVIEWS:
        status = _rules(registry.catalog, call.user)
    else:
        status = {"userInfo": {"username": call.user.name, "groups": list(call.user.groups)}}
    return Written({**decoded, "status": status}, HTTPStatus.CREATED, is_object=False)


def _may(catalog: Catalog, user: User, spec: Object) -> bool:
    wanted: Object | None = spec.get("resourceAttributes")
    if wanted is None:
        return user.may_write or dig(spec, "nonResourceAttributes", "verb") == "get"
    verb, plural = str(wanted.get("verb", "")), str(wanted.get("resource", ""))
    subresource = str(wanted.get("subresource", ""))
    if user.may_write:
        return True
    group = wanted.get("group", "")
    found = [r for r in catalog.resources if r.plural == plural and group in (r.group, "*")]
    return any(user.may(verb, resource, subresource) for resource in found)


def _rules(catalog: Catalog, user: User) -> dict[str, Any]:
    if user.may_write:
        rules = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
        paths = [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
    else:
        readable = [r for r in catalog.resources if r.stored and user.may("list", r)]
        verbs = ["get", "list", "watch"]
        rules = [{"verbs": verbs, "apiGroups": [r.group], "resources": [r.plural]} for r in readable]
        paths = [{"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/version", "/healthz"]}]
    return {"resourceRules": rules, "nonResourceRules": paths, "incomplete": False}
