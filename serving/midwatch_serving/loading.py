"""Models by name, and the arithmetic that runs them."""

import importlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from midwatch_contracts.command import CommandError
from midwatch_serving.errors import KernelError, ModelError
from midwatch_serving.executor import CpuExecutor
from midwatch_serving.model import Model, tiny
from midwatch_serving.reference import ReferenceRunner
from midwatch_serving.runner import Runner

log = logging.getLogger("midwatch.serving")

TINY = "tiny"
CACHE_DTYPES = {"reference": "float32", "portable": "float16", "vnni": "float16", "amx": "bfloat16"}
"""What keys and values are kept as, by kind of arithmetic."""


@dataclass(frozen=True)
class ModelChoice:
    """Which model is to be served: `tiny`, a name of the store, or a path to a GGUF file."""

    name: str
    seed: int = 0
    """Of the tiny model's weights."""
    store: Path | None = None
    """Folder of pulled models; None where only `tiny` and paths are known."""

    def load(self) -> Model:
        """Read the model.

        Raises:
            CommandError: when there is no such model, or its file is broken; names the mend.
        """
        if self.name == TINY:
            return tiny(self.seed)
        files: Any = importlib.import_module("midwatch_serving.gguf_model")  # with tokenizers: not for the tiny model
        try:
            model: Model = files.open_model(self.name, self.store)
        except ModelError as error:
            raise CommandError(str(error)) from error
        return model


class _Sizes(TypedDict):
    num_blocks: int
    block_size: int
    max_model_len: int


@dataclass(frozen=True)
class Arithmetic:
    """How a model is computed."""

    kernel: str = "auto"
    """A kind, or `auto`, which takes numpy for the tiny model and the CPU's best kernel for any other."""
    threads: int = 1
    cache: Path | None = None
    """Folder for packed weights; None keeps none."""

    def kind(self, model: Model, block_size: int) -> str:
        """Return the arithmetic that `executor` takes: `reference`, or a kind of kernel.

        Raises:
            CommandError: when the kernel does not run here or does not fit the model or the block size.
        """
        if self.kernel == "reference" or (self.kernel == "auto" and model.name == TINY):
            return ReferenceRunner.name
        try:
            kind: str = _kernels().choose(self.kernel, model.config, block_size)
        except KernelError as error:
            if self.kernel != "auto":
                raise CommandError(str(error)) from error
            log.warning("computing in plain numpy, several times slower: %s", error)
            return ReferenceRunner.name
        return kind

    def executor(
        self, model: Model, *, num_blocks: int, block_size: int, max_model_len: int, max_rows: int
    ) -> CpuExecutor:
        """Return an executor that has computed its first step.

        Raises:
            CommandError: when the kernel does not run here or does not fit the model or the block size.
        """
        sizes = _Sizes(num_blocks=num_blocks, block_size=block_size, max_model_len=max_model_len)
        kind = self.kind(model, block_size)
        if kind == ReferenceRunner.name:
            executor = CpuExecutor(model, **sizes)
            executor.warm_up()
            return executor
        runner: Runner = _kernels().runner(
            model, kind, **sizes, max_rows=max_rows, threads=self.threads, cache=self.cache
        )
        executor = CpuExecutor(model, **sizes, runner=runner)
        _compiling(executor.warm_up)
        return executor


def _kernels() -> Any:
    """Import the kernels where they are wanted: numba takes half a second."""
    return importlib.import_module("midwatch_serving.kernels.choice")


def _compiling(first_step: Callable[[], None]) -> None:
    """Run the first step; say so when it takes long enough to be the compiler's first run on this machine."""
    began = time.monotonic()
    first_step()
    took = time.monotonic() - began
    if took > 1:
        log.info("compiled the kernels in %.1f s; the next start finds them compiled", took)
