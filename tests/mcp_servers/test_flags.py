import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_mcp.kubernetes.flags import changed_settings, flags_of, settings_of

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


def test_a_container_that_came_or_went_shows_every_setting() -> None:
    def template(**containers: str) -> dict[str, object]:
        return {"spec": {"containers": [{"name": name, "image": image} for name, image in containers.items()]}}

    before, after = template(engine="e:1", old="o:1"), template(engine="e:2", new="n:1")
    assert changed_settings(before, after) == [
        ("engine", "image", "e:1", "e:2"),
        ("old", "image", "o:1", None),
        ("new", "image", None, "n:1"),
    ]
    assert changed_settings(before, before) == []
