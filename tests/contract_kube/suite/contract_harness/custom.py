"""Custom resources in cases: definitions to send, and one that is sent until its resources are served."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from contract_harness.api import Answer, Api

DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_TRIES: Final = 400


def definition(group: str, kind: str, schema: Any = None, **version: Any) -> dict[str, Any]:
    """Return a definition with one version; further keywords are fields of that version."""
    plural = kind.lower() + "s"
    keep = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": kind + "List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": names,
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": keep if schema is None else schema},
                    **version,
                }
            ],
        },
    }


async def define(api: Api, wanted: dict[str, Any]) -> str:
    """Have a definition served, where it is not yet; returns the path of its resources in the case's namespace.

    On the original it stays for the cases after, which have namespaces of their own.
    """
    await api.ask("POST", DEFINITIONS, wanted, record=False)
    spec = wanted["spec"]
    path = api.path(f"{spec['group']}/{spec['versions'][0]['name']}", spec["names"]["plural"])
    if spec["scope"] == "Cluster":
        path = path.replace(f"/namespaces/{api.namespace}", "")
    await until(api, path, lambda answer: answer.code == 200)
    return path


async def gone(api: Api, path: str) -> None:
    """Wait until a path answers 404."""
    await until(api, path, lambda answer: answer.code == 404)


async def until(api: Api, path: str, fits: Callable[[Answer], bool], *, accept: str = "") -> Answer:
    """Read a path again and again, since the original's controllers take their time; returns the answer that fits.

    Raises:
        AssertionError: when none does.
    """
    for _ in range(_TRIES):
        answer = await api.ask("GET", path, record=False, accept=accept)
        if fits(answer):
            return answer
        await asyncio.sleep(0.02)
    raise AssertionError(f"{api.side}: {path} does not become what is waited for")


def causes(body: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the causes of a refusal, sorted: the original finds them in the order of a Go map."""
    details: dict[str, Any] = body.get("details") or {}
    found: list[dict[str, str]] = details.get("causes") or []
    return sorted((one.get("field", ""), one.get("reason", ""), one.get("message", "")) for one in found)
