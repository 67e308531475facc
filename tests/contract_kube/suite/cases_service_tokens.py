"""Tokens of service accounts: how they are asked for, what they carry, and what a review says of them."""

import base64
import json
from typing import Any, Final

from contract_harness import Api, Cases
from contract_harness.access import AUTHENTICATION, ISSUER, account, hide_tokens

CASES: Final = Cases()
REVIEWS: Final = f"{AUTHENTICATION}/tokenreviews"


async def bot(api: Api) -> str:
    hide_tokens(api)
    await api.setup("POST", api.path("v1", "serviceaccounts"), {"metadata": {"name": "bot"}})
    return api.path("v1", "serviceaccounts", "bot", "token")


def bound(kind: str, name: str, **more: str) -> dict[str, Any]:
    return {"spec": {"boundObjectRef": {"kind": kind, "apiVersion": "v1", "name": name, **more}}}


def claims(token: str) -> dict[str, Any]:
    """Return what a token carries, with times as lengths."""
    found = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    lengths = {"length": found["exp"] - found["iat"], "nbf": found["nbf"] - found["iat"]}
    return {key: found[key] for key in ("aud", "iss", "sub", "kubernetes.io", "jti")} | lengths


@CASES.case("a token is asked for with a time, audiences and labels")
async def _(api: Api) -> None:
    path = await bot(api)
    for body in (
        {}, {"spec": {"expirationSeconds": 7200, "audiences": ["a", "b"]}}, {"spec": {"audiences": [""]}},
        {"metadata": {"name": "bot", "labels": {"a": "b"}, "annotations": {"c": "d"}}},
        {"spec": {"expirationSeconds": 600}},
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"colour": "red"}},
    ):  # fmt: skip
        answer = await api.ask("POST", path, body)
        api.note(claims=claims(answer.body["status"]["token"]))
    await api.ask("POST", path, {}, dryRun="All")


@CASES.case("a request for a token that cannot be is refused")
async def _(api: Api) -> None:
    path = await bot(api)
    bodies: list[Any] = [
        {"spec": {"expirationSeconds": 10}}, {"spec": {"expirationSeconds": 2**33}}, {"spec": {"expirationSeconds": 0}},
        {"metadata": {"name": "other"}}, {"metadata": {"namespace": "other"}}, {"kind": "Foo", "apiVersion": "v1"},
        {"spec": {"boundObjectRef": {}}}, bound("Foo", "x"), bound("Pod", "x"), bound("Secret", "x"),
        bound("Node", "x"), {"spec": {"expirationSeconds": "a"}}, {"spec": []},
    ]  # fmt: skip
    for body in bodies:
        await api.ask("POST", path, body)
    await api.ask("POST", path.replace("/bot/", "/nope/"), {})
    await api.ask("GET", path)
    await api.ask("PUT", path, {})
    await api.ask("POST", path, {}, user="nobody")
    await api.ask("POST", path, {}, user="viewer")


@CASES.case("a token is bound to a pod, a secret or a node")
async def _(api: Api) -> None:
    path = await bot(api)
    await api.setup("POST", api.path("v1", "secrets"), {"metadata": {"name": "s"}})
    containers = [{"name": "c", "image": "x"}]
    pods = api.path("v1", "pods")
    await api.setup(
        "POST", pods, {"metadata": {"name": "p"}, "spec": {"serviceAccountName": "bot", "containers": containers}}
    )
    await api.setup("POST", pods, {"metadata": {"name": "q"}, "spec": {"containers": containers}})
    await api.setup("POST", "/api/v1/nodes", {"metadata": {"name": api.unique("n")}})
    placed = {"serviceAccountName": "bot", "containers": containers, "nodeName": api.unique("n")}
    await api.setup("POST", pods, {"metadata": {"name": "r"}, "spec": placed})
    for body in (bound("Secret", "s"), bound("Pod", "p"), bound("Node", api.unique("n")), bound("Pod", "r")):
        answer = await api.ask("POST", path, body)
        token = answer.body["status"]["token"]
        api.note(claims=claims(token))
        await api.ask("POST", REVIEWS, {"spec": {"token": token}})
    await api.ask("POST", path, bound("Pod", "q"))
    await api.ask("POST", path, bound("Secret", "s", uid="zz"))


