"""CEL as guides, expectations and rules use it (CONTRACTS §4): every number is a double, no data is a value of its own.

The grammar is that of cel-python; a test holds the evaluation against cel-python's own. What differs, and why:

- Every number is a double, integer literals, `size()` and indexes too, for CEL itself has no operator on an int and a
  double. A list index must be whole. Durations are seconds: `duration("90s")` is 90.0.
- **No data**: a name bound to `NO_DATA` makes the whole expression no data, wherever it stands. So does reading a
  missing field, an index past the end, a NaN, or calculating with null. `&&`, `||` and `?:` read from left to right and
  what they do not read is not missed, so `has(r.x) && r.x > 1` is decided. The strings `"NaN"`, `"+Inf"` and `"-Inf"`
  by which results carry such numbers (CONTRACTS §2) are read as those numbers.
- On offer beside operators: the macros `has`, `all`, `exists`, `exists_one`, `filter`, `map`; `size`, `double`,
  `string`, `duration`; `contains`, `startsWith`, `endsWith`; and beyond CEL `min`, `max` (of two numbers and more),
  `ceil`, `floor`, `abs`, and as in Kubernetes' libraries `.split("/")`, and for lists `.sum()`, `.min()`, `.max()`,
  `.join(", ")`.
  Regular expressions, bytes, unsigned integers and messages are refused by name.
- Text, depth, list lengths and the number of evaluated nodes are limited, so that an expression always ends soon.
"""

from midwatch_contracts.cel.expression import Expression, compile_expression
from midwatch_contracts.cel.types import ANY, BOOL, NULL, NUMBER, STRING, Type, Unit, list_of, map_of, number, object_of
from midwatch_contracts.cel.values import NO_DATA, NoData, Value

__all__ = [
    "ANY",
    "BOOL",
    "NO_DATA",
    "NULL",
    "NUMBER",
    "STRING",
    "Expression",
    "NoData",
    "Type",
    "Unit",
    "Value",
    "compile_expression",
    "list_of",
    "map_of",
    "number",
    "object_of",
]
