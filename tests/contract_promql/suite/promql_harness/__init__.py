"""The contract harness of PromQL: the same samples and the same requests, to the lab and to the original Prometheus."""

from promql_harness.cases import Case, Cases
from promql_harness.remote_write import Data

__all__ = ["Case", "Cases", "Data"]
