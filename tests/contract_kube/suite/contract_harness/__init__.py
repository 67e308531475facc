"""The contract harness: one function a case, run on the lab and on the original kube-apiserver, and compared."""

from contract_harness.api import Answer, Api, Watching
from contract_harness.cases import Case, Cases, objects

__all__ = ["Answer", "Api", "Case", "Cases", "Watching", "objects"]
