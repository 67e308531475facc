"""`kube_access`: whether something is allowed, as the API server decides, and to whom else RBAC allows it."""

import asyncio
import re
from typing import Annotated, Any

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.errors import KubeError, RefusedError
from midwatch_mcp.kubernetes.discovery import Resource
from midwatch_mcp.kubernetes.rbac import Deed, granted, role_key
from midwatch_mcp.kubernetes.room import KubeRoom, at, objects
from midwatch_mcp.shapes import Kind, Name, Namespace, Outside
from midwatch_mcp.tool import Answer, tool

_REVIEWS = "/apis/authorization.k8s.io/v1"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_READ = 5_000
_SHOWN = 100
_SUBJECT = re.compile(r"(user|group):(\S{1,253})|serviceaccount:([a-z0-9-]{1,63})/([a-z0-9.-]{1,253})")


class Allowed(Model):
    """One subject that RBAC allows it to."""

    subject: Outside
    """`User/name`, `Group/name` or `ServiceAccount/namespace/name`."""
    binding: Outside
    role: Outside


class KubeAccessData(Model):
    """The API server's decision, and who else may."""

    verb: str
    resource: str
    namespace: str | None
    name: str | None
    subject: Outside
    """Whom the decision is about; `you` are the credentials that this server uses."""
    allowed: bool
    denied: bool
    """An authorizer refused expressly, so that no other could allow it."""
    reason: Outside
    who: list[Allowed] | None
    """None unless who_can was asked for. RBAC only: webhooks and other authorizers cannot be listed."""


@tool(
    name="kube_access",
    title="Who may do what",
    description=(
        "Whether the API server allows a verb on a kind: to you, or to a user, group or service account; with who_can "
        "also to whom RBAC allows it, by which binding and role."
    ),
    cluster="cluster-state",
    cost="low",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def kube_access(
    room: KubeRoom,
    *,
    verb: Annotated[str, Field(pattern=r"^[a-z*]{1,40}$", description="get, list, watch, create, patch, delete, ...")],
    kind: Kind,
    namespace: Annotated[Namespace | None, Field(description="all namespaces if left out")] = None,
    name: Name | None = None,
    subresource: Annotated[str | None, Field(pattern=r"^[a-z]{1,40}$", description="e.g. log, exec, scale")] = None,
    subject: Annotated[
        str | None,
        Field(max_length=330, description="user:NAME, group:NAME or serviceaccount:NAMESPACE/NAME; you if left out"),
    ] = None,
    who_can: bool = False,
) -> Answer[KubeAccessData]:
    """Ask for a review, and read roles and bindings where they were asked for."""
    resource = await room.resource(kind)
    if namespace is not None and not resource.namespaced:
        raise RefusedError(f"{resource.kind} objects live in no namespace: leave namespace out")
    plural = resource.plural + (f"/{subresource}" if subresource else "")
    deed = Deed(verb, resource.group, plural, namespace or "", name or "")
    review = await room.client.create(*_review(resource, deed, subresource, subject))
    said = at(review, "status")
    who = await _who(room, deed) if who_can else None
    data = KubeAccessData(
        verb=verb,
        resource=f"{plural}.{resource.group}" if resource.group else plural,
        namespace=namespace,
        name=name,
        subject=subject or "you",
        allowed=bool(at(said, "allowed")),
        denied=bool(at(said, "denied")),
        reason=str(at(said, "reason") or at(said, "evaluationError") or ""),
        who=None if who is None else who[:_SHOWN],
    )
    full = data.model_copy(update={"who": who})
    return Answer(_summary(data, who), data, full=full, truncated=who is not None and len(who) > _SHOWN)


def _review(resource: Resource, deed: Deed, subresource: str | None, subject: str | None) -> tuple[str, dict[str, Any]]:
    """Return the path and the body of the review to ask for."""
    attributes = {
        "verb": deed.verb,
        "group": deed.group,
        "version": resource.version,
        "resource": resource.plural,
        "subresource": subresource,
        "namespace": deed.namespace,
        "name": deed.name,
    }
    spec: dict[str, Any] = {"resourceAttributes": {key: value for key, value in attributes.items() if value}}
    version = {"apiVersion": "authorization.k8s.io/v1"}
    if subject is None:
        return f"{_REVIEWS}/selfsubjectaccessreviews", {**version, "kind": "SelfSubjectAccessReview", "spec": spec}
    found = _SUBJECT.fullmatch(subject)
    if found is None:
        raise RefusedError(f"subject: {subject!r} is none of user:NAME, group:NAME and serviceaccount:NAMESPACE/NAME")
    kind, plain, namespace, account = found.groups()
    if account is not None:
        spec["user"] = f"system:serviceaccount:{namespace}:{account}"
        spec["groups"] = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    elif kind == "user":
        spec |= {"user": plain, "groups": ["system:authenticated"]}
    else:
        spec["groups"] = [plain]
    return f"{_REVIEWS}/subjectaccessreviews", {**version, "kind": "SubjectAccessReview", "spec": spec}


async def _who(room: KubeRoom, deed: Deed) -> list[Allowed]:
    plurals = ["clusterroles", "clusterrolebindings"]
    paths = [f"{_RBAC}/{plural}" for plural in plurals]
    if deed.namespace:
        paths += [f"{_RBAC}/namespaces/{deed.namespace}/{plural}" for plural in ("roles", "rolebindings")]
    try:
        lists = await asyncio.gather(*(room.client.list(path, {"limit": _READ}) for path in paths))
    except KubeError as error:
        raise RefusedError(f"who_can needs to list roles and bindings, and cannot: {error}") from error
    cluster_roles, cluster_bindings, *own = [objects(found["items"]) for found in lists]
    roles, bindings = own or ([], [])
    known = {role_key(role): role for role in (*cluster_roles, *roles)}
    grants = granted(known, (*bindings, *cluster_bindings), deed)
    return [
        Allowed(
            subject="/".join(part for part in (grant.kind, grant.namespace, grant.name) if part),
            binding=grant.binding,
            role=grant.role,
        )
        for grant in grants
    ]


def _summary(data: KubeAccessData, who: list[Allowed] | None) -> str:
    where = f" in {data.namespace}" if data.namespace else ""
    may = "may" if data.allowed else "may not"
    text = f"{data.subject} {may} {data.verb} {data.resource}{f'/{data.name}' if data.name else ''}{where}."
    return text if who is None else f"{text} RBAC allows it to {len(who)} subjects."
