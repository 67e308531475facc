"""The models on this machine: one folder each under `<state>/models`, with the weights and a record of them.

A model is there when its record is: the record is written last, so an interrupted pull leaves none.
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from midwatch_contracts.command import CommandError, Settings

RECORD = "model.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESERVED = frozenset({"tiny"})
CATALOGUE_NAMES = ("smollm2",)
"""Models that `midwatch model pull NAME` finds by itself."""


@dataclass(frozen=True)
class StoredModel:
    """The record of one model."""

    name: str
    path: str
    """Weights: a file name in the model's folder, or an absolute path for a linked file."""
    sha256: str
    size: int
    """Bytes."""
    source: str
    """Where it came from, without passwords."""


class ModelStore:
    """The folder of models."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, place: "Settings | Path") -> "ModelStore":
        """Return the store of these settings, or in this folder."""
        return cls(place.state / "models" if isinstance(place, Settings) else place)

    def model_folder(self, name: str) -> Path:
        """Return the folder of a model.

        Raises:
            CommandError: when a model cannot have this name.
        """
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise CommandError(
                f"a model cannot be called {name!r}: use letters, digits, `.`, `_` and `-`, but not `tiny`"
            )
        return self.folder / name

    def find(self, name: str) -> StoredModel | None:
        """Return the record of a model, if it is there.

        Raises:
            CommandError: when the record cannot be read.
        """
        path = self.folder / name / RECORD
        if not _NAME.fullmatch(name) or not path.exists():
            return None
        try:
            record = cast("dict[str, Any]", json.loads(path.read_text("utf-8")))
            record.pop("schema")
            return StoredModel(**record)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CommandError(f"{path} is no record of a model ({error}): midwatch model remove {name}") from error

    def all(self) -> list[StoredModel]:
        """Return every model, by name."""
        names = sorted(path.parent.name for path in self.folder.glob(f"*/{RECORD}"))
        return [model for model in map(self.find, names) if model is not None]

    def weights(self, model: StoredModel) -> Path:
        """Return where a model's weights lie."""
        return self.folder / model.name / model.path

    def keep(self, model: StoredModel) -> None:
        """Write a model's record; its weights must be in place."""
        target = self.model_folder(model.name) / RECORD
        temporary = target.with_name(RECORD + ".new")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump({"schema": "midwatch.model/v1", **asdict(model)}, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)

    def remove(self, name: str) -> bool:
        """Remove a model, or what an interrupted pull left of it; a linked file stays. Return whether there was one."""
        folder = self.model_folder(name)
        if not folder.is_dir():
            return False
        with self.locked(name):
            (folder / RECORD).unlink(missing_ok=True)
            shutil.rmtree(folder)
        return True

    @contextmanager
    def locked(self, name: str) -> Generator[Path]:
        """Hold a model's folder, which is made if it is missing, against other processes.

        Raises:
            CommandError: when another process holds it, or it cannot be made.
        """
        folder = self.model_folder(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / ".lock").open("w")
        except OSError as error:
            raise CommandError(f"{folder} cannot be written ({error.strerror}): set MIDWATCH_STATE") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise CommandError(f"another `midwatch model` is at work on {name}: wait for it to end") from error
            yield folder


def resolve(name_or_path: str, place: Settings | Path) -> Path:
    """Return the GGUF file that a user names: a model of the store, or a path.

    Raises:
        CommandError: when there is none; names the mend.
    """
    store = ModelStore.of(place)
    model = store.find(name_or_path)
    if model is not None:
        path = store.weights(model)
        try:
            size = path.stat().st_size
        except OSError as error:
            raise CommandError(f"the weights of {model.name} are gone from {path}: {_mend(model.name)}") from error
        if size != model.size:
            raise CommandError(f"{path} has {size} bytes, {model.size} were pulled: {_mend(model.name)}")
        return path
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    if name_or_path in CATALOGUE_NAMES:
        raise CommandError(f"the model {name_or_path} is not on this machine yet: {_mend(name_or_path)}")
    known = ", ".join(dict.fromkeys([*(m.name for m in store.all()), *CATALOGUE_NAMES]))
    raise CommandError(
        f"there is no model {name_or_path!r}: name one of {known}, or a .gguf file, "
        f"or take one in with `midwatch model pull NAME --gguf PATH`"
    )


def _mend(name: str) -> str:
    again = f"midwatch model pull {name}" + ("" if name in CATALOGUE_NAMES else " --gguf PATH")
    return f"run `{again}`"
