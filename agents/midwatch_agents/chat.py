"""`midwatch chat`: a conversation in a terminal. A sentence becomes an investigation; a slash command looks at what is
there. No model is needed: the words choose a guide and a service, and where they choose nothing the answer says so.
"""

import argparse
import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory
from rich.console import Console
from rich.json import JSON
from rich.markdown import Markdown
from rich.text import Text

from midwatch_agents import render
from midwatch_agents.approver import Approver, DenyApprover, LaterApprover, TerminalApprover
from midwatch_agents.errors import AgentError, NoMatchError, RunError
from midwatch_agents.guides import GuideShelf
from midwatch_agents.investigate import chosen_approver, parsed_inputs
from midwatch_agents.ledger import read_ledger
from midwatch_agents.runs import RunFolder, aliases_of, all_runs, find_run
from midwatch_agents.runs_show import summary
from midwatch_agents.session import Session
from midwatch_agents.tools import ToolsOpener, open_tools
from midwatch_contracts.clock import Clock, WallClock
from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.evidence import LedgerEntry
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.untrusted import clean

BANNER = (
    "Midwatch. Ask what is wrong, for example: why is time to first token high on chat?   /help lists the commands."
)


class LineReader(Protocol):
    """Where the person's lines come from."""

    async def read(self) -> str | None:
        """Return the next line, or None at the end (Ctrl-D).

        Raises:
            KeyboardInterrupt: Ctrl-C at the prompt.
        """
        ...


class TerminalReader:
    """Reads from a terminal, with a history (0600) in the state folder."""

    def __init__(self, settings: Settings) -> None:
        history = settings.state / "chat_history"
        os.close(os.open(history, os.O_RDWR | os.O_CREAT, 0o600))
        self._session: PromptSession[str] = PromptSession(history=FileHistory(str(history)))

    async def read(self) -> str | None:
        """Prompt once."""
        try:
            return await self._session.prompt_async("midwatch> ")
        except EOFError:
            return None


class PlainReader:
    """Reads plain lines from stdin, without a prompt."""

    async def read(self) -> str | None:
        """Return the next line; blocking, since nothing else runs while a line is awaited."""
        line = sys.stdin.readline()
        return line.rstrip("\n") if line else None


