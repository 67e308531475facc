"""A subset of `alertmanager.yml`: routes and webhooks. What is not offered is refused by name, with its line."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from midwatch_lab.alertmanager.matchers import Matcher, made, matchers
from midwatch_lab.alertmanager.routes import Route
from midwatch_lab.errors import AlertmanagerError
from midwatch_lab.metrics.documents import Document, Node

_SHOWN: Final = 5
_MAX_DEPTH: Final = 20
_NOT_OFFERED: Final = frozenset({"inhibit_rules", "mute_time_intervals", "time_intervals", "templates", "tracing"})
_FILE: Final = frozenset({"global", "route", "receivers"})
_ROUTE: Final = frozenset(
    {
        *("receiver", "group_by", "group_wait", "group_interval", "repeat_interval"),
        *("matchers", "match", "match_re", "continue", "routes"),
    }
)
_WEBHOOK: Final = frozenset({"url", "send_resolved", "max_alerts", "timeout", "http_config"})
_HTTP: Final = frozenset({"basic_auth", "authorization", "bearer_token", "follow_redirects"})
_ROOT: Final = Route("0", "{}", "", (), frozenset(), 30.0, 300.0, 4 * 3600.0, goes_on=False)


@dataclass(frozen=True)
class Webhook:
    """Where notifications go. `max_alerts` 0 sends all; `headers` carry what http_config says of authorization."""

    url: str
    send_resolved: bool = True
    max_alerts: int = 0
    timeout_s: float = 10.0
    headers: tuple[tuple[str, str], ...] = ()
    basic_auth: tuple[str, str] | None = None
    follow_redirects: bool = True


@dataclass(frozen=True)
class Config:
    """Routes and receivers. `text` is the file's."""

    route: Route
    receivers: Mapping[str, tuple[Webhook, ...]]
    text: str


def read_config(text: str) -> Config:
    """Read a configuration.

    Raises:
        AlertmanagerError: names the lines that are wrong, and what is wrong there.
    """
    reader = _Reader(Document())
    found = reader.config(text)
    problems = sorted(reader.document.problems, key=lambda problem: problem.line)
    if problems:
        shown = "; ".join(f"line {problem}" if problem.line else str(problem) for problem in problems[:_SHOWN])
        raise AlertmanagerError(f"the configuration of Alertmanager: {shown}")
    return found


