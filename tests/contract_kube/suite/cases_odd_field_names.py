"""Fields whose names are odd: what the warning header and the refusal make of them."""

import json
from functools import partial
from typing import Final

from contract_harness import Api, Cases

CASES: Final = Cases()
ODD_NAMES: Final = {
    "beyond ASCII": "größe", "beyond the first plane": "a\U0001f600b", "beyond Latin": "名",
    "a control character": "a\x0cb", "a line break": "a\nb", "a tab": "a\tb", "quotes": 'a"b\\c',
    "a C1 control character": "a\x90b", "nothing": "", "a null": "a\x00b", "DEL": "a\x7fb",
}  # fmt: skip


async def odd_name(api: Api, name: str) -> None:
    body = {"metadata": {"name": "c"}, name: 1, "data": {"a": "b"}}
    await api.ask("POST", api.path("v1", "configmaps"), body, dryRun="All", fieldValidation="Warn")
    await api.ask("POST", api.path("v1", "configmaps"), body, dryRun="All", fieldValidation="Strict")


async def odd_name_twice(api: Api, name: str) -> None:
    key = json.dumps(name)
    body = f'{{"metadata": {{"name": "c"}}, {key}: 1, {key}: 2}}'.encode()
    await api.ask("POST", api.path("v1", "configmaps"), body, dryRun="All", fieldValidation="Warn")
    await api.ask("POST", api.path("v1", "configmaps"), body, dryRun="All", fieldValidation="Strict")


for what, name in ODD_NAMES.items():
    CASES.many(f"an unknown field whose name has {what}", partial(odd_name, name=name))
    CASES.many(f"a field given twice whose name has {what}", partial(odd_name_twice, name=name))


INNER: Final = {
    "an unknown object": '"zz": {"a": 1, "a": 2, "b": {"c": 1, "c": 2}}',
    "an unknown list": '"zz": [{"a": 1, "a": 2}]',
    "an unknown object beside a known map": '"zz": {"a": 1, "a": 2}, "data": {"k": "1", "k": "2"}',
    "unknown metadata": '"metadata": {"name": "c", "zz": {"a": 1, "a": 2}, "labels": {"l": "1", "l": "2"}}',
}  # fmt: skip


async def twice_within(api: Api, text: str) -> None:
    name = "" if "metadata" in text else '"metadata": {"name": "c"}, '
    body = ("{" + name + text + "}").encode()
    await api.ask("POST", api.path("v1", "configmaps"), body, dryRun="All", fieldValidation="Warn")
    await api.ask("PUT", api.path("v1", "configmaps", "c"), body, dryRun="All", fieldValidation="Strict")


for what, text in INNER.items():
    CASES.many(f"fields given twice within {what}", partial(twice_within, text=text))
