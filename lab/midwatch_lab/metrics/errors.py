"""The errors of the metrics room (a branch of `midwatch_lab.errors.LabError`).

MetricsError               what a client of the metrics asked for cannot be done; `kind` is Prometheus's errorType
├── BadDataError           the request is wrong: a query that does not parse, a time that is none
├── ExecutionError         the query parses and fails on the data: many-to-many matching, two series with one label set
│   └── LimitError         the answer would be larger than the limits allow
├── QueryTimeoutError      the query took longer than it may
├── OutOfOrderError        a sample is older than the series' newest
│   └── DuplicateSampleError  it is as old and different
├── IntegrityError         the store contradicts itself
├── WriteError             a remote write is refused, in the original's words; `status` is its HTTP status
│   └── CompressedError    its body is no snappy block, or a too large one
├── ScrapeError            a target cannot be scraped: its configuration, its address or a limit
│   └── ExpositionError    its page is neither the Prometheus text format nor OpenMetrics
├── RulesError             a rule file is not one that Prometheus would load, or uses what is not offered
└── TemplateError          a template of a rule cannot be read, or not be filled in
"""

from midwatch_lab.errors import LabError


class MetricsError(LabError):
    """What was asked for cannot be done; the message says what was wrong and what to do."""

    kind = "internal"


class BadDataError(MetricsError):
    """The request itself is wrong."""

    kind = "bad_data"


class ExecutionError(MetricsError):
    """The query fails on the data at hand."""

    kind = "execution"


class LimitError(ExecutionError):
    """The answer would exceed a limit."""


class QueryTimeoutError(MetricsError):
    """The query took longer than it may."""

    kind = "timeout"


class OutOfOrderError(MetricsError):
    """A sample comes too late."""


class DuplicateSampleError(OutOfOrderError):
    """A sample has another value than the one that there is at its time."""


class IntegrityError(MetricsError):
    """The store contradicts itself: a defect."""


class WriteError(MetricsError):
    """A remote write is refused."""

    status = 400


class CompressedError(WriteError):
    """A body is not the snappy block that it should be."""


class ScrapeError(MetricsError):
    """A target cannot be scraped, or its page goes beyond a limit."""


class ExpositionError(ScrapeError):
    """A page cannot be read; the message names the line."""


class RulesError(BadDataError):
    """A rule file cannot be loaded; the message names the group and the rule."""


class TemplateError(MetricsError):
    """A template is none, or what it asks for cannot be done."""
