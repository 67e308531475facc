"""The reviewed table of requests: whole, closed, and as strict as a reviewer of security would have it."""

from pathlib import Path

import pytest

from midwatch_mcp.safe_apply import classification_rows
from midwatch_mcp.safe_apply.classification import Row, hazards, kinds, table, verdict
from midwatch_mcp.safe_apply.classification_rows import NOT_REVIEWED, merged, written

WRITES = ("create", "update", "patch", "delete", "deletecollection")
NEVER = (
    *("secrets", "serviceaccounts", "serviceaccounts/token", "nodes/proxy", "nodes/status", "services/proxy"),
    *("pods/attach", "pods/portforward", "pods/ephemeralcontainers", "pods/binding", "bindings", "endpoints", "events"),
    *("namespaces/finalize", "persistentvolumes", "endpointslices.discovery.k8s.io", "leases.coordination.k8s.io"),
    *("roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io"),
    *("clusterroles.rbac.authorization.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io"),
    *("mutatingwebhookconfigurations.admissionregistration.k8s.io", "apiservices.apiregistration.k8s.io"),
    *("validatingwebhookconfigurations.admissionregistration.k8s.io",),
    *("customresourcedefinitions.apiextensions.k8s.io", "certificatesigningrequests.certificates.k8s.io/approval"),
)


def test_the_file_is_as_its_writer_would_write_it() -> None:
    assert classification_rows.PATH.read_text("utf-8") == written(table())


def test_every_row_is_reviewed_and_every_verb_has_one_class() -> None:
    for name, row in table().items():
        assert NOT_REVIEWED not in row.why, name
        listed = [*row.read, *row.change, *row.dangerous, *row.forbidden]
        assert len(listed) == len(set(listed)), name
        assert row.why or not {*row.change, *row.dangerous, *row.forbidden} & set(WRITES), name


def test_no_write_is_called_a_read() -> None:
    reviews = {name for name in table() if "reviews." in name}
    for name, row in table().items():
        assert name in reviews or not set(row.read) & {*WRITES, "connect"}, name


@pytest.mark.parametrize("name", NEVER)
def test_what_gives_rights_or_code_is_never_written(name: str) -> None:
    row = table()[name]
    assert not row.change
    assert not row.dangerous
    assert {row.of(verb) for verb in WRITES} == {"forbidden"}


def test_no_collection_is_deleted_and_no_status_is_written() -> None:
    for name, row in table().items():
        assert row.of("deletecollection") == "forbidden"
        if name.endswith("/status"):
            assert {row.of(verb) for verb in WRITES} == {"forbidden"}, name


@pytest.mark.parametrize("verb", ["bind", "escalate", "impersonate", "connect", "PATCH", "", "*"])
def test_a_verb_that_nobody_has_reviewed_is_forbidden(verb: str) -> None:
    assert verdict(verb, "apps", "Deployment").risk == "forbidden"


@pytest.mark.parametrize(
    ("group", "kind"),
    [("example.com", "Deployment"), ("", "Deployment"), ("apps", "deployment"), ("apps/v1", "Deployment")],
)
def test_a_kind_under_another_name_or_group_is_forbidden(group: str, kind: str) -> None:
    assert verdict("patch", group, kind).risk == "forbidden"
    assert verdict("patch", "apps", "Deployment").risk == "change"


def test_new_rows_and_verbs_come_in_as_forbidden_until_somebody_reviews_them() -> None:
    known = {"pods": Row(kind="Pod", change=("patch",), why="known"), "gone": Row(kind="Gone", change=("patch",))}
    there = {
        "pods": ("Pod", frozenset({"patch", "evict"})),
        "robots.example.com": ("Robot", frozenset({"patch", "get"})),
    }
    rows = merged(known, there)
    assert set(rows) == set(there)
    assert (rows["pods"].of("patch"), rows["pods"].of("evict")) == ("change", "forbidden")
    assert NOT_REVIEWED in rows["pods"].why
    assert rows["robots.example.com"] == Row(kind="Robot", forbidden=("get", "patch"), why=NOT_REVIEWED)


def test_hazards_are_named_once_and_say_why() -> None:
    known = hazards()
    for section in (known.fields, known.flags, known.environment):
        assert all(hazard.why for hazard in section.values())
    assert not known.user_keys & set(known.fields)
    text = (classification_rows.PATH.parent / "hazards.yaml").read_text("utf-8").partition("\nflags:")[0]
    for name in known.fields:
        assert text.count(f"{{name: {name}, ") == 1, name


def test_every_kind_of_the_table_is_found_by_its_group() -> None:
    assert kinds()["apps", "Deployment"] == "deployments.apps"
    assert kinds()["", "Pod"] == "pods"
    assert len(kinds()) == sum("/" not in name for name in table())


def test_the_file_lies_in_the_package() -> None:
    assert Path(classification_rows.PATH).is_file()