@dataclass(frozen=True)
class _Reader:
    document: Document

    def config(self, text: str) -> Config:
        document = self.document
        root = document.fields(document.root(text), "alertmanager.yml", None)
        for name, node in root.items():
            if name in _NOT_OFFERED and document.items(node, name):
                document.fault(node, f"{name} is not offered by the lab's Alertmanager")
            elif name not in _FILE | _NOT_OFFERED:
                document.fault(node, f"alertmanager.yml has no field {name!r}; it has {', '.join(sorted(_FILE))}")
        document.fields(root.get("global"), "global", {"resolve_timeout"})
        receivers: dict[str, tuple[Webhook, ...]] = {}
        for node in document.items(root.get("receivers"), "receivers"):
            entry = document.fields(node, "a receiver (webhooks alone are offered)", {"name", "webhook_configs"})
            name = document.text(entry.get("name"), "a receiver's name")
            if not name or name in receivers:
                document.fault(node, f"the receiver {name!r} stands twice" if name else "a receiver needs a name")
            webhooks = document.items(entry.get("webhook_configs"), f"{name}: webhook_configs")
            receivers[name] = tuple(self.webhook(one, f"receiver {name!r}: webhook") for one in webhooks)
        route = root.get("route")
        if route is None:
            document.fault(None, "a route is missing: write `route: {receiver: NAME}`")
            return Config(_ROOT, receivers, text)
        fields = document.fields(route, "route", _ROUTE)
        for name in fields.keys() & {"matchers", "match", "match_re", "continue"}:
            document.fault(fields[name], f"the first route takes every alert, so it has no {name}")
        return Config(self.route(route, _ROOT, receivers, (0,)), receivers, text)

    def route(self, node: Node, parent: Route, receivers: Collection[str], path: tuple[int, ...]) -> Route:
        document = self.document
        entry = document.fields(node, "a route", _ROUTE)
        receiver = document.text(entry.get("receiver"), "receiver") or parent.receiver
        if receiver not in receivers:
            document.fault(
                node, f"there is no receiver {receiver!r}" if receiver else "the first route needs a receiver"
            )
        conditions = self.conditions(entry)
        own = "{" + ",".join(map(str, conditions)) + "}"
        found = replace(
            parent,
            identity="/".join(map(str, path)),
            key=f"{parent.key}/{own}" if len(path) > 1 else own,
            receiver=receiver,
            matchers=tuple(conditions),
            group_by=self.group_by(entry.get("group_by"), parent.group_by),
            group_wait_s=self.seconds(entry, "group_wait", parent.group_wait_s, zero=True),
            group_interval_s=self.seconds(entry, "group_interval", parent.group_interval_s),
            repeat_interval_s=self.seconds(entry, "repeat_interval", parent.repeat_interval_s),
            goes_on=document.truth(entry.get("continue"), "continue", default=False),
            routes=(),
        )
        below = document.items(entry.get("routes"), "routes")
        if below and len(path) > _MAX_DEPTH:
            document.fault(node, f"routes are nested more than {_MAX_DEPTH} deep")
            return found
        children = (self.route(one, found, receivers, (*path, place)) for place, one in enumerate(below))
        return replace(found, routes=tuple(children))

    def conditions(self, entry: Mapping[str, Node]) -> list[Matcher]:
        document = self.document
        found: list[Matcher] = []
        for field, op in (("match", "="), ("match_re", "=~")):
            for name, value in document.texts(entry.get(field), field).items():
                try:
                    found.append(made(name, op, value))
                except ValueError as error:
                    document.fault(entry[field], f"{field}: {error}")
        for node in document.items(entry.get("matchers"), "matchers"):
            try:
                found += matchers(document.text(node, "a matcher"))
            except ValueError as error:
                document.fault(node, f"matchers: {error}")
        return sorted(found, key=lambda one: (one.name, one.value, one.op))

    def group_by(self, node: Node | None, inherited: frozenset[str] | None) -> frozenset[str] | None:
        if node is None:
            return inherited
        names = self.document.words(node, "group_by")
        if len(set(names)) < len(names) or ("..." in names and len(names) > 1):
            self.document.fault(node, "group_by names each label once, or ... alone for all of them")
        return None if "..." in names else frozenset(names)

    def seconds(self, entry: Mapping[str, Node], name: str, inherited: float, *, zero: bool = False) -> float:
        found = self.document.seconds(entry.get(name), name)
        if found == 0 and not zero:
            self.document.fault(entry[name], f"{name} is longer than 0")
        return inherited if found is None else found

    def webhook(self, node: Node, where: str) -> Webhook:
        document = self.document
        entry = document.fields(node, where, _WEBHOOK)
        url = document.text(entry.get("url"), f"{where}: url")
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            document.fault(entry.get("url") or node, f"{where}: url is an address with http or https, not {url!r}")
        http = document.fields(entry.get("http_config"), f"{where}: http_config", _HTTP)
        most = document.integer(entry.get("max_alerts"), f"{where}: max_alerts")
        if most < 0:
            document.fault(entry["max_alerts"], f"{where}: max_alerts is 0 (all) or more")
        basic = document.fields(http.get("basic_auth"), "basic_auth", {"username", "password"})
        texts = {name: document.text(value, name) for name, value in basic.items()}
        return Webhook(
            url,
            document.truth(entry.get("send_resolved"), f"{where}: send_resolved", default=True),
            most,
            document.seconds(entry.get("timeout"), f"{where}: timeout") or 10.0,
            self.authorization(http),
            (texts.get("username", ""), texts.get("password", "")) if basic else None,
            document.truth(http.get("follow_redirects"), "follow_redirects", default=True),
        )

    def authorization(self, http: Mapping[str, Node]) -> tuple[tuple[str, str], ...]:
        document = self.document
        entry = document.fields(http.get("authorization"), "authorization", {"type", "credentials"})
        token = document.text(entry.get("credentials"), "credentials")
        token = token or document.text(http.get("bearer_token"), "bearer_token")
        kind = document.text(entry.get("type"), "type") or "Bearer"
        return (("Authorization", f"{kind} {token}"),) if token else ()
