"""The original with what reconciles and runs: controllers, a scheduler, and kwok, which plays the kubelets.

A Node that is created becomes Ready, and pods on it Running at once; every container's log is one file. There is no
metrics API, no exec, and nothing that listens on a pod's address.
"""

import subprocess
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import yaml

from midwatch_lab import original
from midwatch_lab.errors import OriginalError
from midwatch_lab.files import Certificates

PROGRAMS: Final = ("kube-controller-manager", "kube-scheduler", "kwok")
STAGES: Final = Path("kwok-stages") / "fast.yaml"
_STARTED_S: Final = 60


@dataclass(frozen=True)
class Plane:
    """A running control plane."""

    url: str
    kubeconfig: Path
    pod_log: Path
    """What every container is said to have written, in the form of the CRI: `TIME stdout F text`."""


@contextmanager
def reconciled(programs: Path, folder: Path) -> Generator[Plane]:
    """Run the whole control plane in a folder of its own until the block ends.

    Args:
        programs: folder of the binaries and of kwok's stages.
        folder: an empty one, for their files.

    Raises:
        OriginalError: when a program is missing or does not come up.
    """
    missing = [name for name in (*PROGRAMS, str(STAGES)) if not (programs / name).exists()]
    if missing:
        raise OriginalError(f"no {', '.join(missing)} in {programs}: KUBEBUILDER_ASSETS must name a folder that has it")
    with ExitStack() as stack:
        found = stack.enter_context(original.running(programs, folder))
        kubeconfig = found.kubeconfig(folder / "kubeconfig")
        ports = [original.free_port() for _ in PROGRAMS]
        log = stack.enter_context((folder / "plane.log").open("wb"))
        for name, port in zip(PROGRAMS, ports, strict=True):
            command = [str(programs / name), f"--kubeconfig={kubeconfig}", *_flags(name, programs, folder, port)]
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
            stack.callback(process.wait, 20)
            stack.callback(process.kill)
        for name, port in zip(PROGRAMS, ports, strict=True):
            _wait(name, port, folder / "plane.log")
        yield Plane(found.url, kubeconfig, folder / "pod.log")


def _flags(name: str, programs: Path, folder: Path, port: int) -> list[str]:
    if name != "kwok":
        own = [
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--leader-elect=false",
            f"--cert-dir={folder / name}",
        ]
        if name == "kube-scheduler":
            return own
        key = f"--service-account-private-key-file={folder / 'sa.key'}"
        return [*own, key, "--use-service-account-credentials=false", "--horizontal-pod-autoscaler-sync-period=2s"]
    pair = Certificates.generate()
    (folder / "kwok.crt").write_bytes(pair.certificate)
    (folder / "kwok.key").write_bytes(pair.key)
    log = folder / "pod.log"
    log.touch()
    logs: dict[str, Any] = {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "ClusterLogs",
        "metadata": {"name": "every-pod"},
        "spec": {"logs": [{"logsFile": str(log), "follow": True}]},
    }
    config = folder / "kwok.yaml"
    config.write_text(f"{(programs / STAGES).read_text('utf-8')}\n---\n{yaml.safe_dump(logs)}", "utf-8")
    return [
        *(f"--config={config}", "--manage-all-nodes=true", "--node-ip=127.0.0.1", f"--node-port={port}"),
        *("--node-lease-duration-seconds=40", f"--server-address=127.0.0.1:{port}"),
        *(f"--tls-cert-file={folder / 'kwok.crt'}", f"--tls-private-key-file={folder / 'kwok.key'}"),
    ]


def _wait(name: str, port: int, log: Path) -> None:
    deadline = time.monotonic() + _STARTED_S
    while not _healthy(port):
        if time.monotonic() > deadline:
            raise OriginalError(f"{name} did not come up: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


def _healthy(port: int) -> bool:
    try:
        with httpx2.Client(verify=original.unverified(), trust_env=False) as http:
            return http.get(f"https://127.0.0.1:{port}/healthz").is_success
    except httpx2.HTTPError:
        return False
