"""A person's desk: a state folder with a proposed plan, the command line over it, and a terminal to answer on."""

import asyncio
import io
import json
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from midwatch_contracts.clock import WallClock
from midwatch_contracts.command import Command, Settings
from midwatch_mcp.safe_apply.envelope import Envelope, Proposal
from midwatch_mcp.safe_apply.fake_world import World


class Desk:
    """A state folder with a proposed plan, and the command line over it."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.lab = folder / "lab"
        self.world = World(self.state)
        self.settings = Settings(state=self.state)

    def propose(self, *operations: dict[str, Any], **changed: Any) -> Proposal:
        return asyncio.run(self.world.propose(*operations, **changed))

    def run(self, command: Command, *words: str, settings: Settings | None = None) -> int:
        parser = ArgumentParser()
        command.configure(parser)
        return command.run(parser.parse_args(words), settings or self.settings)

    def on_envelope(self, use: Callable[[Envelope], Any], *, lab: Path | None = None) -> Any:
        """Use an envelope of another process, on the clock that the command line writes its dates by."""

        async def run() -> Any:
            envelope = Envelope(
                state=self.state,
                api=self.world.cluster,
                reader=self.world.metrics,
                clock=WallClock(),
                lab=lab,
                allow_write=True,
            )
            try:
                return await use(envelope)
            finally:
                await envelope.aclose()

        return asyncio.run(run())

    def start_lab(self, cluster: str) -> Settings:
        key = Ed25519PrivateKey.generate()
        self.lab.mkdir()
        (self.lab / "lab.json").write_text(json.dumps({"cluster": cluster}))
        (self.lab / "lab.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (self.lab / "lab.key").chmod(0o600)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (self.lab / "lab.pub").write_bytes(public)
        return Settings(state=self.state, lab=self.lab)


class Terminal(io.StringIO):
    """Standard input as a person's terminal."""

    def isatty(self) -> bool:
        return True
