"""Events in their two versions: stored as core `v1`, shown as `events.k8s.io/v1` too."""

from midwatch_lab.objects import Object


def as_events_v1(event: Object) -> Object:
    """Return a core Event as an `events.k8s.io/v1` Event."""
    renamed = {
        "reportingController": event.get("reportingComponent", ""),
        "reportingInstance": event.get("reportingInstance", ""),
        "regarding": event.get("involvedObject", {}),
        "note": event.get("message", ""),
        "deprecatedSource": event.get("source", {}),
        "deprecatedFirstTimestamp": event.get("firstTimestamp"),
        "deprecatedLastTimestamp": event.get("lastTimestamp"),
        "deprecatedCount": event.get("count"),
    }
    kept = ("metadata", "eventTime", "series", "action", "reason", "related", "type")
    return {
        "kind": "Event",
        "apiVersion": "events.k8s.io/v1",
        **{key: event[key] for key in kept if key in event},
        **{key: value for key, value in renamed.items() if value is not None},
    }
