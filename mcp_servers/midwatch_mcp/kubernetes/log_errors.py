"""Which entries of a log say an error, and the groups that they fall into (pure).

Groups are found by Drain (He, Zhu, Zheng, Lyu: "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS
2017): numbers, ids, hashes and addresses are masked first, then lines of one length that begin alike are compared word
by word, and words in which a group's lines differ become `<*>`.
"""

import re
from dataclasses import dataclass, field

from midwatch_mcp.kubernetes.log_entries import Entry

_DEPTH = 2
"""Leading words by which the tree parts lines of one length (Drain's depth 4: root, length, two words)."""
_SIMILAR = 0.5
"""The share of equal words from which a line belongs to a group (the paper's `st`)."""
_CHILDREN = 100
"""Branches of a node; further first words share the branch `<*>` (the paper's `maxChild`)."""
_WORDS = 60
_ANY = "<*>"

_MASKS = (
    (re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), "<uuid>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b(?:\d\d-\d\d )?\d\d:\d\d:\d\d(?:[.,]\d+)?\b"), "<time>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b"), "<ip>"),
    (re.compile(r"(?<![\w:])\[?(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{1,4}\]?(?::\d{1,5})?(?![\w:])"), "<ip>"),
    (re.compile(r"(?<=[-_/])(?=[a-z]{0,9}\d)[a-z0-9]{5,10}\b(?:-[a-z0-9]{5}\b)?"), "<id>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "<hex>"),
    (re.compile(r"\b(?=[a-fA-F]{0,64}\d)[0-9a-fA-F]{8,64}\b"), "<hex>"),
    (re.compile(r"(?<![\w<])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?=[a-zA-Z%]{0,3}\b|%)"), "<num>"),
)
_LEVEL = re.compile(
    r"""["']?\b(?:level|lvl|severity|levelname|log\.level)["']?\s*[=:]\s*["']?(?P<named>[A-Za-z]+|\d{2})
      | ^(?P<klog>[IWEF])\d{4}\ \d\d:\d\d:\d\d
      | \b(?P<loud>TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL|PANIC|SEVERE|EMERG|EMERGENCY)\b
      | \[(?P<quiet>trace|debug|info|notice|warn|warning|error|fatal|crit|alert|emerg)\]""",
    re.VERBOSE,
)
_BAD = frozenset(
    {"error", "err", "fatal", "critical", "crit", "panic", "dpanic", "severe", "emerg", "emergency", "alert"}
    | {"exception", "e", "f", "50", "60"}
)
"""Levels that tell of an error, in small letters: of most libraries, of klog (E, F) and of pino (50, 60)."""
_CRASH = re.compile(r"Traceback \(most recent call last\)|^\s*(?:panic|fatal error): |Segmentation fault|core dumped")
_THROWN = re.compile(r"^\s*(?:Caused by: |Exception in thread .*)?(?:[\w$]+\.)*[A-Z]\w*(?:Error|Exception)\b(?::|$)")
_SAYS = re.compile(
    r"\b(?:error|fatal|failed|failure|panic|out of memory|oom-?kill\w*|cannot allocate|permission denied"
    r"|no such file|connection refused)\b",
    re.IGNORECASE,
)
_DENIES = re.compile(
    r"\b(?:0|no|without|zero) (?:error|failure)s?\b|\b(?:error|failed|failure|fatal)\w*[\"']?\s*[=:]\s*[\"']?"
    r"(?:0\b|null|none|nil|false|\"\")",
    re.IGNORECASE,
)


@dataclass
class Group:
    """Entries that say the same but for their masked parts."""

    words: list[str]
    example: str
    first_ns: int
    last_ns: int
    count: int = 0
    pods: dict[str, None] = field(default_factory=dict[str, None])

    @property
    def template(self) -> str:
        """What the entries have in common."""
        return " ".join(self.words)


def is_error(entry: Entry) -> bool:
    """Say whether an entry tells of an error: by its declared level where it has one, else by its words."""
    if _CRASH.search(entry.text):
        return True
    line = entry.text.partition("\n")[0]
    level = _LEVEL.search(line[:300])
    if level is not None:
        return next(said for said in level.groups() if said is not None).lower() in _BAD
    return bool(_THROWN.match(line)) or bool(_SAYS.search(_DENIES.sub("", line)))


def error_groups(entries: list[Entry]) -> list[Group]:
    """Return the groups of the entries that tell of an error, the largest first; of equals the latest."""
    tree = _Tree()
    for entry in entries:
        if is_error(entry):
            tree.add(entry)
    return sorted(tree.groups, key=lambda group: (-group.count, -group.last_ns))


def masked(line: str) -> list[str]:
    """Return the words of a line, what varies by itself masked."""
    for pattern, mask in _MASKS:
        line = pattern.sub(mask, line)
    return line.split()[:_WORDS]


def _telling(entry: Entry) -> str:
    """Return the line of an entry that says what happened: of a Python traceback the last, else the first."""
    lines = [line for line in entry.text.split("\n") if line.strip()]
    if not lines:
        return ""
    return lines[-1] if any("Traceback (most recent call last)" in line for line in lines) else lines[0]


class _Tree:
    """Drain's tree: by number of words, then by leading words, then the groups of a leaf."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self._leaves: dict[tuple[str, ...], list[Group]] = {}
        self._branches: dict[tuple[str, ...], set[str]] = {}

    def add(self, entry: Entry) -> None:
        """Put one entry into the group that it fits best, or into one of its own."""
        words = masked(_telling(entry))
        leaf = self._leaves.setdefault(self._path(words), [])
        best = max(leaf, key=lambda group: _similarity(group.words, words), default=None)
        if best is None or _similarity(best.words, words) < _SIMILAR:
            best = Group(words, entry.text, entry.ns, entry.ns)
            leaf.append(best)
            self.groups.append(best)
        best.words = [old if old == new else _ANY for old, new in zip(best.words, words, strict=True)]
        best.count += 1
        best.first_ns, best.last_ns = min(best.first_ns, entry.ns), max(best.last_ns, entry.ns)
        best.pods.setdefault(entry.pod)

    def _path(self, words: list[str]) -> tuple[str, ...]:
        path: tuple[str, ...] = (str(len(words)),)
        for word in words[:_DEPTH]:
            known = self._branches.setdefault(path, set())
            varies = "<" in word or any(letter.isdigit() for letter in word)
            if varies or (word not in known and len(known) >= _CHILDREN):
                path += (_ANY,)
            else:
                known.add(word)
                path += (word,)
        return path


def _similarity(template: list[str], words: list[str]) -> float:
    if not words:
        return 1.0
    return sum(old == new for old, new in zip(template, words, strict=True)) / len(words)
