"""`midwatch model pull|list|show|remove`."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_serving.errors import ModelError
from midwatch_serving.gguf_file import GgufFile
from midwatch_serving.model_pull import CATALOGUE, Pulled, Puller
from midwatch_serving.model_store import ModelStore, StoredModel, resolve
from midwatch_serving.pull_progress import stderr_progress


def model(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run one action; return the exit code."""
    store = ModelStore.of(settings)
    actions = {"pull": _pull, "list": _list, "show": _show, "remove": _remove}
    try:
        return actions[arguments.action](arguments, store)
    except ModelError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        where = error.filename or store.folder
        raise CommandError(f"{where}: {error.strerror or error}; mend that, or set MIDWATCH_STATE") from error


def _pull(arguments: argparse.Namespace, store: ModelStore) -> int:
    pulled = _pulled(arguments, Puller(store, os.environ, stderr_progress()))
    if arguments.json:
        return _json(_facts(pulled.model, store) | {"fresh": pulled.fresh})
    verb = "is here" if pulled.fresh else "was here already, whole"
    return _say(f"{pulled.model.name} {verb}: {pulled.path} ({_megabytes(pulled.model.size)})")


def _pulled(arguments: argparse.Namespace, puller: Puller) -> Pulled:
    name: str = arguments.name
    if arguments.link and not arguments.gguf:
        raise CommandError("--link says how to take in a local file: it goes with --gguf PATH")
    if arguments.gguf:
        return puller.from_file(name, arguments.gguf, link=arguments.link)
    if arguments.from_hub:
        return puller.from_hub(name, arguments.from_hub)
    if name not in CATALOGUE:
        raise CommandError(
            f"where {name!r} lies is not known: give --gguf PATH or --from-hub OWNER/REPO/FILE.gguf "
            f"(known by name: {', '.join(CATALOGUE)})"
        )
    return puller.from_index(name, CATALOGUE[name])


def _list(arguments: argparse.Namespace, store: ModelStore) -> int:
    models = store.all()
    if arguments.json:
        return _json([_facts(found, store) for found in models])
    if not models:
        return _say("no models yet: midwatch model pull smollm2")
    table = Table("name", "size", "sha256", "source", box=None)
    for found in models:
        table.add_row(found.name, _megabytes(found.size), found.sha256[:12], found.source)
    Console().print(table)
    return Exit.OK


def _show(arguments: argparse.Namespace, store: ModelStore) -> int:
    path = resolve(arguments.name, store.folder)
    file = GgufFile.open(path)
    found = store.find(arguments.name)
    facts: dict[str, Any] = {"name": arguments.name, "path": str(path)}
    facts |= {"sha256": file.sha256} if found is None else _facts(found, store)
    if found is not None and found.sha256 != file.sha256:
        raise CommandError(f"{path} has changed since it was pulled: pull it again")
    facts |= {
        "about": asdict(file.about),
        "config": asdict(file.config),
        "chat_template": file.chat_template is not None,
    }
    if arguments.json:
        return _json(facts)
    for key, value in _flat(facts).items():
        sys.stdout.write(f"{key:<24}{value}\n")
    return Exit.OK


def _remove(arguments: argparse.Namespace, store: ModelStore) -> int:
    there = store.remove(arguments.name)
    if not there:
        raise CommandError(f"there is no model {arguments.name!r} to remove: see `midwatch model list`")
    return _json({"removed": arguments.name}) if arguments.json else _say(f"{arguments.name} was removed")


def _facts(found: StoredModel, store: ModelStore) -> dict[str, Any]:
    return asdict(found) | {"path": str(store.weights(found))}


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in facts.items():
        nested = isinstance(value, dict)
        flat |= _flat(cast("dict[str, Any]", value), f"{prefix}{key}.") if nested else {prefix + key: value}
    return flat


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _say(line: str) -> int:
    sys.stdout.write(line + "\n")
    return Exit.OK


def _json(value: object) -> int:
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
    return Exit.OK
