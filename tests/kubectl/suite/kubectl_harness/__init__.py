"""One kubectl on two servers: the lab and the original kube-apiserver, and what it printed on each."""

from kubectl_harness.kubectl import Done, Kubectl, tried
from kubectl_harness.servers import lab_api
from kubectl_harness.twins import Twins

__all__ = ["Done", "Kubectl", "Twins", "lab_api", "tried"]
