"""`alertmanager.yml` as the lab reads it: routes, receivers, and what is refused, by line."""

import pytest

from midwatch_lab.alertmanager.config import Webhook, read_config
from midwatch_lab.alertmanager.matchers import matchers
from midwatch_lab.errors import AlertmanagerError

CONFIG = r"""
global: {resolve_timeout: 5m}
route:
  receiver: all
  group_by: [alertname, service]
  routes:
  - matchers: ['severity="page"', team=~"night|day"]
    receiver: page
    group_wait: 0s
    continue: true
    routes:
    - {match: {service: chat}, group_by: [...]}
  - matchers: ['{severity!~"info|none", job != x}']
    receiver: ticket
    repeat_interval: 1d
  - {match_re: {severity: info.*}, receiver: all}
receivers:
- name: all
- name: page
  webhook_configs:
  - url: http://127.0.0.1:9000/a
    max_alerts: 5
    http_config: {authorization: {credentials: abc}}
- name: ticket
  webhook_configs:
  - {url: "http://h/b", send_resolved: false, timeout: 3s, http_config: {basic_auth: {username: u, password: p}}}
"""


def receivers(**labels: str) -> list[str]:
    return [route.receiver for route in read_config(CONFIG).route.find(labels)]


def test_the_deepest_routes_that_match_hear_of_an_alert_and_those_behind_one_that_goes_on() -> None:
    assert receivers(severity="page", team="night") == ["page", "ticket"]
    assert receivers(severity="page", team="nightly") == ["ticket"]
    assert receivers(severity="info", job="x") == ["all"]
    assert receivers(severity="none") == ["all"]
    page = read_config(CONFIG).route.find({"severity": "page", "team": "day", "service": "chat"})[0]
    assert (page.receiver, page.group_by, page.group_wait_s, page.group_interval_s) == ("page", None, 0.0, 300.0)
    assert page.group_key({"a": "b", "c": "d"}) == (
        '{}/{severity="page",team=~"night|day"}/{service="chat"}:{a="b", c="d"}'
    )


def test_receivers_have_webhooks_with_what_is_said_of_them() -> None:
    found = read_config(CONFIG).receivers
    assert found["all"] == ()
    headers = (("Authorization", "Bearer abc"),)
    assert found["page"] == (Webhook("http://127.0.0.1:9000/a", max_alerts=5, headers=headers),)
    assert found["ticket"] == (Webhook("http://h/b", send_resolved=False, timeout_s=3.0, basic_auth=("u", "p")),)


def test_matchers_are_read_with_and_without_quotes_and_braces() -> None:
    shown = [str(one) for one in matchers(r'{a="b,c", d!=e , f=~"x|\"y\"",g!~ z}')]
    assert shown == ['a="b,c"', 'd!="e"', r'f=~"x|\"y\""', 'g!~"z"']


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a route is missing"),
        ("[", "not YAML"),
        ("route: {receiver: x}\nreceivers: []", "line 1: there is no receiver 'x'"),
        ("route: {}\nreceivers: [{name: x}]", "the first route needs a receiver"),
        ("route: {receiver: x, matchers: [a=b]}\nreceivers: [{name: x}]", "the first route takes every alert"),
        ("route: {receiver: x, group_interval: 0s}\nreceivers: [{name: x}]", "group_interval is longer than 0"),
        ("route: {receiver: x, group_by: [a, a]}\nreceivers: [{name: x}]", "names each label once"),
        ("route: {receiver: x, routes: [{matchers: ['a~b']}]}\nreceivers: [{name: x}]", "no matcher"),
        ("route: {receiver: x, routes: [{matchers: ['a=~\"(\"']}]}\nreceivers: [{name: x}]", "no pattern of RE2"),
        ("route: {receiver: x}\nreceivers:\n- name: x\n- name: x", "line 4: the receiver 'x' stands twice"),
        ("route: {receiver: x}\nreceivers: [{name: x, email_configs: []}]", "webhooks alone are offered"),
        ("route: {receiver: x}\nreceivers: [{name: x, webhook_configs: [{url: ftp://a}]}]", "url is an address"),
        ("route: {receiver: x}\ninhibit_rules: [{}]\nreceivers: [{name: x}]", "line 2: inhibit_rules is not offered"),
        ("route: {receiver: x, wait: 3s}\nreceivers: [{name: x}]", "no field 'wait'"),
    ],
)
def test_what_is_wrong_or_not_offered_is_refused_by_line(text: str, message: str) -> None:
    with pytest.raises(AlertmanagerError, match=message):
        read_config(text)
