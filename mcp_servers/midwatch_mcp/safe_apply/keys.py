"""Ed25519 keys (RFC 8032) and who they belong to.

Private keys are files that only the process that asks the person reads; servers read `approvers.toml` and, for its own
cluster only, the public key of a running lab.
"""

import base64
import json
import re
import secrets
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from midwatch_mcp.files import locked, write_private
from midwatch_mcp.safe_apply.errors import KeyFileError

LAB = "lab"
"""The principal of a lab's own key."""
_NAME = re.compile(r"^[a-z][a-z0-9._-]{0,62}$")


@dataclass(frozen=True)
class Principal:
    """One approver. `cluster` limits the trust to one cluster; None is any."""

    name: str
    public_key: Ed25519PublicKey
    cluster: str | None = None

    def signed(self, payload: bytes, signature: str) -> bool:
        """Say whether `signature` (base64) is this principal's over `payload`."""
        try:
            raw = base64.b64decode(signature, validate=True)
            self.public_key.verify(raw, payload)
        except (ValueError, InvalidSignature):
            return False
        return True

    @property
    def key_text(self) -> str:
        """The public key's 32 bytes as base64."""
        return base64.b64encode(self.public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def sign(key: Ed25519PrivateKey, payload: bytes) -> str:
    """Return the padded base64 (RFC 4648 §4) of the signature."""
    return base64.b64encode(key.sign(payload)).decode()


def key_folder(state: Path) -> Path:
    """Return where private keys lie."""
    return state / "keys"


def approvers_path(state: Path) -> Path:
    """Return the list of approvers."""
    return state / "approvers.toml"


def new_key(state: Path, name: str, passphrase: str | None = None) -> Principal:
    """Make a key of a principal, and add its public half to the list of approvers.

    With a passphrase the private half is encrypted (PKCS #8).

    Raises:
        KeyFileError: the name is not usable, or there is such a principal already.
    """
    if not _NAME.match(name) or name == LAB:
        raise KeyFileError(f"{name!r} cannot name a principal: use lower-case letters, digits, dots, and not {LAB!r}")
    key = Ed25519PrivateKey.generate()
    with locked(state / "locks" / "approvers.lock", wait=True):
        known, revoked = _read(state)
        if name in known:
            raise KeyFileError(f"there is an approver {name} already: choose another name, or remove the old one")
        try:
            hidden = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase.encode())
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden)
            write_private(key_folder(state) / f"{name}.key", pem)
        except FileExistsError as error:
            raise KeyFileError(f"there is a key {name} already in {key_folder(state)}") from error
        principal = Principal(name, key.public_key())
        _write(state, [*known.values(), principal], revoked)
    return principal


@dataclass(frozen=True)
class Revoked:
    """Whose signature counts no more, and where the private key was put aside, if it lay here."""

    principal: Principal
    aside: Path | None


def revoke(state: Path, name: str, lab: Path | None = None) -> Revoked:
    """Take a principal out of the list of approvers: what it signed counts no more, the unused included.

    Its private key, if it lies here, is put aside so that the name is free again. The key of a running `lab` stands in
    the lab's own folder: it is listed as revoked, and counts here no more; a lab that is started anew makes another.

    Raises:
        KeyFileError: there is no such principal.
    """
    with locked(state / "locks" / "approvers.lock", wait=True):
        known, revoked = _read(state)
        listed = known if name != LAB else known | _counting(lab_principal(lab), revoked)
        if name not in listed:
            there = "no lab is running that this state folder knows" if name == LAB else ", ".join(known) or "nobody is"
            raise KeyFileError(f"{name} is no approver here: {there}")
        principal = listed[name]
        if name == LAB:
            _write(state, list(known.values()), [*revoked, principal.key_text])
            return Revoked(principal, None)
        _write(state, [one for one in known.values() if one.name != name], revoked)
        key = key_folder(state) / f"{name}.key"
        aside = key.with_suffix(f".revoked-{secrets.token_hex(4)}")
        return Revoked(principal, key.rename(aside) if key.exists() else None)


def _counting(found: Mapping[str, Principal], revoked: Sequence[str]) -> dict[str, Principal]:
    return {name: one for name, one in found.items() if one.key_text not in revoked}


def _write(state: Path, principals: Sequence[Principal], revoked: Sequence[str]) -> None:
    lines = ["# Who may approve changes: public keys only. Written by `midwatch keys`."]
    if revoked:
        lines += ["# Keys of labs that count here no more.", f"revoked = {json.dumps(list(revoked))}"]
    for principal in principals:
        lines += ["", "[[principal]]", f'name = "{principal.name}"', f'public_key = "{principal.key_text}"']
        lines += [f'cluster = "{principal.cluster}"'] if principal.cluster else []
    write_private(approvers_path(state), ("\n".join(lines) + "\n").encode(), replace=True)


