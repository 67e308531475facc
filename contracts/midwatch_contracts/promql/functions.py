"""The signatures of Prometheus 3.16's functions: argument types, and which ones a default server refuses."""

from dataclasses import dataclass

from midwatch_contracts.promql.ast import ValueType

_S, _V, _M, _T = ValueType.SCALAR, ValueType.VECTOR, ValueType.MATRIX, ValueType.STRING


@dataclass(frozen=True, slots=True)
class Signature:
    """A function's types. `optional` is Go's `Variadic`: 0, all arguments must stand; n, the last one may stand up to n
    times, or not; -1, any number of times, or not.
    """

    args: tuple[ValueType, ...]
    returns: ValueType
    optional: int = 0
    experimental: bool = False

    @property
    def least(self) -> int:
        """The smallest number of arguments."""
        return len(self.args) - (self.optional != 0)

    @property
    def most(self) -> int | None:
        """The largest number of arguments; None: any."""
        return None if self.optional < 0 else len(self.args) - (self.optional != 0) + self.optional


_VECTOR_TO_VECTOR = (
    "abs absent acos acosh asin asinh atan atanh ceil cos cosh deg exp floor histogram_avg histogram_count "
    "histogram_stddev histogram_stdvar histogram_sum ln log10 log2 rad scalar sgn sin sinh sort sort_desc sqrt tan "
    "tanh timestamp"
)
_MATRIX_TO_VECTOR = (
    "absent_over_time avg_over_time changes count_over_time delta deriv first_over_time idelta increase irate "
    "last_over_time max_over_time min_over_time present_over_time rate resets stddev_over_time stdvar_over_time "
    "sum_over_time"
)
_EXPERIMENTAL_MATRIX = (
    "mad_over_time ts_of_first_over_time ts_of_last_over_time ts_of_max_over_time ts_of_min_over_time"
)
_CALENDAR = "day_of_month day_of_week day_of_year days_in_month hour minute month year"

FUNCTIONS: dict[str, Signature] = {
    **{name: Signature((_V,), _V) for name in _VECTOR_TO_VECTOR.split()},
    **{name: Signature((_M,), _V) for name in _MATRIX_TO_VECTOR.split()},
    **{name: Signature((_V,), _V, optional=1) for name in _CALENDAR.split()},
    "scalar": Signature((_V,), _S),
    "clamp": Signature((_V, _S, _S), _V),
    "clamp_max": Signature((_V, _S), _V),
    "clamp_min": Signature((_V, _S), _V),
    "histogram_fraction": Signature((_S, _S, _V), _V),
    "histogram_quantile": Signature((_S, _V), _V),
    "label_join": Signature((_V, _T, _T, _T), _V, optional=-1),
    "label_replace": Signature((_V, _T, _T, _T, _T), _V),
    "pi": Signature((), _S),
    "predict_linear": Signature((_M, _S), _V),
    "quantile_over_time": Signature((_S, _M), _V),
    "round": Signature((_V, _S), _V, optional=1),
    "time": Signature((), _S),
    "vector": Signature((_S,), _V),
    **{name: Signature((_M,), _V, experimental=True) for name in _EXPERIMENTAL_MATRIX.split()},
    **{name: Signature((), _S, experimental=True) for name in ("start", "end", "step", "range")},
    "double_exponential_smoothing": Signature((_M, _S, _S), _V, experimental=True),
    "histogram_quantiles": Signature((_V, _T, _S, _S), _V, optional=9, experimental=True),
    "info": Signature((_V, _V), _V, optional=1, experimental=True),
    "integral": Signature((_M, _S), _V, optional=1, experimental=True),
    "max_of": Signature((_S, _S), _S, experimental=True),
    "min_of": Signature((_S, _S), _S, experimental=True),
    "sort_by_label": Signature((_V, _T), _V, optional=-1, experimental=True),
    "sort_by_label_desc": Signature((_V, _T), _V, optional=-1, experimental=True),
    "start_timestamp": Signature((_V,), _V, experimental=True),
}

EXPERIMENTAL_FUNCTIONS = frozenset(name for name, signature in FUNCTIONS.items() if signature.experimental)
"""Behind `--enable-feature=promql-experimental-functions`, so a default server refuses them."""
