"""Templates of rules: what they write, what is refused before, and what is said in the place of what cannot be done."""

import pytest

from midwatch_lab.metrics.errors import BadDataError, TemplateError
from midwatch_lab.metrics.templates.functions import World
from midwatch_lab.metrics.templates.template import Given, Template
from midwatch_lab.metrics.templates.values import Sample, Samples, Texts

GIVEN = Given({"pod": "a", "__name__": "x"}, 3.5, {"cluster": "lab"}, "http://lab/prometheus")


def answer(query: str) -> Samples:
    if query == "none":
        return Samples()
    if query == "(":
        raise BadDataError("1:2: parse error: unexpected end of input")
    return Samples(Sample(Texts({"pod": pod}), value) for pod, value in (("b", 2.0), ("a", 1.0)))


def fill(source: str) -> str:
    return Template.read(source).fill(GIVEN, World(1_000_000.5, GIVEN.external_url, answer), "A")


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("{{ $labels.pod }} {{ .Value }} {{ $labels.nothing }}.", "a 3.5 ."),
        ("{{ $value | humanizePercentage }} {{ humanize 1234567.0 }} {{ humanize1024 1536 }}", "350% 1.235M 1.5ki"),
        (
            "{{ humanizeDuration 3725 }} {{ toDuration 0.0015 }} {{ toTime 1.25 }}",
            "1h 2m 5s 1.5ms 1970-01-01 00:00:01.25 +0000 UTC",
        ),
        ('{{ (now | toTime).Format "2006-01-02 15:04" }}', "1970-01-12 13:46"),
        ('{{ range query "x" | sortByLabel "pod" }}{{ .Labels.pod }}={{ .Value }};{{ else }}none{{ end }}', "a=1;b=2;"),
        ('{{ range query "none" }}x{{ else }}none{{ end }} {{ query "x" | first | value }}', "none 2"),
        ("{{ if gt $value 3.0 }}high{{ else if gt $value 1.0 }}some{{ else }}low{{ end }}", "high"),
        ('{{ printf "%05.1f|%-4s|%q|%d" $value "a" "b" $value }}', '003.5|a   |"b"|%!d(float64=3.5)'),
        ('{{ reReplaceAll "(.*)-(.*)" "${2}/$1" "a-b" }} {{ match "^a" "ba" }} {{ title "a bc" }}', "b/a false A Bc"),
        ('{{ define "t" }}<{{ .arg1 }}>{{ end }}{{ template "t" (args 1 "two") }}', "<two>"),
        ("a {{- /* trimmed */ -}} b {{ externalURL }}{{ pathPrefix }}", "ab http://lab/prometheus/prometheus"),
        ("{{ $x := 1 }}{{ range 3 }}{{ if eq . 2 }}{{ break }}{{ end }}{{ $x = . }}{{ end }}{{ $x }}", "1"),
    ],
)
def test_a_template_writes_what_go_would_write(source: str, shown: str) -> None:
    assert fill(source) == shown


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{{ nope }}", "no function nope"),
        ("{{ $nope }}", r"no variable \$nope"),
        ("{{ $value", "not closed"),
        ("{{ if $value }}x", "not ended"),
        ("{{ end }}", "ends nothing"),
        ("{{ break }}", "outside of a range"),
        ("{{ }}", "a value is missing"),
        ("{{ $value | 3 }}", "behind |"),
        ('{{ "a }}', "not closed"),
        ("{{ (humanize 3 }}", "parenthesis is not closed"),
        ("{{ 3x }}", "means nothing"),
        ("\n{{ else }}", "line 2"),
        ("{{ if 1 }}" * 60 + "{{ end }}" * 60, "nested more than"),
        ("{{ " + "(" * 60 + "1" + ")" * 60 + " }}", "nested more than"),
    ],
)
def test_what_is_no_template_is_refused_with_the_line(source: str, why: str) -> None:
    with pytest.raises(TemplateError, match=why):
        Template.read(source)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ('{{ first (query "none") }}', "without samples"),
        ('{{ query "(" }}', "parse error"),
        ("{{ $value.x }}", "float64 has no field x"),
        ("{{ eq $value 1 }}", "cannot be compared"),
        ("{{ toUpper 3 }}", "a text is needed, not a int"),
        ('{{ template "nope" }}', "'nope' is not defined"),
        ('{{ reReplaceAll "(" "" "a" }}', "no pattern"),
        ("{{ humanize }}", "does not take 0 arguments"),
        ("{{ range 1000000000 }}x{{ end }}", "more than 100000 steps"),
        ('{{ define "r" }}{{ template "r" }}{{ end }}{{ template "r" }}', "more than 50 deep"),
        ('{{ range 9999 }}{{ printf "%9999d" 1 }}{{ end }}', "longer than"),
    ],
)
def test_what_cannot_be_done_is_said_in_its_place(source: str, why: str) -> None:
    shown = fill(f"before {source}")
    assert shown.startswith("<error expanding template: error executing template __alert_A: ")
    assert why in shown
