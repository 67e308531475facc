"""Which Kubernetes labels become labels of series: none, until they are allowed.

The option and its words are the original's `--metric-labels-allowlist`: `pods=[app,team],nodes=[*],*=[team]`.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from midwatch_lab.errors import MetricLabelsError
from midwatch_lab.exporters.family import Family, Point, Reader
from midwatch_lab.exporters.state.reading import plain
from midwatch_lab.objects import Object, labels_of

EVERY: Final = "*"
_ENTRY: Final = re.compile(r"\s*([A-Za-z0-9*]+)\s*=\s*\[([^][]*)\]\s*(?:,|$)")
_HUMP: Final = re.compile(r"([a-z0-9])([A-Z])")

Allowed = Mapping[str, Collection[str]]
"""By the plural of a kind: the keys of the labels that are allowed; `*` is every kind, or every key."""


def read_allowlist(text: str, kinds: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Read the option's text.

    Raises:
        MetricLabelsError: when the text is of another form, or names a kind without such a series.
    """
    found: dict[str, tuple[str, ...]] = {}
    place = 0
    while place < len(text):
        entry = _ENTRY.match(text, place)
        if entry is None:
            raise MetricLabelsError(
                f"{text!r}: after {text[:place]!r} give KIND=[KEY,...], such as pods=[app,team],nodes=[*]"
            )
        kind = entry[1]
        if kind not in kinds and kind != EVERY:
            raise MetricLabelsError(f"{kind!r} is none of *, {', '.join(sorted(kinds))}")
        keys = tuple(key.strip() for key in entry[2].split(",") if key.strip())
        found[kind] = (*found.get(kind, ()), *keys)
        place = entry.end()
    return found


def labels_family(prefix: str, plural: str, allowed: Allowed) -> Family:
    """Return the family `PREFIX_labels`, which is empty where no label of the kind is allowed."""
    keys = allowed.get(plural, allowed.get(EVERY, ()))
    return Family(f"{prefix}_labels", "The allowed labels of the object", _reader(tuple(keys)), ("label_…",))


def _reader(keys: tuple[str, ...]) -> Reader:
    def read(obj: Object) -> Iterable[Point]:
        if not keys:
            return ()
        labels = labels_of(obj)
        chosen = labels if keys[0] == EVERY else {key: labels[key] for key in keys if key in labels}
        return ((dict(_plain(chosen)), 1.0),)

    return read


def _plain(labels: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield label names as PromQL writes them without quotes; those that collide are numbered."""
    names: dict[str, list[str]] = {}
    for key in sorted(labels):
        name = "label_" + _HUMP.sub(r"\1_\2", plain(key)).lower()
        names.setdefault(name, []).append(key)
    for name, keys in names.items():
        for place, key in enumerate(keys, 1):
            yield (f"{name}_conflict{place}" if len(keys) > 1 else name), labels[key]