@dataclass
class Chat:
    """One conversation. `code` is what the process ends with: that of the last investigation."""

    settings: Settings
    console: Console
    approver: Approver
    reader: LineReader
    clock: Clock = field(default_factory=WallClock)
    opener: ToolsOpener = open_tools
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    """Inputs of every guide that is run here; `/run` may give others."""
    code: int = Exit.OK
    _run: RunFolder | None = None

    async def talk(self) -> int:
        """Read lines until the end; an error ends its line, not the conversation."""
        self.console.print(Text(BANNER))
        while True:
            try:
                line = await self.reader.read()
            except KeyboardInterrupt:
                continue
            if line is None:
                return self.code
            line = clean(line).strip()
            if line == "/quit":
                return self.code
            if line:
                await self._cancellable(self._answer(line))

    async def _cancellable(self, work: Awaitable[None]) -> None:
        """Run `work`; Ctrl-C cancels it and leaves the conversation standing."""
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            self._say("cancelled; /resume goes on with it")
            self.code = Exit.INTERRUPTED
        except CommandError as error:
            self._say(str(error), style="yellow")
            self.code = error.code
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    async def _answer(self, line: str) -> None:
        if not line.startswith("/"):
            await self._investigate(line, None, {})
            return
        name, _, rest = line[1:].partition(" ")
        commands = self._commands()
        if name not in commands:
            self._say(f"there is no /{name}; there are {', '.join('/' + known for known in commands)}", style="yellow")
            return
        try:
            words = shlex.split(rest)
        except ValueError as error:
            raise AgentError(f"/{name}: {error}: close the quotation") from error
        await commands[name][1](words)

    def _commands(self) -> dict[str, tuple[str, Callable[[list[str]], Awaitable[None]]]]:
        return {
            "help": ("what can be said here", self._help),
            "guides": ("the guides, and what they are for", self._guides),
            "runs": ("the last runs", self._runs),
            "run": ("ID [name=value …]: run a guide by its id", self._run_guide),
            "evidence": ("[E3]: the evidence of the run, or one piece of it in full", self._evidence),
            "show": ("the report of the run", self._show),
            "plan": ("the plan of the run and what it would do", self._plan),
            "approve": ("approve the plan that waits, and go on", self._approve),
            "deny": ("refuse the plan that waits", self._deny),
            "resume": ("[RUN]: go on with a run that was interrupted", self._resume),
            "quit": ("leave (as Ctrl-D)", self._help),
        }

    async def _investigate(self, question: str, guide: str | None, inputs: Mapping[str, str]) -> None:
        session = self._session(self.approver)
        previous = self._run
        try:
            result = await session.investigate(question, guide=guide, inputs={**self.inputs, **inputs})
        except NoMatchError as error:
            session.last = previous
            self._say(f"{error}.\n{self._abilities()}")
            self.code = error.code
            return
        finally:
            self._run = session.last
        self.code = result.exit_code
        if result.waiting:
            self._say("The plan waits: /plan shows it, /approve or /deny decides.")

    def _abilities(self) -> str:
        lines = [
            f"  {guide.title} ({guide.id}): {', '.join(guide.symptoms)}" for guide in self._shelf().guides.values()
        ]
        return "\n".join(
            [
                "I investigate by guides, and only what a guide is for. There are:",
                *lines,
                "Name a symptom and a service, such as: why is time to first token high on chat? /help lists the rest.",
            ]
        )

    async def _help(self, _words: list[str]) -> None:
        lines = [f"  /{name:<10} {says}" for name, (says, _) in self._commands().items()]
        self._say("\n".join([self._abilities(), *lines, "Ctrl-C cancels what is running, Ctrl-D leaves."]))

    async def _guides(self, _words: list[str]) -> None:
        for guide in self._shelf().guides.values():
            inputs = ", ".join(item.name for item in guide.inputs)
            self._say(f"{guide.id}: {guide.title}; {', '.join(guide.symptoms)} (inputs {inputs})")

    async def _runs(self, _words: list[str]) -> None:
        folders = all_runs(self.settings.state)[:10]
        for folder in folders:
            facts = summary(folder)
            ended = ", ".join(str(part) for part in (facts["outcome"], facts["change"]) if part)
            self._say(f"{facts['run']}  {facts['state']}  {ended or '-'}  {facts['asked'] or ''}")
        if not folders:
            self._say("no runs yet")

    async def _run_guide(self, words: list[str]) -> None:
        if not words:
            raise AgentError("/run needs the id of a guide: /guides lists them")
        await self._investigate(f"run {words[0]}", words[0], parsed_inputs(words[1:]))

    async def _evidence(self, words: list[str]) -> None:
        entries = self._entries()
        aliases = aliases_of(entries)
        if not words:
            self.console.print(render.evidence_table(entries, aliases))
            return
        by_alias = {alias.lower(): found for found, alias in aliases.items()}
        found = by_alias.get(words[0].lower(), words[0])
        if found not in aliases:
            raise AgentError(f"this run has no evidence {words[0]}: /evidence lists it")
        path = words[1] if len(words) > 1 else ""
        async with self.opener(self.settings) as toolbox:
            page = await toolbox.call("evidence_read", {"id": found, "path": path})
        self._say(f"{aliases[found]} = {found}: {page.summary}")
        self.console.print(JSON.from_data(page.data))

    async def _show(self, _words: list[str]) -> None:
        folder = self._current()
        if not folder.report.is_file():
            raise RunError(f"{folder.run} has no report yet: /resume goes on with it")
        self.console.print(Markdown(folder.report.read_text("utf-8")))

    async def _plan(self, _words: list[str]) -> None:
        body = self._plan_entry().body
        self.console.print(render.preview(body["plan"], body["preview"]))

    async def _approve(self, _words: list[str]) -> None:
        self._plan_entry()
        asks = isinstance(self.approver, LaterApprover | DenyApprover)
        await self._go_on(TerminalApprover(self.settings) if asks else self.approver)

    async def _deny(self, _words: list[str]) -> None:
        self._plan_entry()
        await self._go_on(DenyApprover(self.settings))

    async def _resume(self, words: list[str]) -> None:
        if words:
            self._run = find_run(self.settings.state, words[0])
            await self._go_on(self.approver)
            return
        session = self._session(self.approver)
        try:
            self.code = (await session.resume(None)).exit_code
        finally:
            self._run = session.last or self._run

    async def _go_on(self, approver: Approver) -> None:
        result = await self._session(approver).resume(self._current().run)
        self.code = result.exit_code

    def _session(self, approver: Approver) -> Session:
        return Session(self.settings, self.console, approver, self.clock, opener=self.opener)

    def _shelf(self) -> GuideShelf:
        return GuideShelf.of(self.settings)

    def _current(self) -> RunFolder:
        if self._run is None:
            self._run = find_run(self.settings.state, None)
        return self._run

    def _entries(self) -> list[LedgerEntry]:
        return read_ledger(self._current().ledger)

    def _plan_entry(self) -> LedgerEntry:
        found = next((entry for entry in reversed(self._entries()) if entry.kind == "plan"), None)
        if found is None:
            raise RunError(f"{self._current().run} has no plan")
        return found

    def _say(self, text: str, **options: Any) -> None:
        self.console.print(Text(text, **options), soft_wrap=True)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Hold a conversation on the terminal, or over plain lines of stdin."""
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    reader: LineReader = TerminalReader(settings) if terminal else PlainReader()
    chat = Chat(
        settings,
        Console(),
        chosen_approver(arguments, settings),
        reader,
        inputs=parsed_inputs(arguments.inputs),
    )
    return asyncio.run(chat.talk())
