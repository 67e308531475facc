"""Reviews: what somebody may do, and who they are. They are answered on the spot and are no writes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from midwatch_lab import status
from midwatch_lab.access.attributes import Attributes
from midwatch_lab.access.authentication import Authentication
from midwatch_lab.access.authorizer import RBAC, Authorizer
from midwatch_lab.access.service_tokens import ISSUER
from midwatch_lab.access.user import User
from midwatch_lab.api import review_rules
from midwatch_lab.api.call import Call
from midwatch_lab.api.writing import Written, check_kind, warnings_of
from midwatch_lab.errors import TokenError
from midwatch_lab.kinds.resources import (
    ACCESS_REVIEWS,
    LOCAL_SUBJECT_ACCESS_REVIEWS,
    RULES_REVIEWS,
    SUBJECT_ACCESS_REVIEWS,
    TOKEN_REVIEWS,
)
from midwatch_lab.objects import Object, dig, meta, without
from midwatch_lab.registry.registry import Registry

_ACCESS: Final = (ACCESS_REVIEWS, SUBJECT_ACCESS_REVIEWS, LOCAL_SUBJECT_ACCESS_REVIEWS)


@dataclass(frozen=True)
class Reviews:
    """Answers reviews by one cluster's roles and tokens."""

    registry: Registry
    authentication: Authentication

    async def serve(self, call: Call) -> Written:
        """Answer a review.

        Raises:
            ApiError: 400, or 422 where it does not say what to look at.
        """
        read = await call.read_body()
        check_kind(self.registry.catalog, call.resource, read.value)
        decoded = self.registry.decode(call.resource, read.value)
        warnings = warnings_of(call, decoded.unknown, read.faults)
        review = self._settled(call, decoded.value)
        if call.resource in _ACCESS:
            review = {**review, "status": self._access(call, review)}
        elif call.resource is TOKEN_REVIEWS:
            review = {**review, "status": self._token(review)}
        elif call.resource is RULES_REVIEWS:
            review = self._blank(call, {"spec": {}, "status": self._rules(call, review)})
        else:
            made = {"creationTimestamp": self.registry.now_text()}
            review = self._blank(call, {"metadata": made, "status": {"userInfo": user_info(call.user)}})
        return Written(review, HTTPStatus.CREATED, warnings, is_object=False)

    def _settled(self, call: Call, review: Object) -> Object:
        """Return the review with its namespace and its owners, as any object that is sent."""
        metadata, home = dict(meta(review)), call.target.namespace
        if home and metadata.get("namespace", home) != home:
            raise status.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        metadata.pop("namespace", None)
        metadata |= {"namespace": home} if home else {}
        return self.registry.with_owners(call.resource, {**review, "metadata": metadata}, call.origin())

    @staticmethod
    def _blank(call: Call, fields: Object) -> Object:
        return {"kind": call.resource.kind, "apiVersion": call.resource.api_version, "metadata": {}, **fields}

    def _access(self, call: Call, review: Object) -> Object:
        spec: Object = review.get("spec", {})
        faults = list(review_rules.access(review, is_self=call.resource is ACCESS_REVIEWS, home=call.target.namespace))
        if faults:
            raise status.invalid("", call.resource.group, "", faults)
        user = call.user if call.resource is ACCESS_REVIEWS else _subject(spec)
        decision = self.registry.authorizer.decide(_wanted(spec, user))
        reason = {"reason": decision.reason} if decision.reason else {}
        return {"allowed": decision.allowed, **reason}

    def _rules(self, call: Call, review: Object) -> Object:
        namespace = str(dig(review, "spec", "namespace", default=""))
        if not namespace:
            raise status.bad_request("no namespace on request")
        return _held_rules(self.registry.authorizer, call.user, namespace)

    def _token(self, review: Object) -> Object:
        token = str(dig(review, "spec", "token", default=""))
        if not token:
            raise status.bad_request("token is required for TokenReview in authentication")
        try:
            wanted: list[str] = dig(review, "spec", "audiences") or [ISSUER]
            user, audiences = self.authentication.review(token, wanted)
        except TokenError as error:
            return {"user": {}, "error": str(error)}
        return {"authenticated": True, "user": user_info(user), "audiences": audiences}


def user_info(user: User) -> Object:
    """Return a user as reviews show it."""
    shown: Object = {
        "username": user.name,
        "uid": user.uid,
        "groups": list(user.groups),
        "extra": {key: list(values) for key, values in user.extra.items()},
    }
    return {key: value for key, value in shown.items() if value}


def _subject(spec: Object) -> User:
    return User(str(spec.get("user", "")), tuple(spec.get("groups", ())), str(spec.get("uid", "")))


def _wanted(spec: Object, user: User) -> Attributes:
    if "resourceAttributes" not in spec:
        path: Object = spec["nonResourceAttributes"]
        return Attributes(user, str(path.get("verb", "")), str(path.get("path", "")), is_resource=False)
    asked: Object = spec["resourceAttributes"]
    return Attributes(
        user,
        str(asked.get("verb", "")),
        group=str(asked.get("group", "")),
        version=str(asked.get("version", "")),
        resource=str(asked.get("resource", "")),
        subresource=str(asked.get("subresource", "")),
        namespace=str(asked.get("namespace", "")),
        name=str(asked.get("name", "")),
    )


def _held_rules(authorizer: Authorizer, user: User, namespace: str) -> Object:
    held = authorizer.held(user, namespace)
    rules = [rule for rule, _ in held.rules]
    found: Object = {
        "resourceRules": list(_without_key(rules, "nonResourceURLs", "resources")),
        "nonResourceRules": list(_without_key(rules, "resources", "nonResourceURLs")),
        "incomplete": False,
    }
    if held.missing:
        texts = dict.fromkeys(f'{kind.lower()}.{RBAC} "{name}" not found' for kind, name in held.missing)
        found["evaluationError"] = next(iter(texts)) if len(texts) == 1 else f"[{', '.join(texts)}]"
    return found


def _without_key(rules: Iterable[Object], dropped: str, needed: str) -> Iterator[Object]:
    for rule in rules:
        if rule.get(needed):
            yield without(rule, [dropped])
