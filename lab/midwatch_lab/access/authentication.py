"""Who sends a request: whoever its bearer token stands for, or nobody in particular where it carries none."""

import secrets
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request

from midwatch_lab import status
from midwatch_lab.access.service_tokens import ISSUER, ServiceTokens
from midwatch_lab.access.user import ANONYMOUS, User
from midwatch_lab.errors import TokenError

_BAD_TOKEN: Final = "invalid bearer token"  # noqa: S105 (a message)


def bearer_token(request: Request) -> str:
    """Return the bearer token of a request (RFC 6750), empty where it carries none."""
    scheme, _, rest = request.headers.get("authorization", "").strip().partition(" ")
    # What follows a second space is no part of the token; with two spaces in a row there is none.
    return rest.split(" ", 1)[0] if scheme.lower() == "bearer" else ""


@dataclass(frozen=True)
class StaticTokens:
    """Users by token, as a file of tokens gives them."""

    by_token: dict[str, User] = field(repr=False)

    def find(self, token: str) -> User | None:
        """Return whose a token is, or None; each is compared in full, so that time tells nothing."""
        found = None
        for known, user in self.by_token.items():
            if secrets.compare_digest(known.encode(), token.encode()):
                found = user
        return found


@dataclass(frozen=True)
class Authentication:
    """Tells who sends a request, by static tokens and those of service accounts."""

    static: StaticTokens
    services: ServiceTokens

    def of(self, request: Request) -> User:
        """Return who sends a request.

        Raises:
            ApiError: 401 when the token is nobody's.
        """
        token = bearer_token(request)
        if not token:
            return ANONYMOUS
        try:
            return self.review(token, [ISSUER])[0]
        except TokenError as error:
            raise status.unauthorized() from error

    def review(self, token: str, audiences: list[str]) -> tuple[User, list[str]]:
        """Return whose a token is, and for which of the audiences it is good.

        Raises:
            TokenError: when it is nobody's, or not good.
        """
        user = self.static.find(token)
        if user is not None:
            if ISSUER not in audiences:
                raise TokenError(_BAD_TOKEN)
            return user, [ISSUER]
        try:
            return self.services.user_of(token, audiences)
        except TokenError as error:
            text = f"[{_BAD_TOKEN}, {error}]" if str(error) else _BAD_TOKEN
            raise TokenError(text) from error
