"""What the servers need to know, built once at the edge and passed down."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

from midwatch_contracts.command import Settings
from midwatch_mcp.errors import SettingsError
from midwatch_mcp.kubernetes.connection import Bounds
from midwatch_mcp.vouching import Vouched


@dataclass(frozen=True)
class ServerSettings:
    """How the servers reach the world. Every path is absolute or relative to the working folder at start."""

    state: Path
    """State folder (0700): evidence, audit, journal."""
    kubeconfig: Path | None = None
    """None: `KUBECONFIG` or `~/.kube/config`, as the `kubernetes` client finds it."""
    context: str | None = None
    """Context of the kubeconfig; None: the one that is current when the cluster is first asked."""
    contexts: tuple[str, ...] = ()
    """Several contexts that a call chooses from, the first being `context`; empty: that one alone."""
    prometheus: str | None = None
    """Base URL of a Prometheus-compatible API."""
    prometheus_http_config: Path | None = None
    """Credentials and certificates for it: a file in the form of promtool's `--http.config.file`."""
    policy: Path | None = None
    """Policy of the safe-apply envelope."""
    lab: Path | None = None
    """Folder of a running lab."""
    guides: tuple[Path, ...] = ()
    """Folders of guides beside the built-in library."""
    bounds: Bounds = field(default_factory=Bounds)
    """As whom the cluster is asked, and within which namespaces."""
    vouched: Vouched | None = None
    """Where the process that holds the servers vouches for drafts that code alone wrote. Only such a plan can be
    approved by policy. No flag sets it, and no server that others reach has it."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Take what the servers need from the command line's settings; a lab fills in what is not given.

        Raises:
            SettingsError: when the lab's folder names no running lab.
        """
        kubeconfig, prometheus = settings.kubeconfig, settings.prometheus
        if settings.lab is not None and (kubeconfig is None or prometheus is None):
            lab = _lab(settings.lab)
            kubeconfig = kubeconfig or Path(lab["midwatch_kubeconfig"])
            prometheus = prometheus or lab["prometheus"]
        return cls(
            state=settings.state,
            kubeconfig=kubeconfig,
            context=settings.kube_context,
            prometheus=prometheus,
            # What a lab fills in is not the endpoint that the credentials are for.
            prometheus_http_config=None if settings.prometheus is None else settings.prometheus_http_config,
            policy=settings.policy,
            lab=settings.lab,
            guides=settings.guides,
        )


def _lab(folder: Path) -> dict[str, str]:
    file = folder / "lab.json"
    try:
        raw: Any = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"no lab is running in {folder}: {file} cannot be read; run: midwatch lab up") from error
    except ValueError as error:
        raise SettingsError(f"{file} is no JSON: start the lab again with: midwatch lab up") from error
    names = ("midwatch_kubeconfig", "prometheus")
    if not isinstance(raw, dict) or not all(isinstance(cast("dict[str, Any]", raw).get(name), str) for name in names):
        raise SettingsError(f"{file} does not name {' and '.join(names)}: start the lab again with: midwatch lab up")
    return cast("dict[str, str]", raw)
