"""The contract harness of PromQL: the same samples and the same requests, to the lab and to the original Prometheus."""

from midwatch_lab.metrics.remote_write import Data
from promql_harness.cases import Case, Cases

__all__ = ["Case", "Cases", "Data"]
