"""Series written as text: for federation in the Prometheus format, for export in OpenMetrics with every sample."""

from collections.abc import Iterable, Iterator

from midwatch_lab.metrics.labels import LEGACY_METRIC, LEGACY_NAME, NAME
from midwatch_lab.metrics.numbers import shortest_text
from midwatch_lab.metrics.store import Series, is_stale


def federated(found: Iterable[tuple[Series, int, float]], *, utf8: bool) -> Iterator[str]:
    """Yield lines of the Prometheus format, by metric; without `utf8` odd characters of names become underscores.

    Zero has no sign there, as in the original.
    """
    shown = ""
    for series, time_ms, value in found:
        name = series.lookup[NAME]
        if not utf8:
            name = _plain(name, metric=True)
        if name != shown:
            shown = name
            yield f"# TYPE {name if LEGACY_METRIC.fullmatch(name) else _quoted(name)} untyped\n"
        labels = [pair for pair in series.labels if pair[0] != NAME]
        if not utf8:
            labels = [(_plain(label, metric=False), text) for label, text in labels]
        if "instance" not in series.lookup:
            labels.append(("instance", ""))
        yield f"{_selector(name, labels)} {shortest_text(value + 0.0)} {time_ms}\n"


def exported(found: Iterable[Series], start_ms: int, end_ms: int) -> Iterator[str]:
    """Yield OpenMetrics with every sample in a time, a piece a series, as `promtool tsdb create-blocks-from` reads it.

    No types are said: they would have bucket bounds rewritten. Staleness markers are left out: the format has none.
    """
    for series in found:
        before = _selector(series.lookup.get(NAME, ""), [pair for pair in series.labels if pair[0] != NAME])
        yield "".join(
            f"{before} {shortest_text(value)} {_seconds(at)}\n"
            for at, value in series.between(start_ms - 1, end_ms)
            if not is_stale(value)
        )
    yield "# EOF\n"


def _selector(name: str, labels: Iterable[tuple[str, str]]) -> str:
    """Return a series as both formats write it: `name{a="b"}`, or `{"odd name",a="b"}`."""
    pairs = [f"{one if LEGACY_NAME.fullmatch(one) else _quoted(one)}={_quoted(text)}" for one, text in labels]
    if LEGACY_METRIC.fullmatch(name):
        return f"{name}{{{','.join(pairs)}}}" if pairs else name
    return f"{{{','.join([_quoted(name), *pairs])}}}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    return f'"{escaped}"'


def _plain(name: str, *, metric: bool) -> str:
    kept = "_:" if metric else "_"

    def plain(place: int, one: str) -> bool:
        return one.isascii() and (one.isalpha() or one in kept or (place > 0 and one.isdigit()))

    return "".join(one if plain(place, one) else "_" for place, one in enumerate(name))


def _seconds(time_ms: int) -> str:
    """Return a time in seconds that is the same in milliseconds again, also where a reader cuts off what is behind."""
    text = f"{time_ms / 1000:.3f}"
    return text if int(float(text) * 1000) == time_ms else f"{text}5"
