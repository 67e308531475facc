"""Templates beside the original: each line of `templates/templates.txt` is filled in by both, and mutated at random.

The same mutations show that no template, however odd, breaks the one who fills it in.
"""

import json
import math
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.errors import TemplateError
from midwatch_lab.metrics.labels import from_dict
from midwatch_lab.metrics.rules import Rules
from midwatch_lab.metrics.store import Store
from midwatch_lab.metrics.templates.functions import World
from midwatch_lab.metrics.templates.template import Given, Template
from midwatch_lab.metrics.templates.values import Sample, Samples, Texts

TEMPLATES = (Path(__file__).parent / "templates" / "templates.txt").read_text().splitlines()
SERIES = {"a": [3.5, 1e6, math.nan], "b": [1.0, 0.00042, 5.0], "c": [1e15, -7.25, 123456789.0]}
GIVEN = Given({"pod": "a"}, 3.5, {}, "http://lab/prometheus")
TOKENS = (Path(__file__).parent / "templates" / "tokens.txt").read_text().splitlines()
SEEDS = st.integers(0, 2**32).map(random.Random)


def mutated(chance: random.Random) -> str:
    """Return one of the templates with up to three words or characters lost, put in or replaced."""
    text = chance.choice(TEMPLATES)
    for _ in range(chance.choice((1, 1, 2, 3))):
        words = text.split(" ")
        place = chance.randrange(len(words))
        match chance.randrange(4):
            case 0:
                words[place] = chance.choice(TOKENS)
            case 1:
                words.insert(place, chance.choice(TOKENS))
            case 2:
                del words[place]
            case _:
                at = chance.randrange(len(text) + 1)
                words = [text[:at] + chance.choice(("", *'"{}().-$|\\%')) + text[at + 1 :]]
        text = " ".join(words)
    return text


def is_template(text: str) -> bool:
    try:
        Template.read(text)
    except TemplateError:
        return False
    return True


@settings(max_examples=150)
@given(SEEDS)
def test_a_template_that_can_be_read_is_filled_in_whatever_it_says(chance: random.Random) -> None:
    samples = Samples([Sample(Texts({"pod": "b"}), 2.0)])
    for text in filter(is_template, (mutated(chance) for _ in range(5))):
        assert isinstance(Template.read(text).fill(GIVEN, World(1e6, GIVEN.external_url, lambda _: samples), "A"), str)


@pytest.mark.original
@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(SEEDS)
def test_promtool_reads_the_same_templates_mutated_at_random(
    prometheus_binaries: Path, tmp_path: Path, chance: random.Random
) -> None:
    texts = [mutated(chance) for _ in range(30)]
    paths = [tmp_path / f"{number}.yml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        rule = {"alert": "A", "expr": "x", "labels": {"a": text}}
        path.write_text(json.dumps({"groups": [{"name": "g", "rules": [rule]}]}))
    command = [str(prometheus_binaries / "promtool"), "check", "rules", "--lint=none", *map(str, paths)]
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False
    )
    said = ended.stdout.split("Checking ")[1:]
    for text, one in zip(texts, said, strict=True):
        assert is_template(text) == ("SUCCESS" in one), (text, one)


@pytest.mark.original
def test_promtool_fills_in_templates_as_we_do(prometheus_binaries: Path, tmp_path: Path) -> None:
    rules = [{"alert": f"T{number}", "expr": "x", "annotations": {"t": text}} for number, text in enumerate(TEMPLATES)]
    text = json.dumps({"groups": [{"name": "g", "rules": rules}]})
    store = Store(retention_s=math.inf)
    ours = Rules(store, Limits(), 60, {"cluster": "c1"})
    ours.replace(text)
    cases: list[object] = []
    for minute in range(3):
        for pod, values in SERIES.items():
            store.append(store.series(from_dict({"__name__": "x", "pod": pod})), minute * 60_000, values[minute])
        ours.evaluate(minute * 60.0)
        for number in range(len(TEMPLATES)):
            firing = [one for one in ours.alerts() if one.labels["alertname"] == f"T{number}"]
            expected = [{"exp_labels": one.labels, "exp_annotations": one.annotations} for one in firing]
            cases.append({"eval_time": f"{minute}m", "alertname": f"T{number}", "exp_alerts": expected})
    inputs = [
        {"series": f'x{{pod="{pod}"}}', "values": " ".join("NaN" if math.isnan(v) else repr(v) for v in values)}
        for pod, values in SERIES.items()
    ]
    test = {"interval": "1m", "external_labels": {"cluster": "c1"}, "input_series": inputs, "alert_rule_test": cases}
    (tmp_path / "rules.yml").write_text(text)
    (tmp_path / "test.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "tests": [test]}))
    command = [str(prometheus_binaries / "promtool"), "test", "rules", str(tmp_path / "test.yml")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-6000:]
    written = {one.annotations["t"] for one in ours.alerts()}
    assert not [text for text in written if "<error" in text], "a template that fails says so in our words"
