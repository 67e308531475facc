"""The order of a keyed list that a configuration is laid over (structured-merge-diff, `visitListItems`)."""

from collections.abc import Sequence


def interleaved(live: Sequence[str], applied: Sequence[str]) -> list[tuple[str, bool]]:
    """Return the keys of both lists in the order of the configuration, with the others where they stood.

    Each comes with whether the configuration has it. A key that `live` has twice stays twice where it is not applied.
    """
    old, new = set(live), set(applied)
    shared = [key for key in applied if key in old]
    merged: set[str] = set()
    out: list[tuple[str, bool]] = []
    left = right = 0
    while left < len(live) or right < len(applied):
        if left < len(live):
            key = live[left]
            if key not in new:
                out.append((key, False))
                left += 1
                continue
            waits = right < len(applied) and key != applied[right] and bool(shared) and shared[0] != key
            if waits or key in merged:
                left += 1
                continue
        key = applied[right]
        left += left < len(live) and live[left] == key
        right += 1
        out.append((key, True))
        merged.add(key)
        if shared and shared[0] == key:
            shared = shared[1:]
    return out
