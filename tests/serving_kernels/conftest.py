"""What the kernel tests share: the kinds of kernel that this CPU runs."""

import pytest

from midwatch_serving.kernels.cpu import KERNELS, available


@pytest.fixture(params=KERNELS)
def kind(request: pytest.FixtureRequest) -> str:
    if request.param not in available():
        pytest.skip(f"this CPU cannot run the {request.param} kernels, only: {', '.join(available()) or 'none'}")
    return str(request.param)
