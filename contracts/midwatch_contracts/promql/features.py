"""What a Prometheus offers only when asked for by `--enable-feature`, as far as it concerns the language."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from midwatch_contracts.errors import PromqlError


@dataclass(frozen=True, slots=True)
class Features:
    """Which experimental parts of the language are read; a default server reads none."""

    experimental_functions: bool = False
    """`promql-experimental-functions`: functions such as `info`, and the aggregations `limitk` and `limit_ratio`."""
    fill_modifiers: bool = False
    """`promql-binop-fill-modifiers`: `fill`, `fill_left` and `fill_right` of binary operators."""

    @classmethod
    def of(cls, names: Iterable[str]) -> "Features":
        """Return the features named as Prometheus's flag names them; those that are on in 3.16 anyway are accepted.

        Raises:
            PromqlError: for a feature that is not offered.
        """
        found: set[str] = set()
        for name in names:
            if name not in _FIELDS and name not in _ALWAYS:
                raise PromqlError(f"the feature {name} is not offered: choose from {', '.join(_FIELDS)}")
            found.add(name)
        return cls(**{field: name in found for name, field in _FIELDS.items()})


_FIELDS: Final = {
    "promql-experimental-functions": "experimental_functions",
    "promql-binop-fill-modifiers": "fill_modifiers",
}
_ALWAYS: Final = frozenset({"promql-duration-expr", "promql-extended-range-selectors"})
FEATURE_NAMES: Final = tuple(_FIELDS)
DEFAULT_FEATURES: Final = Features()
EVERY_FEATURE: Final = Features(experimental_functions=True, fill_modifiers=True)