@CASES.case("a review tells whose a token is and for whom it is good")
async def _(api: Api) -> None:
    one = await account(api)
    for token, audiences in (
        (one.token, None), (one.token, [ISSUER, "x"]), (one.token, ["zz"]), ("nope", None), ("a.b.c", None),
        (one.token[:-4] + ("AAAA" if not one.token.endswith("AAAA") else "BBBB"), ["zz"]), ("", None),
    ):  # fmt: skip
        spec = {"token": token} | ({"audiences": audiences} if audiences else {})
        answer = await api.ask("POST", REVIEWS, {"spec": spec}, record=False)
        api.note(code=answer.code, body=answer.body.get("status"))
    await api.ask("POST", REVIEWS, {})
    await api.ask("POST", REVIEWS, {"metadata": {"name": "x"}, "spec": {"token": one.token}})
    await api.ask("POST", REVIEWS, {"spec": {"token": "x"}}, user="nobody")
    path = api.path("v1", "serviceaccounts", "bot", "token")
    made = await api.setup("POST", path, {"spec": {"audiences": ["a", "b"]}})
    await api.ask("POST", REVIEWS, {"spec": {"token": made["status"]["token"]}})
    await api.ask("POST", REVIEWS, {"spec": {"token": made["status"]["token"], "audiences": ["b", "c"]}})
    await api.ask("GET", "/api", user=None, headers={"Authorization": f"Bearer {made['status']['token']}"})


@CASES.case("a token of another's making is Unauthorized")
async def _(api: Api) -> None:
    one = await account(api)
    head, body, _ = one.token.split(".")
    for token in (f"{head}.{body}.", f"{head}.{body}.AAAA", f"{body}.{body}.{body}", "..", one.token[1:]):
        await api.ask("GET", "/api", user=None, headers={"Authorization": f"Bearer {token}"})


@CASES.case("a token goes with its account, even when another of that name comes")
async def _(api: Api) -> None:
    hide_tokens(api)
    home = api.path("v1", "serviceaccounts")
    await api.setup("POST", home, {"metadata": {"name": "gone"}})
    made = await api.setup("POST", f"{home}/gone/token", {})
    await api.setup("DELETE", f"{home}/gone")
    # The original remembers a token that it has let in; this one it sees for the first time.
    await api.ask("GET", "/api", user=None, headers={"Authorization": f"Bearer {made['status']['token']}"})
    await api.setup("POST", home, {"metadata": {"name": "gone"}})
    other = await api.setup("POST", f"{home}/gone/token", {})
    await api.ask("POST", REVIEWS, {"spec": {"token": other["status"]["token"]}})


@CASES.case("issuer and keys are told to service accounts, by which anybody checks their tokens")
async def _(api: Api) -> None:
    one = await account(api)
    for path in ("/.well-known/openid-configuration", "/openid/v1/jwks", "/openid/v1/jwks/"):
        answer = await one.ask("GET", path, record=False)
        # The keys are of another kind, and the address is each side's own.
        known = {"alg", "kid", "n", "e", "x", "y", "crv", "kty", "jwks_uri", "id_token_signing_alg_values_supported"}
        shown = {key: value for key, value in answer.body.items() if key not in known}
        keys = [{key: value for key, value in found.items() if key not in known} for found in shown.pop("keys", [])]
        api.note(code=answer.code, headers=answer.headers, body=shown, keys=keys)
        await api.ask("GET", path, user="nobody")
        await api.ask("POST", path)
        await api.ask("GET", path, accept="application/yaml")
        await api.ask("GET", f"{path.rstrip('/')}/x")
    await api.ask("GET", "/openid/v1")
