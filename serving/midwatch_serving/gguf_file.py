"""A GGUF file as a model of the Llama family: sizes, weights tensor by tensor, tokenizer.

Opening checks the file whole against its metadata; a tensor is read and turned into fp32 when it is asked for, so that
loading never holds more than one of them twice. Tensors are read and not mapped: a file that shrinks underneath a
mapping ends the process, a read ends with an error.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from numpy.typing import NDArray

from midwatch_serving.bpe_tokenizer import BpeTokenizer
from midwatch_serving.errors import ModelError
from midwatch_serving.gguf_header import GgufHeader, read_header
from midwatch_serving.gguf_layout import check_layout, model_config
from midwatch_serving.model import ModelConfig

_PLAIN = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
_K = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS")
QUANTISATIONS = frozenset(GGMLQuantizationType[name] for name in (*_PLAIN, *_K))
"""Types of tensors that are read; `gguf.quants` knows their arithmetic."""
_SLICE = 1 << 18
"""Values that are dequantised at a time: 1 MiB of fp32, which a core's cache holds."""


@dataclass(frozen=True)
class ModelAbout:
    """What a model file says of itself."""

    name: str
    architecture: str
    quantisation: str
    """Type of most of its weights, such as `Q4_1`."""
    size: int
    """Bytes of the file."""
    parameters: int


class GgufFile:
    """An open, checked model file. Make one with `GgufFile.open`."""

    def __init__(self, path: Path, header: GgufHeader) -> None:
        self.path = path
        self.metadata = header.metadata
        self._tensors = header.tensors
        self.config: ModelConfig = model_config(path, header)

    @classmethod
    def open(cls, path: Path) -> "GgufFile":
        """Read the head of the file and check all of it.

        Raises:
            ModelError: when it is no GGUF file of a Llama-family model, is broken or cut short, lacks a tensor or
                gives one another shape than the metadata ask for, or uses what this engine does not have.
        """
        header = read_header(path)
        file = cls(path, header)
        check_layout(path, header, file.config)
        for entry in header.tensors.values():
            if entry.type not in QUANTISATIONS:
                known = ", ".join(sorted(kind.name for kind in QUANTISATIONS))
                raise ModelError(
                    path,
                    f"stores {entry.name} as {entry.type.name}; known are {known}",
                    mend="use another quantisation",
                )
        return file

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tensors, in the order of the file."""
        return tuple(self._tensors)

    def has(self, name: str) -> bool:
        """Whether there is a tensor of this name."""
        return name in self._tensors

    def tensor(self, name: str) -> NDArray[np.float32]:
        """Return a tensor in fp32, shaped (outer, inner): row i are the weights of output i. Always a fresh array.

        Raises:
            ModelError: when it holds values that are not finite, or the file changed since it was opened.
            KeyError: when there is none of this name.
        """
        entry = self._tensors[name]
        block, width = GGML_QUANT_SIZES[entry.type]
        result = np.empty(entry.values, dtype=np.float32)
        step = _SLICE // block * block
        try:
            with self.path.open("rb") as file:
                file.seek(entry.start)
                for at in range(0, entry.values, step):
                    count = min(step, entry.values - at)
                    data = file.read(count // block * width)
                    if len(data) < count // block * width:
                        raise ModelError(
                            self.path, f"was cut short since it was opened ({name})", mend="fetch it again"
                        )
                    result[at : at + count] = _dequantised(data, entry.type)
        except OSError as error:
            raise ModelError(self.path, f"cannot be read ({error.strerror})", mend="fetch it again") from error
        if not np.isfinite(result).all():
            raise ModelError(
                self.path, f"holds values in {name} that are not finite: it is damaged", mend="fetch it again"
            )
        return result.reshape(entry.shape)

    def tokenizer(self) -> BpeTokenizer:
        """Return the tokenizer that the metadata describe; building it takes about half a second.

        Raises:
            ModelError: when it is of a kind that is not known here, or does not fit the model.
        """
        return BpeTokenizer.from_metadata(self.metadata, self.path, vocab_size=self.config.vocab)

    @property
    def chat_template(self) -> str | None:
        """The model's own chat template (Jinja), if it has one."""
        template: Any = self.metadata.get("tokenizer.chat_template")
        return template if isinstance(template, str) else None

    @cached_property
    def sha256(self) -> str:
        """Hash of the whole file, lower-case hex."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @cached_property
    def about(self) -> ModelAbout:
        """Name, quantisation and size."""
        weights: Counter[str] = Counter()
        for entry in self._tensors.values():
            weights[entry.type.name] += entry.values
        name = self.metadata.get("general.name")
        return ModelAbout(
            name=name if isinstance(name, str) else self.path.stem,
            architecture=self.config.architecture,
            quantisation=weights.most_common(1)[0][0],
            size=self.path.stat().st_size,
            parameters=weights.total(),
        )


def _dequantised(data: bytes, kind: GGMLQuantizationType) -> NDArray[np.float32]:
    """Return the values of whole blocks."""
    if kind == GGMLQuantizationType.F32:
        return np.frombuffer(data, "<f4")
    if kind == GGMLQuantizationType.F16:
        return np.frombuffer(data, "<f2").astype(np.float32)
    # A damaged scale overflows to infinity here; `tensor` reports it.
    with np.errstate(over="ignore", invalid="ignore"):
        return quants.dequantize(np.frombuffer(data, np.uint8).reshape(1, -1), kind).reshape(-1)
