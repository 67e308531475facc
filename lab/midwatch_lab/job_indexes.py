"""The indexes of an Indexed Job, as its status writes them: `1,3-5,7`."""

from collections.abc import Iterable

from midwatch_lab.errors import DecodeError


def read_indexes(text: str, completions: int) -> list[int]:
    """Return the indexes that a text lists, in order.

    Raises:
        DecodeError: when it lists none, in the original's words.
    """
    found: list[int] = []
    for part in text.split(",") if text else ():
        first, *lasts = part.split("-")
        if len(lasts) > 1:
            rule = "an index interval can have at most two parts separated by '-'"
            raise DecodeError(f'the fragment "{part}" violates the requirement that {rule}')
        start = _index(first, completions, found)
        end = start if not lasts else _index(lasts[0], completions, [*found, start])
        found.extend(range(start, end + 1))
    return found


def _index(text: str, completions: int, before: list[int]) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise DecodeError(f'cannot convert string to integer for index: "{text}"')
    value = int(text)
    if value >= completions:
        raise DecodeError(f'too large index: "{text}"')
    if before and value <= before[-1]:
        raise DecodeError(f"non-increasing order, previous: {before[-1]}, current: {value}")
    return value


def indexes_text(indexes: Iterable[int]) -> str:
    """Return indexes as a Job's status writes them; from three in a row on, with a dash."""
    runs: list[list[int]] = []
    for index in sorted(set(indexes)):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    parts: list[str] = []
    for first, last in runs:
        if last == first:
            parts.append(str(first))
        elif last == first + 1:
            parts += [str(first), str(last)]
        else:
            parts.append(f"{first}-{last}")
    return ",".join(parts)
