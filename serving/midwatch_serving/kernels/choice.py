# pyright: basic
# (numba and llvmlite have no types of their own)
"""Which kernels run a model on this machine, and a runner over them."""

import hashlib
import logging
from pathlib import Path

import numba
from numba.core import config

from midwatch_serving.errors import KernelError
from midwatch_serving.kernels.cpu import available
from midwatch_serving.kernels.emit import LANES
from midwatch_serving.kernels.forward import forward, unembed
from midwatch_serving.kernels.packing import fits
from midwatch_serving.kernels.runner import KernelRunner
from midwatch_serving.model import Model, ModelConfig

log = logging.getLogger("midwatch.serving")


def choose(wanted: str, sizes: ModelConfig, block_size: int) -> str:
    """Return the kind of kernel for a model: the one wanted, or with `auto` the best that runs here.

    Raises:
        KernelError: when none does, or the one that is wanted does not.
    """
    here = available()
    if wanted != "auto" and wanted not in here:
        has = ", ".join(here) or "none"
        raise KernelError(f"this CPU cannot run the {wanted} kernels (it can run: {has}). Use --kernel auto")
    if not here:
        raise KernelError("this CPU has neither AVX2 with F16C nor is it a 64-bit ARM")
    reason = fits(sizes)
    if reason is None and block_size % LANES:
        reason = f"blocks must hold a multiple of {LANES} tokens, not {block_size} (--block-size)"
    if reason is not None:
        raise KernelError(f"the compiled kernels cannot run this model: {reason}. Use --kernel reference")
    return here[0] if wanted == "auto" else wanted


def runner(
    model: Model,
    kind: str,
    *,
    num_blocks: int,
    block_size: int,
    max_model_len: int,
    max_rows: int,
    threads: int,
    cache: Path | None,
) -> KernelRunner:
    """Return a runner; with a cache folder compiled code and packed weights are kept there for the next start.

    Raises:
        KernelError: when the model's sizes do not fit the kernels.
    """
    if cache is not None:
        _keep_compiled(cache)
    return KernelRunner(
        model,
        kind,
        num_blocks=num_blocks,
        block_size=block_size,
        max_model_len=max_model_len,
        max_rows=max_rows,
        threads=threads,
        cache=cache / "weights" if cache is not None else None,
    )


def _keep_compiled(cache: Path) -> None:
    """Have numba keep the compiled step under a name made of our sources.

    Its own key is the file of the outermost function alone, so a change in an inner one would find stale code.
    """
    sources = sorted(Path(__file__).parent.glob("*.py"))
    name = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    folder = cache / "compiled" / f"{name}-{numba.__version__}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.warning("cannot keep compiled kernels in %s (%s): every start compiles them again", folder, error)
        return
    config.CACHE_DIR = str(folder)  # pyright: ignore[reportAttributeAccessIssue] (set by name from the environment)
    for function in (forward, unembed):
        function.enable_caching()
    if not any(folder.rglob("*.nbi")):
        log.info("compiling the kernels for this machine, once: about 10 s")
