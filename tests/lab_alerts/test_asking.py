"""What the lab's Alertmanager answers, and what it posts over a real connection."""

import asyncio
from typing import Any

import httpx2
import orjson
import pytest
import yaml

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.alertmanager.alerts import Alert
from midwatch_lab.alertmanager.api import alertmanager_app, shown
from midwatch_lab.alertmanager.config import Webhook, read_config
from midwatch_lab.alertmanager.dispatcher import Dispatcher
from midwatch_lab.alertmanager.webhook import post

pytestmark = pytest.mark.anyio

CONFIG = """
route:
  receiver: a
  group_by: [service]
  routes: [{matchers: [severity=page], receiver: b, continue: true}, {receiver: a}]
receivers: [{name: a}, {name: b}]
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def ask(path: str, **parameters: Any) -> tuple[int, Any]:
    clock = VirtualClock()
    dispatcher = Dispatcher(clock, read_config(CONFIG), post)
    now = clock.now()
    for service, severity, ends in (
        ("chat", "page", 60),
        ("chat", "info", 60),
        ("embed", "info", 60),
        ("old", "info", 0),
    ):
        labels = {"alertname": "Slow", "service": service, "severity": severity}
        dispatcher.receive([Alert(labels, {"note": "n"}, now - 5.25, now + ends, "http://lab/g", now)])
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=alertmanager_app(dispatcher)), base_url="http://lab"
    ) as client:
        answer = await client.get(path, params=parameters)
    return answer.status_code, answer.json() if "json" in answer.headers["content-type"] else answer.text


async def test_alerts_are_listed_once_each_with_everybody_who_is_told() -> None:
    code, alerts = await ask("/api/v2/alerts")
    assert code == 200
    assert [one["fingerprint"] for one in alerts] == sorted(one["fingerprint"] for one in alerts)
    page = next(one for one in alerts if one["labels"]["severity"] == "page")
    assert page == {
        "annotations": {"note": "n"},
        "endsAt": "2023-11-14T22:14:20.000Z",
        "fingerprint": page["fingerprint"],
        "receivers": [{"name": "a"}, {"name": "b"}],
        "startsAt": "2023-11-14T22:13:14.750Z",
        "status": {"inhibitedBy": [], "mutedBy": [], "silencedBy": [], "state": "active"},
        "updatedAt": "2023-11-14T22:13:20.000Z",
        "generatorURL": "http://lab/g",
        "labels": {"alertname": "Slow", "service": "chat", "severity": "page"},
    }
    assert len(alerts) == 3


async def test_alerts_are_filtered_by_matchers_and_receiver() -> None:
    assert len((await ask("/api/v2/alerts", filter='service="chat"'))[1]) == 2
    assert len((await ask("/api/v2/alerts", filter=["service=chat", "severity!=page"]))[1]) == 1
    assert len((await ask("/api/v2/alerts", receiver="b"))[1]) == 1
    assert (await ask("/api/v2/alerts", active="false"))[1] == []
    assert (await ask("/api/v2/alerts", filter="chat"))[0] == 400


async def test_groups_receivers_and_status_are_shown() -> None:
    groups = (await ask("/api/v2/alerts/groups"))[1]
    assert [(one["labels"], one["receiver"]["name"], len(one["alerts"])) for one in groups] == [
        ({"service": "chat"}, "a", 2),
        ({"service": "chat"}, "b", 1),
        ({"service": "embed"}, "a", 1),
    ]
    assert (await ask("/api/v2/receivers"))[1] == [{"name": "a"}, {"name": "b"}]
    status = (await ask("/api/v2/status"))[1]
    assert yaml.safe_load(status["config"]["original"])["route"] == yaml.safe_load(CONFIG)["route"]
    assert status["cluster"]["status"] == "disabled"
    assert (await ask("/-/ready")) == (200, "OK")


async def test_a_message_is_posted_as_json_with_the_webhooks_authorization() -> None:
    got: list[tuple[str, bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        got.append((head, await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        headers = (("Authorization", "Bearer abc"),)
        assert await post(Webhook(f"http://127.0.0.1:{port}/x", headers=headers), {"version": "4"}) == 202
    ((head, body),) = got
    assert head.startswith("post /x ")
    assert "authorization: bearer abc" in head
    assert "content-type: application/json" in head
    assert orjson.loads(body) == {"version": "4"}
    assert await post(Webhook(f"http://127.0.0.1:{port}/x"), {}) is None


def test_no_secret_of_the_configuration_is_shown() -> None:
    text = """
receivers:
- name: night
  webhook_configs:
  - url: "http://127.0.0.1:9/hook-\\x73ecret"
    http_config: {authorization: {type: Bearer, credentials: 'tok"en'}, basic_auth: {username: ann, password: pass}}
"""
    found = yaml.safe_load(shown(text))["receivers"][0]["webhook_configs"][0]
    assert found["url"] == "<secret>"
    assert found["http_config"]["authorization"] == {"type": "Bearer", "credentials": "<secret>"}
    assert found["http_config"]["basic_auth"] == {"username": "ann", "password": "<secret>"}
