"""Entities are text between rooms; mechanisms are one closed vocabulary (CONTRACTS §1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from midwatch_contracts.causes import Cause, capped
from midwatch_contracts.entity import Entity
from midwatch_contracts.errors import VocabularyError
from midwatch_contracts.mechanisms import mechanism, mechanisms, refines

NAME = st.from_regex(r"[a-z0-9.:-]{1,20}", fullmatch=True)


@given(st.from_regex(r"[A-Z][A-Za-z]{0,10}", fullmatch=True), NAME | st.just(""), NAME, st.none() | NAME)
def test_an_entity_is_read_back_from_its_text(kind: str, namespace: str, name: str, container: str | None) -> None:
    entity = Entity(kind, namespace, name, container)
    assert Entity.parse(str(entity)) == entity


@pytest.mark.parametrize("text", ["", "Pod", "Pod/x", "Pod/a/b/c", "Pod/a/", "/a/b", "Pod/a/b[]"])
def test_text_that_is_no_entity_is_refused_with_the_form_to_write(text: str) -> None:
    with pytest.raises(VocabularyError, match="Kind/namespace/name"):
        Entity.parse(text)


def test_an_entity_is_its_text_in_json() -> None:
    adapter = TypeAdapter(Entity)
    assert adapter.dump_json(Entity("Node", "", "n1")) == b'"Node//n1"'
    assert adapter.validate_json('"Pod/llm/chat-1[engine]"') == Entity("Pod", "llm", "chat-1", "engine")


def test_every_mechanism_that_the_design_names_is_there() -> None:
    assert {
        "serving.kv_cache_too_small",
        "serving.too_few_replicas",
        "serving.capacity",
        "k8s.image_pull_failed",
    } <= set(mechanisms())


def test_a_parent_is_less_exact_and_still_right() -> None:
    assert refines("serving.kv_cache_too_small", "serving.capacity")
    assert not refines("serving.capacity", "serving.kv_cache_too_small")


def test_an_unknown_mechanism_is_refused_naming_its_neighbours() -> None:
    with pytest.raises(VocabularyError, match=r"serving\.kv_cache_too_small"):
        mechanism("serving.kv_too_small")


def test_a_cause_cannot_name_a_mechanism_outside_the_vocabulary() -> None:
    with pytest.raises(ValidationError, match="unknown mechanism"):
        Cause.model_validate(
            {"mechanism": "serving.gremlins", "entity": "Pod/a/b", "confidence": "likely", "evidence": []}
        )


def test_certain_needs_two_independent_channels() -> None:
    assert capped("certain", ["metrics_query", "kube_rollout"]) == "certain"
    assert capped("certain", ["metrics_query", "metrics_range"]) == "likely"
    assert capped("likely", ["kube_logs"]) == "likely"
    assert capped("likely", []) == "possible"
