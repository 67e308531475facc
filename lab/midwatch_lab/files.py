"""The files of a running lab: `lab.json`, kubeconfigs, the certificate, and the key that signs approvals in the lab.

All are 0600 in a folder of 0700, and go when the lab goes: they are worth nothing without it.
"""

import base64
import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from midwatch_lab.errors import ClientError

LAB_FILE: Final = "lab.json"
KUBECONFIG: Final = "kubeconfig"
MIDWATCH_KUBECONFIG: Final = "midwatch.kubeconfig"
LAB_KEY: Final = "lab.key"
LAB_PUBLIC_KEY: Final = "lab.pub"
CERTIFICATE: Final = "apiserver.crt"
CERTIFICATE_KEY: Final = "apiserver.key"
_ALL: Final = (LAB_FILE, KUBECONFIG, MIDWATCH_KUBECONFIG, LAB_KEY, LAB_PUBLIC_KEY, CERTIFICATE, CERTIFICATE_KEY)
_VALID: Final = timedelta(days=30)


@dataclass(frozen=True)
class LabInfo:
    """What a running lab says of itself: where it answers, and by which tokens."""

    url: str
    """The Kubernetes API and `/lab/*`, over plain HTTP."""
    prometheus: str
    """Base URL of the Prometheus API."""
    kubeconfig: Path
    """Of the user `admin`; it speaks TLS, since kubectl sends no token without."""
    midwatch_kubeconfig: Path
    cluster: str
    """uid of the namespace kube-system."""
    pid: int
    dir: Path
    tokens: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "LabInfo":
        """Make one from the JSON object that `lab up` prints."""
        return cls(
            url=str(found["url"]),
            prometheus=str(found["prometheus"]),
            kubeconfig=Path(str(found["kubeconfig"])),
            midwatch_kubeconfig=Path(str(found["midwatch_kubeconfig"])),
            cluster=str(found["cluster"]),
            pid=int(found["pid"]),
            dir=Path(str(found["dir"])),
            tokens=dict(found["tokens"]),
        )

    @classmethod
    def read(cls, folder: Path) -> "LabInfo":
        """Read `lab.json` from the folder of a lab.

        Raises:
            ClientError: when there is none, or it cannot be read.
        """
        try:
            return cls.of(json.loads((folder / LAB_FILE).read_text("utf-8")))
        except FileNotFoundError as error:
            text = f"no lab runs in {folder}: start one with `midwatch lab up --dir {folder}`"
            raise ClientError(text) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ClientError(f"{folder / LAB_FILE} cannot be read: {error!r}; start the lab again") from error

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        paths = {"kubeconfig", "midwatch_kubeconfig", "dir"}
        found = {key: str(value) if key in paths else value for key, value in vars(self).items()}
        return {**found, "tokens": dict(self.tokens)}


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads; it appears whole or not at all."""
    scratch = path.with_name(path.name + ".new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    scratch.replace(path)


def remove_files(folder: Path) -> None:
    """Take away what the lab wrote."""
    for name in _ALL:
        (folder / name).unlink(missing_ok=True)


def write_lab_key(folder: Path) -> None:
    """Make the key that `--yes` signs with, in this lab and nowhere else."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_private(folder / LAB_KEY, private)
    write_private(folder / LAB_PUBLIC_KEY, public)


def kubeconfig(server: str, authority: bytes, user: str, token: str) -> bytes:
    """Return a kubeconfig with one context, named `lab`."""
    encoded = base64.b64encode(authority).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority-data": encoded}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user, "namespace": "default"}}],
    }
    return yaml.safe_dump(document, sort_keys=False).encode()


@dataclass(frozen=True)
class Certificates:
    """A certificate for 127.0.0.1 and the authority that signed it, all PEM; the authority's key is forgotten."""

    authority: bytes
    certificate: bytes
    key: bytes

    @classmethod
    def generate(cls) -> "Certificates":
        """Make fresh ones, good for 30 days."""
        authority_key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "midwatch lab")])
        authority = _authority(name, authority_key)
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = _leaf(name, authority_key, key)
        encoding = serialization.Encoding.PEM
        private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return cls(authority.public_bytes(encoding), leaf.public_bytes(encoding), private)


def _builder(issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    builder = _builder(name, name, key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(_usage(signs=True), critical=True).sign(key, hashes.SHA256())


def _leaf(
    issuer: x509.Name, issuer_key: ec.EllipticCurvePrivateKey, key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "midwatch-lab-apiserver")])
    names = x509.SubjectAlternativeName([
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.DNSName("localhost"),
    ])  # fmt: skip
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = _builder(issuer, subject, key)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs=False), critical=True)
    builder = builder.add_extension(authority, critical=False).add_extension(names, critical=False)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return builder.add_extension(usage, critical=False).sign(issuer_key, hashes.SHA256())
