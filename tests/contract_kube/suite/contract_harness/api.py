"""One side of a case: sends requests, records what came back.

Everything that `ask` and `watch` see is an observation; observations of both sides are compared once the case has run.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import yaml

PATCHES: Final = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
"""Short names of the content types of patches."""
_HEADERS: Final = ("content-type", "warning", "retry-after", "www-authenticate", "allow")
_EVENT_S: Final = 5.0


@dataclass(frozen=True)
class Answer:
    """One answer as it came: the body decoded from JSON where it is JSON, else as text."""

    code: int
    headers: dict[str, list[str]]
    body: Any
    etag: str = ""
    """Not recorded: a hash of what each side says in its own words."""


@dataclass
class Watching:
    """An open watch. What `events` takes is recorded by itself."""

    lines: AsyncIterator[str]
    seen: list[Any]

    async def events(self, count: int) -> list[Any]:
        """Take the next `count` events; fewer when the stream ends before.

        Raises:
            TimeoutError: when they do not come.
        """
        taken: list[Any] = []
        while len(taken) < count:
            try:
                line = await asyncio.wait_for(anext(self.lines), _EVENT_S)
            except StopAsyncIteration:
                self.seen.append("the stream ended")
                break
            event = json.loads(line)
            taken.append(event)
            self.seen.append(event)
        return taken

    async def rest(self) -> list[Any]:
        """Take every event until the server ends the stream."""
        return await self.events(1_000_000)


@dataclass
class Api:
    """One side. `namespace` is fresh for the case and has the same name on both sides."""

    side: str
    """`lab` or `original`: for a case that must know, which is to be rare."""
    namespace: str
    clients: Mapping[str | None, httpx2.AsyncClient]
    """By user; None sends no token."""
    seen: list[Any] = field(default_factory=list[Any])
    prepared: list[Any] = field(default_factory=list[Any])
    """What `setup` made: its uids and versions are known to the comparison."""
    scrubbed: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """(regular expression, what stands for it) for noise that only this case has."""

    def path(self, api_version: str, plural: str, *rest: str) -> str:
        """Return a path in the case's namespace: `path("apps/v1", "deployments", "chat", "scale")`."""
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        return "/".join([f"{root}/namespaces/{self.namespace}/{plural}", *rest])

    def unique(self, name: str) -> str:
        """Return a cluster-scoped name that no other case has."""
        return f"{self.namespace}-{name}"

    def note(self, **facts: Any) -> None:
        """Record something that the case worked out itself."""
        self.seen.append(facts)

    def scrub(self, pattern: str, replacement: str) -> None:
        """Have every match in a text of the observations replaced before they are compared."""
        self.scrubbed.append((pattern, replacement))

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        type: str = "",  # noqa: A002 (the word of the header)
        *,
        accept: str = "",
        user: str | None = "admin",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        record: bool = True,
        **params: Any,
    ) -> Answer:
        """Send a request and record its answer.

        `body` is sent as it is when it is bytes or text, else as JSON; `type` is a content type or one of `PATCHES`;
        further keywords are the query (a list repeats a parameter), and so is `query`, for names that are no keywords.
        """
        sent = dict(headers or {})
        if type or (body is not None and not isinstance(body, bytes | str)):
            sent["content-type"] = PATCHES.get(type, type) or "application/json"
        if accept:
            sent["accept"] = accept
        content = body if isinstance(body, bytes | str) or body is None else json.dumps(body)
        response = await self.clients[user].request(
            method, path, params=params | dict(query or {}), content=content, headers=sent
        )
        kept = {name: response.headers.get_list(name) for name in _HEADERS if name in response.headers}
        answer = Answer(int(response.status_code), kept, _decoded(response), response.headers.get("etag", ""))
        if record:
            self.seen.append({"asked": f"{method} {path}", "code": answer.code, "headers": kept, "body": answer.body})
        return answer

    async def setup(self, method: str, path: str, body: Any = None, type: str = "", **options: Any) -> Any:  # noqa: A002
        """Send a request that only prepares the case; its body is returned and not recorded.

        Raises:
            AssertionError: when it is refused.
        """
        answer = await self.ask(method, path, body, type, record=False, **options)
        assert answer.code < 300, f"{self.side}: {method} {path}: {answer.code} {answer.body}"
        self.prepared.append(answer.body)
        return answer.body

    @asynccontextmanager
    async def watch(
        self, path: str, *, accept: str = "", user: str | None = "admin", **params: Any
    ) -> AsyncGenerator[Watching]:
        """Open a watch; its status, and whatever the case takes of it, are recorded."""
        headers = {"accept": accept} if accept else {}
        query = {"watch": "true", **params}
        async with self.clients[user].stream("GET", path, params=query, headers=headers) as response:
            kept = {name: response.headers.get_list(name) for name in _HEADERS if name in response.headers}
            found: list[Any] = []
            entry = {"asked": f"WATCH {path}", "code": int(response.status_code), "headers": kept, "events": found}
            self.seen.append(entry)
            if response.status_code != 200:
                await response.aread()
                entry["body"] = _decoded(response)
            yield Watching(response.aiter_lines(), found)


def _decoded(response: httpx2.Response) -> Any:
    if response.headers.get("content-type", "").startswith("application/yaml"):
        return yaml.safe_load(response.content)
    try:
        return json.loads(response.content)
    except ValueError:
        return response.text
