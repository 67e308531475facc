"""Bearer tokens that stand in a file: `NAME TOKEN`, one a line; `#` begins a comment.

The file is read again when it changes, so a token is added or taken back without a restart. Tokens are kept as
digests and compared in constant time; the name is what the audit log says.
"""

import hashlib
import hmac
import re
from pathlib import Path

from mcp.server.auth.provider import AccessToken

from midwatch_mcp.errors import SettingsError
from midwatch_mcp.files import check_private

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{32,512}")
"""What RFC 6750 §2.1 allows in a header; 32 characters of hex are 128 bits."""


class TokenFile:
    """Verifies tokens by a file.

    Raises:
        SettingsError: the file cannot be used; names the line.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp: tuple[int, int, int] | None = None
        self._names: dict[bytes, str] = {}
        self._read()

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return whose token it is; None for a token that is not in the file, or a file that cannot be used."""
        try:
            self._read()
        except SettingsError:
            return None
        digest = _digest(token)
        found = [name for known, name in self._names.items() if hmac.compare_digest(known, digest)]
        return AccessToken(token=token, client_id=found[0], scopes=[]) if found else None

    def _read(self) -> None:
        check_private(self._file, "--token-file")
        found = self._file.stat()
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if stamp == self._stamp:
            return
        self._names = parse_tokens(self._file.read_text("utf-8", "replace"), str(self._file))
        self._stamp = stamp


def parse_tokens(text: str, where: str) -> dict[bytes, str]:
    """Return the names by SHA-256 digest of the token.

    Raises:
        SettingsError: names the line, never the token.
    """
    names: dict[bytes, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or not _NAME.fullmatch(words[0]):  # noqa: PLR2004 (a name and a token)
            raise SettingsError(f"{where}, line {number}: a line is NAME TOKEN, such as: ide $(openssl rand -hex 32)")
        if not _TOKEN.fullmatch(words[1]):
            raise SettingsError(
                f"{where}, line {number}: the token of {words[0]} must be 32 to 512 letters, digits or ._~+/=-; "
                "make one with: openssl rand -hex 32"
            )
        digest = _digest(words[1])
        if digest in names:
            raise SettingsError(f"{where}, line {number}: {words[0]} has the token of {names[digest]}: give each one")
        names[digest] = words[0]
    if not names:
        raise SettingsError(f"{where} holds no token: write a line NAME TOKEN into it")
    return names


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
