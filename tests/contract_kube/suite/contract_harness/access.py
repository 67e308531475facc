"""Roles and bindings in cases: short bodies, and a service account of the case's own with a token."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from contract_harness.api import Answer, Api

RBAC: Final = "rbac.authorization.k8s.io"
ROOT: Final = f"/apis/{RBAC}/v1"
CLUSTER_ROLES: Final = f"{ROOT}/clusterroles"
CLUSTER_BINDINGS: Final = f"{ROOT}/clusterrolebindings"
AUTHORIZATION: Final = "/apis/authorization.k8s.io/v1"
AUTHENTICATION: Final = "/apis/authentication.k8s.io/v1"
RULES_REVIEWS: Final = f"{AUTHORIZATION}/selfsubjectrulesreviews"
WHOAMI: Final = f"{AUTHENTICATION}/selfsubjectreviews"
ISSUER: Final = "https://kubernetes.default.svc"
_TRIES: Final = 200
_TOKEN: Final = r"eyJ[\w-]+\.[\w-]+\.[\w-]+"


def rule(verbs: str, resources: str, group: str = "", **more: list[str]) -> dict[str, Any]:
    """Return a rule; `verbs` and `resources` are words."""
    return {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split(), **more}


def role(name: str, *rules: Any, **fields: Any) -> dict[str, Any]:
    """Return a role."""
    return {"metadata": {"name": name}, "rules": list(rules), **fields}


def binding(name: str, role_name: str, *subjects: Any, kind: str = "ClusterRole") -> dict[str, Any]:
    """Return a binding."""
    reference = {"apiGroup": RBAC, "kind": kind, "name": role_name}
    return {"metadata": {"name": name}, "roleRef": reference, "subjects": list(subjects)}


def named(kind: str, name: str) -> dict[str, str]:
    """Return a subject that is a User or a Group."""
    return {"kind": kind, "apiGroup": RBAC, "name": name}


def hide_tokens(api: Api) -> None:
    """Have tokens left out of the comparison."""
    api.scrub(_TOKEN, "<token>")


@dataclass(frozen=True)
class Account:
    """A service account of a case, and how it sends requests."""

    api: Api
    name: str
    token: str

    @property
    def subject(self) -> dict[str, str]:
        """The account as a binding names it."""
        return {"kind": "ServiceAccount", "name": self.name, "namespace": self.api.namespace}

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        type: str = "",  # noqa: A002 (the word of the header)
        *,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> Answer:
        """Send a request by the account's token, and record its answer."""
        sent = {**(headers or {}), "Authorization": f"Bearer {self.token}"}
        return await self.api.ask(method, path, body, type, user=None, headers=sent, **options)

    async def wait(self, method: str, path: str, code: int) -> None:
        """Send a request until it is answered by a code: the original hears of roles and bindings a little later.

        Raises:
            AssertionError: when it is not.
        """
        await self._until(method, path, None, lambda answer: answer.code == code)

    async def may(self, *rules: Any, everywhere: bool = False, name: str = "") -> None:
        """Give the account a role of its own, in the case's namespace or everywhere."""
        name = name or f"{self.name}-role"
        if everywhere:
            name = self.api.unique(name)
            await self.api.setup("POST", CLUSTER_ROLES, role(name, *rules))
            await self.api.setup("POST", CLUSTER_BINDINGS, binding(name, name, self.subject))
        else:
            await self.api.setup("POST", self.api.path(f"{RBAC}/v1", "roles"), role(name, *rules))
            given = binding(name, name, self.subject, kind="Role")
            await self.api.setup("POST", self.api.path(f"{RBAC}/v1", "rolebindings"), given)
        await self.holds(lambda status: rules[-1] in status["resourceRules"] + status["nonResourceRules"])

    async def lacks(self, *roles: str) -> None:
        """Wait until the account is bound to roles that are not there."""
        await self.holds(lambda status: all(f'"{name}"' in status.get("evaluationError", "") for name in roles))

    async def holds(self, fits: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until the rules that the account holds fit."""
        body = {"spec": {"namespace": self.api.namespace}}
        await self._until("POST", RULES_REVIEWS, body, lambda answer: fits(answer.body["status"]))

    async def _until(self, method: str, path: str, body: Any, fits: Callable[[Answer], bool]) -> None:
        for _ in range(_TRIES):
            if fits(await self.ask(method, path, body, record=False)):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{self.api.side}: {method} {path} is never answered as is waited for")


async def account(api: Api, name: str = "bot") -> Account:
    """Make a service account in the case's namespace, and a token of it."""
    hide_tokens(api)
    home = api.path("v1", "serviceaccounts")
    await api.setup("POST", home, {"metadata": {"name": name}})
    made = await api.setup("POST", f"{home}/{name}/token", {})
    return Account(api, name, made["status"]["token"])
