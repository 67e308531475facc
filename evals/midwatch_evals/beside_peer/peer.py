"""The peer: one static binary out of an npm package, whose content is fixed by its hash."""

import base64
import hashlib
import io
import platform
import sys
import tarfile
from pathlib import Path
from typing import Final

import httpx2

from midwatch_contracts.command import CommandError

VERSION: Final = "0.0.67"
_NAME: Final = "kubernetes-mcp-server-linux-amd64"
_URL: Final = f"https://registry.npmjs.org/{_NAME}/-/{_NAME}-{VERSION}.tgz"
_SHA512: Final = "VW5wRdetbJmfCHkCEBA808bgJJRL1GCfkSZ17J+SJJuNiKcvjibcGR32272WKtwd3Td4ZVrOPomExKgCNE16jA=="
"""The registry's `dist.integrity`."""
_MEMBER: Final = f"package/bin/{_NAME}"
_TIMEOUT_S: Final = 120.0


def fetched(folder: Path) -> Path:
    """Return the binary in `folder`, fetched from the npm registry where it is missing.

    Raises:
        CommandError: it cannot be fetched, is not what it should be, or does not run on this machine.
    """
    file = folder / f"kubernetes-mcp-server-{VERSION}"
    if file.is_file():
        return file
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise CommandError(f"{_NAME} runs on x86-64 Linux alone: name another build of {VERSION} with --peer PATH")
    sys.stderr.write(f"fetching {_URL} …\n")
    try:
        package = httpx2.get(_URL, timeout=_TIMEOUT_S, follow_redirects=True).raise_for_status().content
    except httpx2.HTTPError as error:
        raise CommandError(f"{_URL} cannot be fetched: {error}; name the binary with --peer PATH") from error
    found = base64.b64encode(hashlib.sha512(package).digest()).decode()
    if found != _SHA512:
        raise CommandError(f"{_URL} is not what was published: its sha512 is {found}, not {_SHA512}")
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        member = archive.extractfile(_MEMBER)
        if member is None:
            raise CommandError(f"{_URL} holds no {_MEMBER}")
        folder.mkdir(parents=True, exist_ok=True)
        # Under its name only once it is whole, for a file of that name is not looked into again.
        draft = file.with_suffix(".part")
        draft.write_bytes(member.read())
    draft.chmod(0o755)
    return draft.replace(file)
