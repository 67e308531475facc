"""YAML edited where it stands: the value is the wanted one, and lines that it does not concern are the same bytes."""

import copy
import json
from random import Random
from typing import Any, cast

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch_mcp.safe_apply.as_git.nodes import parsed
from midwatch_mcp.safe_apply.as_git.splice import edited
from midwatch_mcp.safe_apply.errors import GitError
from midwatch_mcp.safe_apply.values import same

WORDS = [
    "chat",
    "v1.2",
    "yes",
    "12",
    "a: b",
    "it's",
    'say "hi"',
    "#no",
    "",
    "--max=8",
    "ü",
    "0x1f",
    "1:30",
    "tail ",
    "- x",
]
KEYS = ["app", "spec", "replicas", "example.com/on", "12", "yes", "x y", "name"]
Path = tuple[Any, ...]

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 99)
    | st.sampled_from(WORDS)
    | st.sampled_from(["a\nb\n", "one\n\ntwo"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)
seeds = st.integers(0, 2**32)
manifests = st.dictionaries(st.sampled_from(KEYS), values, min_size=1, max_size=5)


def parts(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(cast("dict[Any, Any]", value).items())
    return list(enumerate(cast("list[Any]", value))) if isinstance(value, list) else []


class Writer:
    """Writes a value as people do: with comments, any quotes, brackets here and there, and one habit for dashes.

    Every line knows the place whose text it holds, and whether it is a comment inside of that place.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.indented = random.random() < 0.5
        self.lines: list[tuple[str, Path, bool]] = []

    def text(self, value: Any, *, key: bool = False) -> str:
        if not isinstance(value, str):
            return self.random.choice(["null", "~"]) if value is None else json.dumps(value)
        if not key and self.random.random() < 0.3 and value.isprintable():
            return "'" + value.replace("'", "''") + "'"
        plain = value.isalpha() and value != "yes"
        return value if plain and self.random.random() < 0.8 else json.dumps(value, ensure_ascii=False)

    def flow(self, value: Any) -> str:
        match value:
            case dict():
                return "{" + ", ".join(f"{self.text(key)}: {self.flow(item)}" for key, item in parts(value)) + "}"
            case list():
                return "[" + ", ".join(self.flow(item) for _, item in parts(value)) + "]"
            case _:
                return self.text(value)

    def comment(self, path: Path, column: int) -> None:
        if self.random.random() < 0.2:
            self.lines.append((self.random.choice([" " * column + "# note: [x", "", "# far left"]), path, True))

    def put(self, head: str, value: Any, path: Path, column: int) -> None:
        """Write a value behind `head`; `column` is that of its key or dash."""
        tail = self.random.choice(["", "", "", "  # why"])
        literal = value if isinstance(value, str) and "\n" in value and value[:1] not in ("", "\n") else None
        if not isinstance(value, dict | list) or not value or self.random.random() < 0.2:
            if literal is not None and self.random.random() < 0.7:
                chomp = "" if literal.endswith("\n") else "-"
                self.lines.append((f"{head} |{chomp}{tail}", path, False))
                self.lines += [
                    (" " * (column + 2) + line if line else "", path, False)
                    for line in literal.rstrip("\n").split("\n")
                ]
            else:
                self.lines.append((f"{head} {self.flow(value)}{tail}", path, False))
            return
        if head.endswith("-"):
            before = len(self.lines)
            self.block(value, path, column + 2, quiet=True)
            line, place, comment = self.lines[before]
            self.lines[before] = (f"{head} {line.lstrip(' ')}", place, comment)
            return
        self.lines.append((head + tail, path, False))
        self.block(value, path, column + (2 if isinstance(value, dict) or self.indented else 0))

    def block(self, value: Any, path: Path, column: int, *, quiet: bool = False) -> None:
        for number, (key, item) in enumerate(parts(value)):
            if not quiet or number:
                self.comment(path, column)
            head = f"{self.text(key, key=True)}:" if isinstance(value, dict) else "-"
            self.put(" " * column + head, item, (*path, key), column)


def written(value: dict[str, Any], random: Random) -> list[tuple[str, Path, bool]]:
    writer = Writer(random)
    writer.comment((), 0)
    writer.block(value, (), 0)
    return writer.lines


def places(value: Any, path: Path = ()) -> list[Path]:
    return [path, *(place for key, item in parts(value) for place in places(item, (*path, key)))]


def changed(value: dict[str, Any], random: Random, fresh: Any) -> tuple[dict[str, Any], Path]:
    """Return the value with one thing set, added or taken away, and the place where that is."""
    new = copy.deepcopy(value)
    *way, last = path = random.choice(places(new)[1:])
    above: Any = new
    for step in way:
        above = above[step]
    match random.choice(["set", "add", "take"]):
        case "set":
            above[last] = fresh
        case "take" if len(new) > 1 or len(path) > 1:
            moves_up = bool(way) and isinstance(way[-1], int) and last == next(iter(above))
            del above[last]
            if isinstance(above, list) or moves_up:
                return new, path[:-1]
        case _ if isinstance(above, list):
            items = cast("list[Any]", above)
            items.insert(random.randrange(len(items) + 1), fresh)
            return new, path[:-1]
        case _:
            above["added"] = fresh
            return new, (*path[:-1], "added")
    return new, path


def is_subsequence(part: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(line in rest for line in part)


@settings(max_examples=80, deadline=None)
@given(manifests, values, seeds, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_the_value_is_the_wanted_one_and_no_other_line_changes(
    value: dict[str, Any],
    fresh: Any,
    seed: int,
    newline: str,
    ends: bool,  # noqa: FBT001 (hypothesis)
) -> None:
    random = Random(seed)  # noqa: S311 (a layout)
    lines = written(value, random)
    before = newline.join(line for line, _, _ in lines) + (newline if ends else "")
    if not ends and "|" in before:
        before += newline
    text = f"---{newline}first: 1 # kept{newline}---{newline}{before}"
    assert same(parsed(text, "x")[1].value, value)
    new, place = changed(value, random, fresh)
    result = edited(text, "x", 1, new)
    assert same(parsed(result, "x")[1].value, new)
    assert result.startswith(f"---{newline}first: 1 # kept{newline}---{newline}")
    kept = [
        line for line, path, comment in lines if path[: len(place)] != place and (comment or place[: len(path)] != path)
    ]
    assert is_subsequence(kept, result.split(newline))
    assert result.count("\r\n") == (result.count("\n") if newline == "\r\n" else 0)
    if same(new, value):
        assert result == text


@settings(max_examples=40, deadline=None)
@given(manifests, values, seeds, st.sampled_from([None, 2, 4]))
def test_json_stays_json(value: dict[str, Any], fresh: Any, seed: int, indent: int | None) -> None:
    random = Random(seed)  # noqa: S311 (a layout)
    text = json.dumps(value, indent=indent, ensure_ascii=random.random() < 0.5) + "\n"
    new, _ = changed(value, random, fresh)
    assert json.loads(edited(text, "x", 0, new)) == new


@settings(max_examples=40, deadline=None)
@given(st.text() | st.sampled_from(WORDS))
def test_a_text_is_the_same_text_for_pyyaml_too(text: str) -> None:
    result = edited("a: x\nb: [x]\n", "x", 0, {"a": text, "b": [text], "c": {text: 1}})
    assert yaml.safe_load(result) == {"a": text, "b": [text], "c": {text: 1}}


def test_an_anchor_that_others_use_is_not_changed_under_them() -> None:
    text = "a: &n 3\nb: *n\n"
    assert edited(text, "x", 0, {"a": 3, "b": 4}) == "a: &n 3\nb: 4\n"
    with pytest.raises(GitError, match="x:1: the anchor &n is used at 1 other places"):
        edited(text, "x", 0, {"a": 4, "b": 3})
    with pytest.raises(GitError, match="anchor &n"):
        edited(text, "x", 0, {"b": 3})


def test_what_a_merge_brings_in_is_overridden_where_it_comes_in() -> None:
    text = "base: &b {cpu: 1, mem: 2}\nmore:\n  <<: *b\n  mem: 3\n"
    value = parsed(text, "x")[0].value
    assert value["more"] == {"cpu": 1, "mem": 3}
    assert edited(text, "x", 0, {**value, "more": {"cpu": 4, "mem": 3}}) == text + "  cpu: 4\n"
    with pytest.raises(GitError, match="'cpu' comes in by <<"):
        edited(text, "x", 0, {**value, "more": {"mem": 3}})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\na: 2\n", "x:2: the key 'a' stands twice"),
        ("a: [\n", "x is no YAML"),
        ("a: !!python/object:os.system x\n", "tag"),
        ("? [a]\n: 1\n", "a key is no plain text"),
        ("a: .nan\n", "no number that JSON has"),
        ("a: *b\n", "no YAML|stands for nothing"),
        ("a: " + "[" * 100 + "]" * 100 + "\n", "nested deeper"),
        (
            "l: &l [x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}' if n else '*l'] * 9)}]\n" for n in range(8)),
            "written out",
        ),
        ("a: &a [*a]\n", "nothing that came before|written out"),
    ],
)
def test_what_could_mean_two_things_or_too_much_is_refused_by_its_line(text: str, says: str) -> None:
    with pytest.raises(GitError, match=says):
        parsed(text, "x")


@pytest.mark.parametrize(
    ("before", "new", "after"),
    [
        ("a: 'x' # c\n", {"a": "y"}, "a: 'y' # c\n"),
        ('a: "x"\n', {"a": 5}, "a: 5\n"),
        ("a:\nb: 1\n", {"a": {"c": 1}, "b": 1}, "a:\n  c: 1\nb: 1\n"),
        ("a:\n    b: 1\n", {"a": {"b": 1, "c": {"d": 1}}}, "a:\n    b: 1\n    c:\n        d: 1\n"),
        ("a:\n- b: 1\n  c: 2\n", {"a": [{"c": 2}]}, "a:\n- c: 2\n"),
        ("a: [x, 'y']\n", {"a": ["y"]}, "a: ['y']\n"),
        ("a: ['x', 'y']\n", {"a": ["x", "z", "y"]}, "a: ['x', 'z', 'y']\n"),
        ("a: 1", {"a": 1, "b": 2}, "a: 1\nb: 2"),
        ("a: |\n  one\n  two\n\nb: 1\n", {"a": "one\nthree\n", "b": 1}, "a: |\n  one\n  three\n\nb: 1\n"),
        ('{\n  "a": [\n    "x"\n  ]\n}\n', {"a": ["x", "y"]}, '{\n  "a": [\n    "x",\n    "y"\n  ]\n}\n'),
        ("\ufeffa: 1\n", {"a": 1, "b": 2}, "\ufeffa: 1\nb: 2\n"),
    ],
)
def test_what_is_new_is_written_as_what_stands_around_it(before: str, new: dict[str, Any], after: str) -> None:
    assert edited(before, "x", 0, new) == after
