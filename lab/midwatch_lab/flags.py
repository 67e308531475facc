"""Flags in a container's command line: reading and rewriting one without touching the others."""


def set_flag(words: list[str], flag: str, value: str) -> list[str]:
    """Return the words with a flag set to a value, in the form that it has (`--a=b` or `--a b`); else it is added."""
    found = list(words)
    for index, word in enumerate(found):
        if word.startswith(f"{flag}="):
            found[index] = f"{flag}={value}"
            return found
        if word == flag and index + 1 < len(found):
            found[index + 1] = value
            return found
    return [*found, f"{flag}={value}"]


def has_flag(words: list[str], flag: str) -> bool:
    """Tell whether a flag is there."""
    return any(word == flag or word.startswith(f"{flag}=") for word in words)
