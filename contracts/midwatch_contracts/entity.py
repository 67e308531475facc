"""Entities: what a fault, a cause or a change is about (CONTRACTS §1).

As text: `Deployment/llm/chat`, `Pod/llm/chat-1[engine]`, `Node//n1`, `Tenant//acme`.
"""

import re
from dataclasses import dataclass
from typing import Any, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from midwatch_contracts.errors import VocabularyError

_PATTERN = r"^([A-Za-z][A-Za-z0-9]*)/([^/\[\]]*)/([^/\[\]]+)(?:\[([^\[\]]+)\])?$"
_TEXT = re.compile(_PATTERN)


@dataclass(frozen=True, order=True)
class Entity:
    """A thing with a kind and a name; `namespace` is empty for what has none. The cluster stands beside it."""

    kind: str
    namespace: str
    name: str
    container: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `Kind/namespace/name` or `Kind/namespace/name[container]`.

        Raises:
            VocabularyError: when the text has another form.
        """
        found = _TEXT.match(text)
        if found is None:
            raise VocabularyError(f"{text!r} is no entity: write Kind/namespace/name, for example Deployment/llm/chat")
        return cls(found[1], found[2], found[3], found[4])

    def __str__(self) -> str:
        tail = f"[{self.container}]" if self.container else ""
        return f"{self.kind}/{self.namespace}/{self.name}{tail}"

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate from text or an Entity; write text (so JSON always holds the text form)."""
        from_text = core_schema.no_info_after_validator_function(cls.parse, core_schema.str_schema())
        return core_schema.json_or_python_schema(
            json_schema=from_text,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), from_text]),
            serialization=core_schema.to_string_ser_schema(when_used="always"),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _core: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the text form."""
        return {"type": "string", "pattern": _PATTERN, "examples": ["Deployment/llm/chat", "Pod/llm/chat-1[engine]"]}
