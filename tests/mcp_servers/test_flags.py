from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_mcp.kubernetes.flags import beside_flags, flags_of, settings_of
from midwatch_mcp.kubernetes.revisions import KeptRevision, differences
from midwatch_mcp.kubernetes.room import presented

NAMES = st.from_regex(r"--[a-z][a-z-]{0,20}[a-z]", fullmatch=True)
VALUES = st.text(alphabet="abcXYZ0123456789._/:", min_size=1, max_size=20)


@given(st.dictionaries(NAMES, VALUES, max_size=6), st.data())
def test_flags_are_read_in_either_form(flags: dict[str, str], data: st.DataObject) -> None:
    words: list[str] = ["serve"]
    for name, value in flags.items():
        words += [f"{name}={value}"] if data.draw(st.booleans()) else [name, value]
    assert flags_of({"command": words[:1], "args": words[1:]}) == flags


@pytest.mark.parametrize(
    ("args", "flags"),
    [
        (["--enable-prefix-caching", "--port", "80"], {"--enable-prefix-caching": "true", "--port": "80"}),
        (["--seed", "-1"], {"--seed": "-1"}),
        (["--a=1", "--a=2"], {"--a": "2"}),
        (["--", "positional", "--not-read=x"], {"--not-read": "x"}),
        (["--name="], {"--name": ""}),
        ([], {}),
    ],
)
def test_forms_of_flags(args: list[str], flags: dict[str, str]) -> None:
    assert flags_of({"args": args}) == flags


def test_flags_within_a_shell_line_are_read() -> None:
    container = {"command": ["sh", "-c", "exec vllm serve --max-num-seqs 8 \\\n --port=80 --name 'a b'"]}
    assert flags_of(container) == {"--max-num-seqs": "8", "--port": "80", "--name": "a b"}


def test_environment_resources_and_image_are_settings_too() -> None:
    container = {
        "image": "serve:2",
        "args": ["--port", "80"],
        "env": [
            {"name": "MODE", "value": "fast"},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "creds", "key": "k"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
        "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": 1}},
    }
    assert settings_of(container) == {
        "--port": "80",
        "env:MODE": "fast",
        "env:KEY": "from secretKeyRef creds/k",
        "env:IP": "from fieldRef status.podIP",
        "resources.limits.cpu": "2",
        "resources.requests.cpu": "1",
        "image": "serve:2",
    }


def test_words_beside_flags_are_what_no_flag_takes() -> None:
    container = {
        "command": ["vllm", "serve"],
        "args": ["some/model", "--port", "80", "-v", "--quiet", "--", "--seed=1"],
    }
    assert beside_flags(container) == ["vllm", "serve", "some/model", "-v", "--"]


def test_a_container_that_came_or_went_shows_every_setting() -> None:
    def template(**containers: str) -> dict[str, Any]:
        return {"spec": {"containers": [{"name": name, "image": image} for name, image in containers.items()]}}

    before, after = template(engine="e:1", old="o:1"), template(engine="e:2", new="n:1")
    assert changed(before, after) == [
        ("engine", "image", "e:1", "e:2"),
        ("old", "image", "o:1", None),
        ("new", "image", None, "n:1"),
    ]
    assert changed(before, before) == []


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str | None, str | None]]:
    old, new = (
        KeptRevision(number, presented({"spec": {"template": template}}), template)
        for number, template in enumerate((before, after))
    )
    return differences(old, new)


def pod_template(**container: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "engine", "image": "e:1", **container}]}}


PERIOD = ("startupProbe.periodSeconds", "1", "9")
PORT = ("ports[a].hostPort", "1", "2")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"startupProbe": {"periodSeconds": 1}}, {"startupProbe": {"periodSeconds": 9}}, PERIOD),
        (
            {"ports": [{"name": "a", "hostPort": 1}]},
            {"ports": [{"name": "a", "hostPort": 2}]},
            ("ports[a].hostPort", "1", "2"),
        ),
        ({}, {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}, ("volumeMounts[d].mountPath", None, "/d")),
        ({"command": ["a", "b"]}, {"command": ["a", "c"]}, ("command", "a b", "a c")),
        ({"args": ["--seats", "4", "m"]}, {"args": ["--seats=8", "m"]}, ("--seats", "4", "8")),
    ],
)
def test_everything_that_a_container_sets_is_compared(
    before: dict[str, Any], after: dict[str, Any], expected: tuple[str, str | None, str | None]
) -> None:
    assert changed(pod_template(**before), pod_template(**after)) == [("engine", *expected)]


def test_what_the_pod_sets_as_a_whole_is_compared_and_generated_labels_are_not() -> None:
    before: dict[str, Any] = pod_template() | {"metadata": {"labels": {"app": "a", "pod-template-hash": "1"}}}
    after: dict[str, Any] = pod_template() | {"metadata": {"labels": {"app": "b", "pod-template-hash": "2"}}}
    before["spec"] |= {"nodeSelector": {"gpu": "a10"}, "volumes": [{"name": "w", "emptyDir": {}}]}
    after["spec"] |= {"nodeSelector": {"gpu": "h100"}, "volumes": [{"name": "w", "configMap": {"name": "c"}}]}
    assert sorted(changed(before, after)) == [
        ("", "labels.app", "a", "b"),
        ("", "nodeSelector.gpu", "a10", "h100"),
        ("", "volumes[w].configMap.name", None, "c"),
        ("", "volumes[w].emptyDir", "{}", None),
    ]


def test_a_secret_that_changed_is_named_and_its_values_are_not() -> None:
    def secretive(word: str) -> dict[str, Any]:
        env = [{"name": "HF_TOKEN", "value": f"canary-{word}"}, {"name": "MODE", "value": word}]
        return pod_template(env=env, args=[f"--api-key=canary-{word}"])

    assert changed(secretive("one"), secretive("two")) == [
        ("engine", "--api-key", "[redacted]", "[redacted]"),
        ("engine", "env:HF_TOKEN", "[redacted]", "[redacted]"),
        ("engine", "env:MODE", "one", "two"),
    ]
