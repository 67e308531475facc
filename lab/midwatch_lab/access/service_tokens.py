"""Tokens of service accounts: signed, bound to an account (and to a pod, secret or node), and good for a time.

They are JSON Web Tokens (RFC 7519) with the claims of the original. The key is the lab's own and dies with it; a token
is worth nothing once what it is bound to is gone, since every use looks.
"""

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Final
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm
from jwt.types import Options
from jwt.utils import base64url_encode

from midwatch_contracts.clock import Clock
from midwatch_lab.access.rules import quoted_list
from midwatch_lab.access.user import AUTHENTICATED, User, account_groups, account_name
from midwatch_lab.errors import TokenError
from midwatch_lab.kinds.resources import NODES, PODS, SECRETS, SERVICE_ACCOUNTS, Resource
from midwatch_lab.objects import Object, dig, name_of, namespace_of, uid_of
from midwatch_lab.store.store import Store

ISSUER: Final = "https://kubernetes.default.svc"
ALGORITHM: Final = "ES256"
BINDABLE: Final = {"Pod": PODS, "Secret": SECRETS, "Node": NODES}
_EXTRA: Final = "authentication.kubernetes.io/"
_OWN: Final = "kubernetes.io"
_UNCHECKED: Final[Options] = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
"""Checks that the lab makes itself: by its own clock, and in the original's words."""


@dataclass
class ServiceTokens:
    """Issues tokens, and tells whose they are."""

    store: Store
    clock: Clock
    _key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @cached_property
    def key_id(self) -> str:
        """The name of the key: the hash of its public half."""
        public = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64url_encode(sha256(public).digest()).decode()

    @cached_property
    def key_set(self) -> Object:
        """The public key as a set of JSON Web Keys (RFC 7517)."""
        key: Object = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{"use": "sig", "kid": self.key_id, "alg": ALGORITHM, **key}]}

    def issue(self, account: Object, audiences: list[str], seconds: int, bound: Object | None) -> tuple[str, float]:
        """Return a token of an account, and when it ends (Unix seconds); `bound` is the object that it lives with."""
        now = int(self.clock.now())
        own: Object = {"namespace": namespace_of(account), "serviceaccount": _reference(account)}
        if bound is not None:
            own[str(bound["kind"]).lower()] = _reference(bound)
            node = dig(bound, "spec", "nodeName") if bound["kind"] == "Pod" else None
            at = self.store.get(NODES.key, "", str(node)) if node else None
            if node:
                own["node"] = {"name": node} if at is None else _reference(at)
        claims: Object = {
            "aud": audiences,
            "exp": now + seconds,
            "iat": now,
            "iss": ISSUER,
            "jti": str(uuid4()),
            _OWN: own,
            "nbf": now,
            "sub": account_name(namespace_of(account), name_of(account)),
        }
        token = jwt.encode(claims, self._key, ALGORITHM, headers={"kid": self.key_id, "typ": None})
        return token, float(now + seconds)

    def user_of(self, token: str, audiences: list[str]) -> tuple[User, list[str]]:
        """Return whose a token is, and for which of the audiences it is good.

        Raises:
            TokenError: when it is not good; without a message where it is no token of a service account at all.
        """
        claims = self._claims(token)
        good = [audience for audience in claims.get("aud", []) if audience in audiences]
        if not good:
            texts = quoted_list(claims.get("aud", [])), quoted_list(audiences)
            raise TokenError(f"token audiences {texts[0]} is invalid for the target audiences {texts[1]}")
        now = self.clock.now()
        if now >= claims.get("exp", 0):
            raise TokenError("service account token has expired")
        if now < claims.get("nbf", 0):
            raise TokenError("service account token is not valid yet")
        own: Object = claims.get(_OWN, {})
        namespace = str(own.get("namespace", ""))
        account: Object = own.get("serviceaccount", {})
        self._check(SERVICE_ACCOUNTS, namespace, account, "service account")
        extra = {f"{_EXTRA}credential-id": (f"JTI={claims.get('jti', '')}",)}
        for kind, resource in BINDABLE.items():
            reference: Object | None = own.get(kind.lower())
            if reference is None:
                continue
            if kind != "Node" or "pod" not in own:
                self._check(resource, namespace if resource.namespaced else "", reference, kind.lower())
            if kind != "Secret":
                extra[f"{_EXTRA}{kind.lower()}-name"] = (str(reference["name"]),)
                if reference.get("uid"):
                    extra[f"{_EXTRA}{kind.lower()}-uid"] = (str(reference["uid"]),)
        groups = (*account_groups(namespace), AUTHENTICATED)
        return User(account_name(namespace, str(account["name"])), groups, str(account["uid"]), extra), good

    def _claims(self, token: str) -> Object:
        try:
            unverified = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError as error:
            raise TokenError("") from error
        if unverified.get("iss") != ISSUER:
            raise TokenError("")
        try:
            return jwt.decode(token, self._key.public_key(), [ALGORITHM], options=_UNCHECKED)
        except jwt.PyJWTError as error:
            raise TokenError("go-jose/go-jose: error in cryptographic primitive") from error

    def _check(self, resource: Resource, namespace: str, reference: Object, what: str) -> None:
        name, uid = str(reference.get("name", "")), str(reference.get("uid", ""))
        found = self.store.get(resource.key, namespace, name)
        if found is None:
            raise TokenError(f'{resource.plural} "{name}" not found')
        if uid_of(found) != uid:
            raise TokenError(f"{what} UID ({uid_of(found)}) does not match claim ({uid})")


def _reference(obj: Object) -> Object:
    return {"name": name_of(obj), "uid": uid_of(obj)}
