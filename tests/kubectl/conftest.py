"""A kubectl on the lab and on the original, side by side; and one on a lab whose pods are small processes."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract_harness.original import running
from kubectl_harness import Kubectl, Twins, lab_api

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def servers(
    kubectl: Path, original_binaries: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Kubectl, Kubectl]]:
    """The lab's API without controllers, and the original without them."""
    folder = tmp_path_factory.mktemp
    with lab_api(folder("lab")) as lab, running(original_binaries, folder("original")) as url:
        yield (
            Kubectl.at(kubectl, folder("home"), lab.url, lab.tokens["admin"]),
            Kubectl.at(kubectl, folder("home"), url, "t-admin"),
        )


@pytest.fixture(scope="module")
def both(servers: tuple[Kubectl, Kubectl]) -> Twins:
    """Runs a command on both, in a namespace of the module's own."""
    namespace = f"kubectl-{next(_NUMBERS)}"
    lab, original = servers
    twins = Twins(lab.within(namespace), original.within(namespace))
    twins("create", "namespace", namespace)
    return twins
