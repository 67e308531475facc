"""A Scale in every form that a client can ask for: as a Table, as metadata alone, and what has no such form."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()

FORMS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "a Table": ("Table", {}),
    "a Table with whole objects": ("Table", {"includeObject": "Object"}),
    "a Table without objects": ("Table", {"includeObject": "None"}),
    "a Table with a bad word for objects": ("Table", {"includeObject": "Half"}),
    "metadata": ("PartialObjectMetadata", {}),
    "a list of metadata": ("PartialObjectMetadataList", {}),
}
CONTAINER: Final = {"name": "c", "image": "nginx"}
DEPLOYMENT: Final[dict[str, Any]] = {
    "metadata": {"name": "d"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER]}},
    },
}


async def _get(api: Api, kind: str, query: dict[str, str]) -> None:
    await api.setup("POST", api.path("apps/v1", "deployments"), DEPLOYMENT)
    accept = f"application/json;as={kind};v=v1;g=meta.k8s.io"
    await api.ask("GET", api.path("apps/v1", "deployments", "d", "scale"), accept=accept, query=query)


async def _patch(api: Api, kind: str, query: dict[str, str]) -> None:
    await api.setup("POST", api.path("apps/v1", "deployments"), DEPLOYMENT)
    accept = f"application/json;as={kind};v=v1;g=meta.k8s.io"
    path = api.path("apps/v1", "deployments", "d", "scale")
    await api.ask("PATCH", path, {"spec": {"replicas": 3}}, "merge", accept=accept, query=query)


for _name, (_kind, _query) in FORMS.items():
    CASES.many(f"a Scale is read as {_name}", partial(_get, kind=_kind, query=_query))
    CASES.many(f"a Scale is patched and answered as {_name}", partial(_patch, kind=_kind, query=_query))
