"""How the cases went, for the one line at the end, which `make contract-kube` counts alike."""

from typing import Final

from contract_harness.tally import Tally

NAMED_MAX: Final = 10
PASSED_MIN: Final = 600
SHARE_MIN: Final = 0.8
"""Of the queries, how many must have an answer that is not empty."""
TALLY: Final = Tally("contract promql", NAMED_MAX)
"""Of this run of pytest."""
