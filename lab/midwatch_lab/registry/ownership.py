"""What a write does to the owners of fields, each judged in the version of the kind in which it owns."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from midwatch_lab.errors import ConversionError
from midwatch_lab.objects import Object
from midwatch_lab.registry import managed_fields
from midwatch_lab.registry.managed_fields import Managers
from midwatch_lab.registry.typed import Comparison
from midwatch_lab.registry.upkeep import ResetFields
from midwatch_lab.registry.versions import Versions
from midwatch_lab.store.audit import Origin


def after_write(
    kinds: Versions, managers: Managers, before: Object, after: Object, *, origin: Origin, now: float
) -> Managers:
    """Return the managers after a write that is no apply, of objects in the version of the request.

    Where an owner's version cannot show them there are no owners any more, as on the original.
    """
    reset = ResetFields(kinds.resource.has_status, origin.subresource)
    compare = comparer(kinds, reset, before, after)
    try:
        for owned in managers.values():
            kinds.check(owned.api_version)
        return managed_fields.after_update(managers, compare, origin, kinds.resource.api_version, now)
    except ConversionError:
        return {}


@contextmanager
def saying(what: str) -> Generator[None]:
    """Say what failed when a conversion within does."""
    try:
        yield
    except ConversionError as error:
        raise ConversionError(f"{what}: {error}") from error


def comparer(versions: Versions, reset: ResetFields, old: Object, new: Object) -> Callable[[str], Comparison | None]:
    """Return what compares two objects as a version shows them, as far as this door writes; None for no such one."""
    known: dict[str, Comparison | None] = {}

    def compare(api_version: str) -> Comparison | None:
        if api_version not in known:
            known[api_version] = _compared(versions, reset, api_version, old, new)
        return known[api_version]

    return compare


def _compared(versions: Versions, reset: ResetFields, api_version: str, old: Object, new: Object) -> Comparison | None:
    if not versions.knows(api_version):
        return None
    with saying("failed to convert old object"):
        before = versions.shown(api_version, old) if old else {}
    with saying("failed to convert new object"):
        after = versions.shown(api_version, new)
    changes = versions.typed(api_version).compare(before, after)
    for paths in (changes.added, changes.modified, changes.removed):
        paths -= {path for path in paths if reset.covers(path)}
    return changes
