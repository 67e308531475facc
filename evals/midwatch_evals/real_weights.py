"""A scenario on real weights: the same incident, with a pulled model in place of the tiny one.

A real model computes more a token, so its replicas get more of a core, answers are shorter and clients more patient.
Its tokens are words where the tiny model's are letters, so prompts are longer and a shrunk cache smaller.
"""

import subprocess
import sys
from typing import Any

from midwatch_contracts.command import CommandError, Settings
from midwatch_evals.scenario import Fault, Load, Scenario, TimelineEntry, Topology

TINY = "tiny"
_CPU = "400m"
_PROMPT_CHARACTERS = 256
_OUTPUT_TOKENS = 32
"""With the prompt 102 to 111 of SmolLM2's tokens, so that a request ends with seven blocks of 16."""
_SHRUNK_BLOCKS = 7
_TIMEOUT_S = 10.0


def on_model(scenario: Scenario, model: str, settings: Settings) -> Scenario:
    """Return the scenario with `model` in every container that serves the tiny one.

    Raises:
        CommandError: when the model is not on this machine; says how to pull it.
    """
    if model == TINY:
        return scenario
    _check(model, settings)
    store = settings.state / "models"
    manifests = tuple(_manifest(m, model, str(store)) for m in scenario.topology.manifests if isinstance(m, dict))
    return scenario.model_copy(
        update={
            "topology": Topology(manifests=manifests),
            "load": tuple(_load(load) for load in scenario.load),
            "timeline": tuple(_entry(entry) for entry in scenario.timeline),
        }
    )


def _check(model: str, settings: Settings) -> None:
    command = [sys.executable, "-m", "midwatch_agents", "--state", str(settings.state), "model", "show", model]
    shown = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if shown.returncode:
        raise CommandError(shown.stderr.strip().removeprefix("midwatch: "), shown.returncode)


def _manifest(manifest: dict[str, Any], model: str, store: str) -> dict[str, Any]:
    if manifest.get("kind") != "Deployment":
        return manifest
    pod = manifest["spec"]["template"]["spec"]
    containers = [_container(container, model, store) for container in pod["containers"]]
    template = manifest["spec"]["template"] | {"spec": pod | {"containers": containers}}
    return manifest | {"spec": manifest["spec"] | {"template": template}}


def _container(container: dict[str, Any], model: str, store: str) -> dict[str, Any]:
    args: list[str] = container.get("args", [])
    if f"--model={TINY}" not in args:
        return container
    served = [f"--model={model}" if arg == f"--model={TINY}" else arg for arg in args]
    return container | {
        "image": f"midwatch/serving:{model}",
        "args": [*served, f"--download-dir={store}"],
        "resources": {"limits": {"cpu": _CPU}},
    }


def _load(load: Load) -> Load:
    return load.model_copy(
        update={"prompt_tokens": _PROMPT_CHARACTERS, "output_tokens": _OUTPUT_TOKENS, "timeout_s": _TIMEOUT_S}
    )


def _entry(entry: TimelineEntry) -> TimelineEntry:
    if "blocks" not in entry.fault.args:
        return entry
    fault: Fault = entry.fault.model_copy(update={"args": entry.fault.args | {"blocks": _SHRUNK_BLOCKS}})
    return entry.model_copy(update={"fault": fault})
