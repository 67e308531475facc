"""What the tests of model files share: small GGUF files, a package index on loopback, a progress that remembers."""

import contextlib
import os
import re
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import platformdirs
import pytest
from gguf.constants import GGMLQuantizationType

from midwatch_contracts.command import CommandError
from midwatch_serving.gguf_file import GgufFile
from midwatch_serving.model_store import resolve
from midwatch_serving.tokenizer_metadata import TokenType

HIDDEN, FFN, LAYERS, HEADS, KV_HEADS = 64, 96, 2, 4, 2
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
USER_DEFINED = ("<tool_call>", "</tool_call>", "<think>", "</think>")
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_letters() -> list[str]:
    """GPT-2's letter of each byte, written down anew: the tokenizer's own table is under test."""
    letters: list[str] = []
    for byte in range(256):
        shown = 0x21 <= byte <= 0x7E or 0xA1 <= byte <= 0xAC or byte >= 0xAE
        letters.append(chr(byte) if shown else "")
    extra = iter(range(256, 512))
    return [letter or chr(next(extra)) for letter in letters]


@dataclass
class SmallModel:
    """A small model file in the making: change what a test is about, then `write`."""

    architecture: str = "llama"
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    """Over the usual ones; None leaves one out."""
    kinds: Mapping[str, GGMLQuantizationType] = field(default_factory=dict[str, GGMLQuantizationType])
    tensors: dict[str, Any] = field(default_factory=dict[str, Any])
    """Over the usual ones, as fp32; None leaves one out."""
    hidden: int = HIDDEN
    letters: list[str] = field(default_factory=byte_letters)
    merges: list[str] = field(default_factory=lambda: ["h e", "l l", "he ll", "Ġ t"])
    template: str | None = CHATML
    pre: str = "gpt-2"

    @property
    def tokens(self) -> list[tuple[str, TokenType]]:
        control = [(text, TokenType.CONTROL) for text in CONTROL]
        defined = [(text, TokenType.USER_DEFINED) for text in USER_DEFINED]
        merged = [(merge.replace(" ", ""), TokenType.NORMAL) for merge in self.merges]
        pad = [("[PAD1]", TokenType.UNUSED)]
        return [*control, *((letter, TokenType.NORMAL) for letter in self.letters), *merged, *defined, *pad]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        width = HIDDEN // HEADS
        shapes: dict[str, tuple[int, ...]] = {
            "token_embd.weight": (len(self.tokens), self.hidden),
            "output_norm.weight": (self.hidden,),
        }
        for i in range(LAYERS):
            for name, shape in {
                "attn_norm.weight": (self.hidden,),
                "attn_q.weight": (HEADS * width, self.hidden),
                "attn_k.weight": (KV_HEADS * width, self.hidden),
                "attn_v.weight": (KV_HEADS * width, self.hidden),
                "attn_output.weight": (self.hidden, HEADS * width),
                "ffn_norm.weight": (self.hidden,),
                "ffn_gate.weight": (FFN, self.hidden),
                "ffn_up.weight": (FFN, self.hidden),
                "ffn_down.weight": (self.hidden, FFN),
            }.items():
                shapes[f"blk.{i}.{name}"] = shape
            if self.architecture == "qwen2":
                shapes[f"blk.{i}.attn_q.bias"] = (HEADS * width,)
                shapes |= {f"blk.{i}.attn_{x}.bias": (KV_HEADS * width,) for x in "kv"}
            if self.architecture == "qwen3":
                shapes |= {f"blk.{i}.attn_{x}_norm.weight": (width,) for x in "qk"}
        return shapes

    def values(self) -> dict[str, Any]:
        rng = np.random.default_rng(0)
        usual = {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in self.shapes().items()}
        return {name: value for name, value in (usual | self.tensors).items() if value is not None}

    def entries(self) -> dict[str, Any]:
        a = self.architecture
        usual = {
            f"{a}.block_count": LAYERS,
            f"{a}.context_length": 128,
            f"{a}.embedding_length": self.hidden,
            f"{a}.feed_forward_length": FFN,
            f"{a}.attention.head_count": HEADS,
            f"{a}.attention.head_count_kv": KV_HEADS,
            f"{a}.attention.key_length": HIDDEN // HEADS,
            f"{a}.attention.layer_norm_rms_epsilon": 1e-6,
            f"{a}.rope.freq_base": 5000.0,
            "general.name": "small",
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": self.pre,
            "tokenizer.ggml.tokens": [text for text, _ in self.tokens],
            "tokenizer.ggml.token_type": [int(kind) for _, kind in self.tokens],
            "tokenizer.ggml.merges": self.merges,
            "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.eos_token_id": 2,
            "tokenizer.ggml.add_bos_token": False,
            "tokenizer.chat_template": self.template,
        }
        return {key: value for key, value in (usual | self.metadata).items() if value is not None}

    def write(self, path: Path) -> Path:
        writer = gguf.GGUFWriter(path, self.architecture)
        for key, value in self.entries().items():
            _add(writer, key, value)
        for name, value in self.values().items():
            kind = self.kinds.get(name, GGMLQuantizationType.F32)
            if value.dtype == np.uint8:
                writer.add_tensor(name, value, raw_dtype=kind)
            elif kind == GGMLQuantizationType.F32:
                writer.add_tensor(name, value)
            else:
                writer.add_tensor(name, gguf.quants.quantize(value, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    kinds: dict[Any, Callable[[str, Any], None]] = {
        bool: writer.add_bool,
        int: writer.add_uint32,
        float: writer.add_float32,
        str: writer.add_string,
    }
    kinds.get(value.__class__, writer.add_array)(key, value)


@pytest.fixture(scope="session")
def small() -> type[SmallModel]:
    """Makes a small model file, see `SmallModel`."""
    return SmallModel


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """`write(architecture="qwen2", ...)` writes a small model file and returns its path."""

    def written(**changes: Any) -> Path:
        return SmallModel(**changes).write(tmp_path / "small.gguf")

    return written


@pytest.fixture(scope="session")
def smollm2() -> GgufFile:
    """The real weights: what MIDWATCH_SMOLLM2_GGUF names, else the user's pulled model."""
    named = os.environ.get("MIDWATCH_SMOLLM2_GGUF")
    state = os.environ.get("MIDWATCH_STATE") or str(platformdirs.user_state_path("midwatch", appauthor=False))
    try:
        return GgufFile.open(Path(named) if named else resolve("smollm2", Path(state) / "models"))
    except CommandError as error:
        pytest.skip(f"{error} (or name the file in MIDWATCH_SMOLLM2_GGUF)")


@dataclass
class Told:
    """A progress that remembers what it was told; `interrupt_at` bytes it is interrupted, as by Ctrl-C."""

    lines: list[str] = field(default_factory=list[str])
    counts: list[int] = field(default_factory=list[int])
    interrupt_at: int | None = None

    def say(self, line: str) -> None:
        self.lines.append(line)

    @contextlib.contextmanager
    def task(self, name: str, total: int | None) -> Generator["Told"]:
        del name, total
        yield self

    def at(self, count: int) -> None:
        self.counts.append(count)
        if self.interrupt_at is not None and count >= self.interrupt_at:
            raise KeyboardInterrupt


@pytest.fixture
def told() -> type[Told]:
    """Makes a progress that remembers."""
    return Told


@dataclass
class Answer:
    """What the web says at one path."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    cuts: list[int] = field(default_factory=list[int])
    """How many bytes of the body the next answers send before the connection breaks."""
    ranges: bool = True
    """Whether it answers a `Range` with a part."""


@dataclass
class Web:
    """A web server on loopback, and what it was asked."""

    url: str
    pages: dict[str, Answer]
    asked: list[tuple[str, dict[str, str]]]

    def put(self, path: str, body: bytes = b"", **more: Any) -> Answer:
        """Serve this from now on."""
        self.pages[path] = Answer(body, **more)
        return self.pages[path]

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


@pytest.fixture
def web() -> Generator[Web]:
    """Serves what a test puts into `pages`."""
    pages: dict[str, Answer] = {}
    asked: list[tuple[str, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
            page = pages.get(self.path, Answer(b"not here", 404))
            body, status, headers = page.body, page.status, dict(page.headers)
            asks = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
            if asks and page.ranges and status == 200:
                begin = int(asks[1])
                status = 206 if begin < len(body) else 416
                headers["content-range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
                body = body[begin:]
            self.send_response(status)
            for name, value in ({"content-length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            cut = page.cuts.pop(0) if page.cuts else len(body)
            self.wfile.write(body[:cut])
            self.close_connection = self.close_connection or cut < len(body)

        do_HEAD = do_GET  # noqa: N815 (the base class's name)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Web(f"http://127.0.0.1:{server.server_port}", pages, asked)
        server.shutdown()
        thread.join()
