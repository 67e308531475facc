"""PromQL as text and as a tree: what the lab evaluates, guides lint and the metrics server checks before sending.

Pure: no clock, no client, no regular-expression engine. The language is that of a default Prometheus 3.16.
"""

from midwatch_contracts.errors import PromqlError
from midwatch_contracts.promql.ast import (
    AGGREGATIONS,
    COMPARISONS,
    SET_OPERATORS,
    Aggregate,
    AtPoint,
    Binary,
    Call,
    Expr,
    Matcher,
    Matching,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    ValueType,
    VectorSelector,
    children,
    expr_type,
    metric_names,
    selectors,
)
from midwatch_contracts.promql.functions import EXPERIMENTAL_FUNCTIONS, FUNCTIONS, Signature
from midwatch_contracts.promql.literals import (
    duration_literal,
    duration_ms,
    number_literal,
    quote_pattern,
    quote_value,
    unquote,
)
from midwatch_contracts.promql.parser import parse
from midwatch_contracts.promql.printer import format_expr, label_name
from midwatch_contracts.promql.regex import matches_empty

__all__ = [
    "AGGREGATIONS",
    "COMPARISONS",
    "EXPERIMENTAL_FUNCTIONS",
    "FUNCTIONS",
    "SET_OPERATORS",
    "Aggregate",
    "AtPoint",
    "Binary",
    "Call",
    "Expr",
    "Matcher",
    "Matching",
    "MatrixSelector",
    "NumberLiteral",
    "Paren",
    "PromqlError",
    "Signature",
    "StringLiteral",
    "Subquery",
    "Unary",
    "ValueType",
    "VectorSelector",
    "children",
    "duration_literal",
    "duration_ms",
    "expr_type",
    "format_expr",
    "label_name",
    "matches_empty",
    "metric_names",
    "number_literal",
    "parse",
    "quote_pattern",
    "quote_value",
    "selectors",
    "unquote",
]
