"""Alertmanager's HTTP API, version 2, as far as it only asks: alerts, groups, receivers, status."""

import platform
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import orjson
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from midwatch_contracts.times import rfc3339
from midwatch_lab.alertmanager.alerts import Alert
from midwatch_lab.alertmanager.dispatcher import AlertGroup, Dispatcher
from midwatch_lab.alertmanager.matchers import Matcher, matchers

VERSION: Final = "0.28.1"
"""The version of Alertmanager whose answers these are."""

_SECRETS: Final = frozenset({"credentials", "password", "bearer_token", "url"})
"""Fields that the original never shows; a webhook's address is one, for it may carry a token."""

Chosen = list[tuple[AlertGroup, list[Alert]]]


def alertmanager_app(dispatcher: Dispatcher) -> Starlette:
    """Return the ASGI application; the lab mounts it at `/alertmanager`."""
    started = dispatcher.clock.now()

    def alerts(request: Request) -> Any:
        receivers: dict[str, list[str]] = {}
        found: dict[str, Alert] = {}
        for group, some in _chosen(dispatcher, request):
            for alert in some:
                receivers.setdefault(alert.fingerprint, []).append(group.route.receiver)
                found[alert.fingerprint] = alert
        return [_alert(found[key], sorted(receivers[key])) for key in sorted(found)]

    def groups(request: Request) -> Any:
        chosen = sorted(
            _chosen(dispatcher, request), key=lambda one: (sorted(one[0].labels.items()), one[0].route.receiver)
        )
        return [
            {
                "alerts": [_alert(alert, [group.route.receiver]) for alert in some],
                "labels": dict(group.labels),
                "receiver": {"name": group.route.receiver},
            }
            for group, some in chosen
        ]

    def receivers(_request: Request) -> Any:
        return [{"name": name} for name in dispatcher.config.receivers]

    def status(_request: Request) -> Any:
        return {
            "cluster": {"peers": [], "status": "disabled"},
            "config": {"original": shown(dispatcher.config.text)},
            "uptime": rfc3339(started),
            "versionInfo": {
                "version": VERSION,
                "revision": "midwatch-lab",
                "branch": "",
                "buildUser": "",
                "buildDate": "",
                "goVersion": f"python{platform.python_version()}",
            },
        }

    return Starlette(
        routes=[
            Route("/api/v2/alerts", _answers(alerts), methods=["GET"]),
            Route("/api/v2/alerts/groups", _answers(groups), methods=["GET"]),
            Route("/api/v2/receivers", _answers(receivers), methods=["GET"]),
            Route("/api/v2/status", _answers(status), methods=["GET"]),
            Route("/-/ready", _ok, methods=["GET", "HEAD"]),
            Route("/-/healthy", _ok, methods=["GET", "HEAD"]),
        ]
    )


def shown(text: str) -> str:
    """Return a configuration as the original shows it: written anew, with `<secret>` in the place of each secret."""
    return yaml.safe_dump(_hidden(yaml.safe_load(text)), sort_keys=False)


def _hidden(value: Any) -> Any:
    match value:
        case dict():
            fields = cast("dict[Any, Any]", value)
            return {key: "<secret>" if key in _SECRETS and one else _hidden(one) for key, one in fields.items()}
        case list():
            return [_hidden(one) for one in cast("list[Any]", value)]
        case _:
            return value


def _answers(answer: Callable[[Request], Any]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            body, code = answer(request), 200
        except ValueError as error:
            body, code = f"bad matcher format: {error}", 400
        return Response(orjson.dumps(body), code, media_type="application/json")

    return endpoint


async def _ok(_request: Request) -> Response:
    return PlainTextResponse("OK")


def _chosen(dispatcher: Dispatcher, request: Request) -> Chosen:
    """Return groups and alerts that fit the parameters `filter`, `receiver` and `active`."""
    conditions = [one for text in request.query_params.getlist("filter") for one in matchers(text)]
    receiver = request.query_params.get("receiver")
    wanted = None if receiver is None else matchers(f"receiver=~{receiver}")
    if request.query_params.get("active") == "false":
        return []
    chosen: Chosen = []
    for group, alerts in dispatcher.active():
        if wanted is not None and not all(one.holds(group.route.receiver) for one in wanted):
            continue
        fitting = [alert for alert in alerts if _fits(alert, conditions)]
        if fitting:
            chosen.append((group, fitting))
    return chosen


def _fits(alert: Alert, conditions: Sequence[Matcher]) -> bool:
    return all(condition.holds(alert.labels.get(condition.name, "")) for condition in conditions)


def _alert(alert: Alert, receivers: list[str]) -> dict[str, Any]:
    return {
        "annotations": dict(alert.annotations),
        "endsAt": rfc3339(alert.ends_at),
        "fingerprint": alert.fingerprint,
        "receivers": [{"name": name} for name in receivers],
        "startsAt": rfc3339(alert.starts_at),
        "status": {"inhibitedBy": [], "mutedBy": [], "silencedBy": [], "state": "active"},
        "updatedAt": rfc3339(alert.updated_at),
        "generatorURL": alert.generator_url,
        "labels": dict(alert.labels),
    }
