"""The plugins in the original's order: those that fill in run before an object is checked, those that refuse after."""

from collections.abc import Callable
from typing import Final

from midwatch_lab.admission import limits, pods, quota, storage
from midwatch_lab.admission.quota import Charge
from midwatch_lab.admission.request import Contents, Request

Plugin = Callable[[Request, Contents], None]

_MUTATING: Final[tuple[Plugin, ...]] = (
    limits.fill,
    pods.prioritise,
    storage.give_class,
    storage.protect,
    pods.check_runtime,
    storage.give_ingress_class,
)
_VALIDATING: Final[tuple[Plugin, ...]] = (limits.check, pods.check_global_default, storage.check_growth)


def mutate(request: Request, contents: Contents) -> None:
    """Fill in what other objects say of this one (in place).

    Raises:
        ApiError: 403.
    """
    for plugin in _MUTATING:
        plugin(request, contents)


def validate(request: Request, contents: Contents) -> list[Charge]:
    """Refuse what other objects do not allow; returns what the write uses of quotas.

    Raises:
        ApiError: 403.
    """
    for plugin in _VALIDATING:
        plugin(request, contents)
    return quota.charges(request, contents)