def approvers(state: Path) -> dict[str, Principal]:
    """Return the principals of `approvers.toml` by name; none where there is no such file.

    Raises:
        KeyFileError: the file does not fit. Then nobody is an approver.
    """
    return _read(state)[0]


def _read(state: Path) -> tuple[dict[str, Principal], list[str]]:
    """Return what `approvers.toml` holds: the principals by name, and keys of labs that were revoked."""
    path = approvers_path(state)
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise KeyFileError(f"{path} cannot be read: {error}") from error
    revoked = raw.get("revoked", [])
    if not isinstance(revoked, list) or not all(isinstance(key, str) for key in cast("list[Any]", revoked)):
        raise KeyFileError(f"{path}: revoked is a list of public keys")
    found: dict[str, Principal] = {}
    for entry in cast("list[dict[str, Any]]", raw.get("principal", [])):
        principal = _principal(entry, path)
        if principal.name in found:
            raise KeyFileError(f"{path} names {principal.name} twice: one principal has one key")
        found[principal.name] = principal
    return found, cast("list[str]", revoked)


def _principal(entry: dict[str, Any], path: Path) -> Principal:
    name, text, cluster = entry.get("name"), entry.get("public_key"), entry.get("cluster")
    if set(entry) - {"name", "public_key", "cluster"} or not isinstance(name, str) or not isinstance(text, str):
        raise KeyFileError(f"{path}: a principal has a name, a public_key and perhaps a cluster, not {sorted(entry)}")
    if name == LAB:
        raise KeyFileError(f"{path}: {LAB!r} is the name of a lab's own key and stands in the lab's folder")
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path}: the public_key of {name} is not the base64 of 32 bytes") from error
    return Principal(name, key, cluster if isinstance(cluster, str) else None)


def _no_passphrase() -> str:
    raise KeyFileError("the key has a passphrase, and there is nobody to ask for it")


def private_key(path: Path, passphrase: Callable[[], str] = _no_passphrase) -> Ed25519PrivateKey:
    """Read a private key (PEM); `passphrase` is asked if the key has one.

    Raises:
        KeyFileError: there is none, it is no Ed25519 key, or others may read it.
    """
    try:
        mode = path.stat().st_mode & 0o077
        content = path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"there is no key {path}: make one with `midwatch keys new NAME`") from error
    if mode:
        raise KeyFileError(f"others may read the key {path}: run chmod 600, and make a new key if they may have")
    encrypted = b"ENCRYPTED PRIVATE KEY" in content
    try:
        key = load_pem_private_key(content, password=passphrase().encode() if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        why = "the passphrase is wrong" if encrypted else f"it is no private key in PEM: {error}"
        raise KeyFileError(f"{path} cannot be used: {why}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path} is no Ed25519 key")
    return key


def lab_cluster(lab: Path) -> str:
    """Return the cluster uid that a lab's `lab.json` names.

    Raises:
        KeyFileError: no lab is there.
    """
    file = lab / "lab.json"
    try:
        found = json.loads(file.read_text("utf-8"))["cluster"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KeyFileError(f"no lab is running in {lab}: {file} cannot be read") from error
    if not isinstance(found, str) or not found:
        raise KeyFileError(f"{file} does not name its cluster")
    return found


def lab_principal(lab: Path | None) -> dict[str, Principal]:
    """Return the lab's principal, trusted for its own cluster only; none where no lab runs."""
    if lab is None or not (lab / "lab.pub").exists():
        return {}
    try:
        key = load_pem_public_key((lab / "lab.pub").read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{lab / 'lab.pub'} is no public key in PEM: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{lab / 'lab.pub'} is no Ed25519 key")
    return {LAB: Principal(LAB, key, lab_cluster(lab))}


def principals(state: Path, lab: Path | None) -> dict[str, Principal]:
    """Return everyone whose signature counts, by name.

    Raises:
        KeyFileError: a file does not fit, or two principals have one key. Then nobody's signature counts.
    """
    known, revoked = _read(state)
    found = known | _counting(lab_principal(lab), revoked)
    owners: dict[str, str] = {}
    for principal in found.values():
        other = owners.setdefault(principal.key_text, principal.name)
        if other != principal.name:
            raise KeyFileError(
                f"{approvers_path(state)}: {other} and {principal.name} have one key, so that one could pass for two: "
                "each has a key of its own"
            )
    return found
