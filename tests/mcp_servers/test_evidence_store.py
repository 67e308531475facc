import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch_contracts.canonical import canonical_bytes
from midwatch_contracts.evidence import evidence_ref
from midwatch_mcp.errors import EvidenceError
from midwatch_mcp.evidence import PAGE_BYTES, EvidenceStore, resolve

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(value=JSON)
def test_what_is_put_is_read_back_under_the_contracts_id(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    store = EvidenceStore(tmp_path_factory.mktemp("state"))
    ref = store.put("kubernetes", "kube_get", {"kind": "Pod"}, value)
    assert ref == evidence_ref("kubernetes", "kube_get", {"kind": "Pod"}, value)
    assert store.content(ref.id) == canonical_bytes(value)
    assert hashlib.sha256(store.content(ref.id)).hexdigest() == ref.sha256
    assert len(store.content(ref.id)) == ref.bytes


@settings(max_examples=50)
@given(value=st.lists(st.text(min_size=200, max_size=2_000), max_size=80))
def test_pages_of_a_list_join_to_the_list(value: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    store = EvidenceStore(tmp_path_factory.mktemp("state"))
    ref = store.put("metrics", "metrics_query", {}, value)
    joined: list[str] = []
    page, cursor = store.read(ref.id)
    joined += page.value
    while cursor is not None:
        page, cursor = store.read(ref.id, cursor=cursor)
        assert page.start == len(joined)
        assert len(json.dumps(page.value)) < 6 * PAGE_BYTES
        joined += page.value
    assert joined == value


def test_the_same_result_of_the_same_call_is_one_evidence(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path)
    first = store.put("metrics", "metrics_query", {"query": "up"}, {"a": 1})
    assert store.put("metrics", "metrics_query", {"query": "up"}, {"a": 1}) == first
    assert store.put("metrics", "metrics_query", {"query": "down"}, {"a": 1}).id != first.id
    assert len(list((tmp_path / "blobs").iterdir())) == 1


def test_a_changed_blob_is_not_believed(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path)
    ref = store.put("metrics", "metrics_query", {}, {"value": 1})
    (tmp_path / "blobs" / ref.sha256).write_bytes(b'{"value":2}')
    with pytest.raises(EvidenceError, match="was changed on disk"):
        store.read(ref.id)


@pytest.mark.parametrize("evidence", ["ev-0000000000000000", "ev-../../../etc/passwd", "", "E7", "ev-XYZ"])
def test_an_id_that_is_none_is_refused(evidence: str, tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="no evidence"):
        EvidenceStore(tmp_path).read(evidence)


def test_pointers_follow_rfc_6901() -> None:
    document: dict[str, Any] = {"a/b": [{"m~n": 1}, 2], "": 3}
    assert resolve(document, "") == document
    assert resolve(document, "/a~1b/0/m~0n") == 1
    assert resolve(document, "/") == 3


@pytest.mark.parametrize(
    ("pointer", "told"),
    [
        ("rows", "start it with a slash"),
        ("/b", "only a"),
        ("/a/5", "2 entries"),
        ("/a/0/x", "a number"),
        ("/a/-", "2 entries"),
    ],
)
def test_a_pointer_that_leads_nowhere_says_what_is_there(pointer: str, told: str) -> None:
    with pytest.raises(EvidenceError, match=told):
        resolve({"a": [1, 2]}, pointer)


def test_a_cursor_of_another_tool_is_refused(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path)
    ref = store.put("metrics", "metrics_query", {}, [1])
    with pytest.raises(EvidenceError, match="is no cursor"):
        store.read(ref.id, cursor="0.abc")
