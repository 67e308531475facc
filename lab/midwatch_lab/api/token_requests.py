"""The `token` subresource of service accounts: a bearer token for one, bound and with an end."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from midwatch_contracts.times import rfc3339
from midwatch_lab import status
from midwatch_lab.access.service_tokens import BINDABLE, ISSUER, ServiceTokens
from midwatch_lab.api.call import Call
from midwatch_lab.api.writing import Written, check_kind, warnings_of
from midwatch_lab.kinds.resources import TOKEN_REQUESTS
from midwatch_lab.objects import Object, dig, meta, name_of, uid_of
from midwatch_lab.registry.registry import Registry

_HOUR_S: Final = 3600
_LEAST_S: Final = 600
_MOST_S: Final = 2**32


@dataclass(frozen=True)
class TokenRequests:
    """Answers requests for tokens."""

    registry: Registry
    tokens: ServiceTokens

    async def serve(self, call: Call) -> Written:
        """Issue a token.

        Raises:
            ApiError: 400, 404, 409 where what it is to be bound to is another, or 422.
        """
        read = await call.read_body()
        check_kind(self.registry.catalog, TOKEN_REQUESTS, read.value)
        decoded = self.registry.decode(TOKEN_REQUESTS, read.value)
        warnings = warnings_of(call, decoded.unknown, read.faults)
        account = self.registry.read(call.resource, call.target.namespace, call.target.name)
        request = decoded.value
        spec: Object = request.setdefault("spec", {})
        spec["expirationSeconds"] = spec.get("expirationSeconds", _HOUR_S)
        request = self._settled(call, account, request)
        spec = request["spec"]
        spec["audiences"] = spec.get("audiences") or [ISSUER]
        _check(spec)
        bound = self._bound(call, account, spec.get("boundObjectRef"))
        token, ends = self.tokens.issue(account, spec["audiences"], spec["expirationSeconds"], bound)
        spec.setdefault("boundObjectRef", None)
        at = rfc3339(ends).partition(".")[0] + "Z"
        answer = {**request, "status": {"token": token, "expirationTimestamp": at}}
        return Written(answer, HTTPStatus.CREATED, warnings, is_object=False)

    def _settled(self, call: Call, account: Object, request: Object) -> Object:
        """Return the request with the metadata of its account."""
        sent = meta(request)
        if sent.get("namespace", call.target.namespace) != call.target.namespace:
            text = "the namespace of the provided object does not match the namespace sent on the request"
            raise status.bad_request(text)
        if sent.get("name", name_of(account)) != name_of(account):
            detail = "must match the service account name if specified"
            fault = status.invalid_value("metadata.name", sent["name"], detail)
            raise status.invalid(TOKEN_REQUESTS.kind, TOKEN_REQUESTS.group, name_of(account), [fault])
        own = {
            "name": name_of(account),
            "namespace": call.target.namespace,
            "uid": uid_of(account),
            "creationTimestamp": self.registry.now_text(),
        }
        # The original has the reference where it is not given too, as null, so that nobody owns that it is there.
        blank = self.registry.decode(TOKEN_REQUESTS, {"spec": {"boundObjectRef": {}}}).value
        answered = {**request, "metadata": {**sent, **own}}
        return self.registry.with_owners(TOKEN_REQUESTS, answered, call.origin(), blank)

    def _bound(self, call: Call, account: Object, reference: Object | None) -> Object | None:
        """Return the object that the token is to be bound to."""
        if reference is None:
            return None
        kind, version = str(reference.get("kind", "")), str(reference.get("apiVersion", ""))
        resource = BINDABLE.get(kind) if version == "v1" else None
        if resource is None:
            group, _, bare = version.rpartition("/")
            raise status.bad_request(f"cannot bind token to object of type {group}/{bare}, Kind={kind}")
        found = self.registry.read(resource, call.target.namespace, str(reference.get("name", "")))
        if reference.get("uid", uid_of(found)) != uid_of(found):
            why = (
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. The "
                "object might have been deleted and then recreated"
            )
            raise status.precondition(resource, name_of(found), why)
        if kind == "Pod" and dig(found, "spec", "serviceAccountName", default="") != name_of(account):
            who = status.quoted(name_of(account))
            text = f"cannot bind token for serviceaccount {who} to pod running with different serviceaccount name."
            raise status.bad_request(text)
        return found


def _check(spec: Object) -> None:
    seconds = spec["expirationSeconds"]
    fault = ""
    if seconds < _LEAST_S:
        fault = "may not specify a duration less than 10 minutes"
    if seconds > _MOST_S:
        fault = "may not specify a duration larger than 2^32 seconds"
    if fault:
        found = status.invalid_value("spec.expirationSeconds", seconds, fault)
        raise status.invalid(TOKEN_REQUESTS.kind, TOKEN_REQUESTS.group, "", [found])
