"""An alert as Alertmanager knows it: labels that identify it, from when, until when."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_OFFSET, _PRIME, _MASK = 14695981039346656037, 1099511628211, 2**64 - 1
_SEPARATOR = b"\xff"


def fingerprint(labels: Mapping[str, str]) -> str:
    """Return the identity of a label set in 16 hexadecimal digits: FNV-1a over its sorted names and values.

    Source: `labelSetToFingerprint` of github.com/prometheus/common/model.
    """
    found = _OFFSET
    for name in sorted(labels):
        for byte in name.encode() + _SEPARATOR + labels[name].encode() + _SEPARATOR:
            found = ((found ^ byte) * _PRIME) & _MASK
    return f"{found:016x}"


@dataclass(frozen=True)
class Alert:
    """One alert. Times are Unix seconds; it is resolved from `ends_at` on, which moves while it fires."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: float
    ends_at: float
    generator_url: str = ""
    updated_at: float = 0.0

    @property
    def fingerprint(self) -> str:
        """What makes it the same alert."""
        return fingerprint(self.labels)

    def resolved(self, now: float) -> bool:
        """Say whether it is over at a time."""
        return self.ends_at <= now


def in_order(alerts: Iterable[Alert]) -> list[Alert]:
    """Return alerts as notifications list them: by job, instance, number of labels, and the labels themselves."""
    return sorted(
        alerts,
        key=lambda alert: (
            alert.labels.get("job", ""),
            alert.labels.get("instance", ""),
            len(alert.labels),
            sorted(alert.labels.items()),
        ),
    )


def common(sets: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return the pairs that all label sets have."""
    first, *others = [dict(one) for one in sets] or [{}]
    return {name: value for name, value in sorted(first.items()) if all(one.get(name) == value for one in others)}
