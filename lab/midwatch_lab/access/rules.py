"""Rules of roles: what one allows, and whether some rules hold all that others would grant.

A rule is the plain JSON of a `PolicyRule`. The second question is Kubernetes' defence against escalation: the rule that
is granted is broken down into its smallest parts, each of which one rule that is held must cover.
"""

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from midwatch_lab.access.attributes import Attributes
from midwatch_lab.objects import Object
from midwatch_lab.status import quoted

Rule: TypeAlias = Object

ALL: Final = "*"
EVERYTHING: Final[tuple[Rule, ...]] = (
    {"verbs": [ALL], "apiGroups": [ALL], "resources": [ALL]},
    {"verbs": [ALL], "nonResourceURLs": [ALL]},
)
"""What a cluster's administrator holds."""


def allows(rule: Rule, wanted: Attributes) -> bool:
    """Tell whether a rule allows a request."""
    if not _has(rule.get("verbs", ()), wanted.verb):
        return False
    if not wanted.is_resource:
        return any(_is_path(url, wanted.path) for url in rule.get("nonResourceURLs", ()))
    if not _has(rule.get("apiGroups", ()), wanted.group) or not _names_resource(rule, wanted):
        return False
    names = rule.get("resourceNames")
    return not names or wanted.name in names


def _has(listed: Sequence[str], one: str) -> bool:
    return ALL in listed or one in listed


def _is_path(url: str, path: str) -> bool:
    return url in (ALL, path) or (url.endswith(ALL) and path.startswith(url.rstrip(ALL)))


def _names_resource(rule: Rule, wanted: Attributes) -> bool:
    listed: Sequence[str] = rule.get("resources", ())
    return _has(listed, wanted.combined) or bool(wanted.subresource and f"{ALL}/{wanted.subresource}" in listed)


def not_covered(held: Sequence[Rule], granted: Iterable[Rule]) -> list[Rule]:
    """Return the parts of what is granted that no rule covers which is held."""
    return [part for rule in granted for part in _parts(rule) if not any(_covers(one, part) for one in held)]


def _parts(rule: Rule) -> Iterable[Rule]:
    """Break a rule down into rules with one element in every list."""
    for group in rule.get("apiGroups", ()):
        for resource in rule.get("resources", ()):
            for verb in rule.get("verbs", ()):
                one: Rule = {"verbs": [verb], "apiGroups": [group], "resources": [resource]}
                names = rule.get("resourceNames")
                if not names:
                    yield one
                for name in names or ():
                    yield {**one, "resourceNames": [name]}
    for url in rule.get("nonResourceURLs", ()):
        for verb in rule.get("verbs", ()):
            yield {"verbs": [verb], "nonResourceURLs": [url]}


def _covers(held: Rule, part: Rule) -> bool:
    if not _has(held.get("verbs", ()), part["verbs"][0]):
        return False
    if "nonResourceURLs" in part:
        return any(_is_path(url, part["nonResourceURLs"][0]) for url in held.get("nonResourceURLs", ()))
    if not _has(held.get("apiGroups", ()), part["apiGroups"][0]):
        return False
    resource: str = part["resources"][0]
    listed: Sequence[str] = held.get("resources", ())
    _, slash, below = resource.partition("/")
    if not _has(listed, resource) and not (slash and f"{ALL}/{below}" in listed):
        return False
    names = held.get("resourceNames")
    return not names or ("resourceNames" in part and part["resourceNames"][0] in names)


def described(parts: Iterable[Rule]) -> list[str]:
    """Return rules as the original prints them, sorted; those that differ in the verb alone are drawn together."""
    drawn: dict[tuple[str, ...], Rule] = {}
    for index, part in enumerate(parts):
        if "nonResourceURLs" in part:
            drawn[str(index),] = part
            continue
        key = (part["apiGroups"][0], part["resources"][0], *part.get("resourceNames", ()))
        verbs = drawn.setdefault(key, {**part, "verbs": []})["verbs"]
        verbs += [verb for verb in part["verbs"] if verb not in verbs]
    return sorted({_text(rule) for rule in drawn.values()})


def _text(rule: Rule) -> str:
    shown = (
        ("APIGroups", "apiGroups"), ("Resources", "resources"), ("NonResourceURLs", "nonResourceURLs"),
        ("ResourceNames", "resourceNames"), ("Verbs", "verbs"),
    )  # fmt: skip
    parts = [f"{name}:{quoted_list(rule[key])}" for name, key in shown if key in rule]
    return "{" + ", ".join(parts) + "}"


def quoted_list(texts: Iterable[str]) -> str:
    """Return texts as Go's `%q` prints a slice of strings."""
    return "[" + " ".join(quoted(text) for text in texts) + "]"
