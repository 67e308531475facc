"""Paths of fields as messages have them."""

import orjson

from midwatch_lab.objects import Object


def dotted(path: tuple[str, ...]) -> str:
    """Return a path of FieldsV1 elements as text: `.spec.containers[name="engine"].image`."""
    text = ""
    for step in path:
        kind, _, rest = step.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            keys: Object = orjson.loads(rest)
            text += "[" + ",".join(f"{key}={orjson.dumps(value).decode()}" for key, value in keys.items()) + "]"
        else:
            text += f"[={rest}]"
    return text
