"""Static types of rules: what a structural schema says its values are, and how cel-go writes a type."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from midwatch_lab.objects import Object

_KEYWORDS: Final = frozenset(
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"}
    | {"let", "loop", "package", "namespace", "return", "var", "void", "while"}
)
_STRINGS: Final = {"date-time": "timestamp", "date": "timestamp", "duration": "duration", "byte": "bytes"}
_NAMES: Final = {
    "quantity": "kubernetes.Quantity",
    "url": "kubernetes.URL", "ip": "net.IP", "cidr": "net.CIDR", "semver": "kubernetes.Semver",
}  # fmt: skip


@dataclass(frozen=True)
class Type:
    """A type: `item` is that of elements or values, `fields` those of an object by their names in expressions."""

    kind: str
    item: "Type | None" = None
    fields: "Mapping[str, Type]" = field(default_factory=dict[str, "Type"])

    def __str__(self) -> str:
        match self.kind:
            case "list":
                return f"list({self.item or DYN})"
            case "map":
                return f"map(string, {self.item or DYN})"
            case "type":
                return f"type({self.item or DYN})"
            case "optional":
                return f"optional_type({self.item or DYN})"
            case kind:
                return _NAMES.get(kind, kind)


DYN: Final = Type("dyn")
BOOL: Final = Type("bool")
INT: Final = Type("int")
DOUBLE: Final = Type("double")
STRING: Final = Type("string")
NULL: Final = Type("null")


def list_of(item: Type) -> Type:
    """Return the type of a list."""
    return Type("list", item)


def escaped(name: str) -> str | None:
    """Return how a field is named in an expression; None for one that cannot be."""
    if name in _KEYWORDS:
        return f"__{name}__"
    text = name.replace("__", "__underscores__").replace(".", "__dot__").replace("-", "__dash__")
    text = text.replace("/", "__slash__")
    return text if text.isidentifier() and text.isascii() else None


def type_of(schema: Object, *, root: bool = False) -> Type | None:  # noqa: PLR0911 (one case a type)
    """Return the type of the values of a schema; None where rules cannot see them."""
    if schema.get("x-kubernetes-int-or-string"):
        return DYN
    match schema.get("type"):
        case "object":
            return _object(schema, root=root)
        case "array":
            item = type_of(schema["items"]) if isinstance(schema.get("items"), dict) else None
            return None if item is None else list_of(item)
        case "string":
            return Type(_STRINGS.get(str(schema.get("format", "")), "string"))
        case "integer":
            return INT
        case "number":
            return DOUBLE
        case "boolean":
            return BOOL
        case _:
            return DYN if schema.get("x-kubernetes-preserve-unknown-fields") else None


def _object(schema: Object, *, root: bool) -> Type | None:
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        item = type_of(extra)  # pyright: ignore[reportUnknownArgumentType] (JSON of unknown shape)
        return None if item is None else Type("map", item)
    found: dict[str, Type] = {}
    if root or schema.get("x-kubernetes-embedded-resource"):
        names = Type("object", fields={"name": STRING, "generateName": STRING})
        found = {"apiVersion": STRING, "kind": STRING, "metadata": names}
    for name, inner in schema.get("properties", {}).items():
        key, kind = escaped(name), type_of(inner)
        if key is not None and kind is not None and not (name in found and name == "metadata"):
            found[key] = kind
    return Type("object", fields=found)
