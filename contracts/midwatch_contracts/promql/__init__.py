"""PromQL as text and as a tree: what the lab evaluates, guides lint and the metrics server checks before sending.

Pure: no clock, no client, no regular-expression engine. The language is that of a default Prometheus 3.16, and with
`Features` that of one whose experimental parts are on.
"""

from midwatch_contracts.errors import PromqlError
from midwatch_contracts.promql.ast import (
    AGGREGATIONS,
    COMPARISONS,
    EXPERIMENTAL_AGGREGATIONS,
    SET_OPERATORS,
    Aggregate,
    AtPoint,
    Binary,
    Call,
    Duration,
    DurationLiteral,
    DurationOperation,
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
    expr_type,
)
from midwatch_contracts.promql.durations import resolved
from midwatch_contracts.promql.features import DEFAULT_FEATURES, EVERY_FEATURE, FEATURE_NAMES, Features
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
from midwatch_contracts.promql.pretty import pretty_expr
from midwatch_contracts.promql.printer import format_expr, label_name
from midwatch_contracts.promql.regex import matches_empty
from midwatch_contracts.promql.selection import matchers_of
from midwatch_contracts.promql.walk import children, mapped, metric_names, rewritten, selectors

__all__ = [
    "AGGREGATIONS",
    "COMPARISONS",
    "DEFAULT_FEATURES",
    "EVERY_FEATURE",
    "EXPERIMENTAL_AGGREGATIONS",
    "EXPERIMENTAL_FUNCTIONS",
    "FEATURE_NAMES",
    "FUNCTIONS",
    "SET_OPERATORS",
    "Aggregate",
    "AtPoint",
    "Binary",
    "Call",
    "Duration",
    "DurationLiteral",
    "DurationOperation",
    "Expr",
    "Features",
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
    "mapped",
    "matchers_of",
    "matches_empty",
    "metric_names",
    "number_literal",
    "parse",
    "pretty_expr",
    "quote_pattern",
    "quote_value",
    "resolved",
    "rewritten",
    "selectors",
    "unquote",
]
