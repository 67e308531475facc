import pytest

from midwatch_contracts.alert import Alert
from midwatch_tsg.errors import InputError
from midwatch_tsg.inputs import resolve
from midwatch_tsg.model import Guide, Input

INPUTS = (
    Input("service", "string", 1, source="alert.labels.service"),
    Input("objective", "duration", 2, default="2s", required=False),
    Input("below", "duration", 3, default="${objective}", required=False),
    Input("share", "number", 4, default=0.5, required=False),
    Input("dry", "boolean", 5, default="false", required=False),
    Input("note", "string", 6, source="alert.annotations.note", default="none of ${service}", required=False),
)
GUIDE = Guide("g", "G", "g.md", "0" * 64, INPUTS, ())


def test_what_is_given_counts_more_than_the_alert_and_the_alert_more_than_the_default() -> None:
    alert = Alert(labels={"service": "from-alert"}, annotations={"note": "look"})
    assert resolve(GUIDE, {}, alert) == {
        "service": "from-alert", "objective": 2.0, "below": 2.0, "share": 0.5, "dry": False, "note": "look",
    }  # fmt: skip
    given = {"service": "chat", "objective": "500ms", "share": "0.25", "dry": "true"}
    assert resolve(GUIDE, given, alert) == {
        "service": "chat", "objective": 0.5, "below": 0.5, "share": 0.25, "dry": True, "note": "look",
    }  # fmt: skip
    assert resolve(GUIDE, {"service": "chat", "objective": 3})["note"] == "none of chat"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"g needs service \(or the alert's labels.service\), note .*: give them as --input"),
        ({"service": "a", "servce": "b"}, "g has no input servce: it has below, dry"),
        ({"service": "a\nb"}, "one line"),
        ({"service": ""}, "write some text"),
        ({"service": 3}, "write some text"),
        ({"service": "a", "objective": "fast"}, "`objective`: 'fast' is no duration"),
        ({"service": "a", "objective": -1}, "not negative"),
        ({"service": "a", "objective": True}, "write a number"),
        ({"service": "a", "share": "nan"}, "write a number"),
        ({"service": "a", "dry": "maybe"}, "write true or false"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_before_anything_is_called(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve(GUIDE, given)
