"""Annotations that several servers share: text from outside, and arguments with one form."""

from typing import Annotated, Any

from pydantic import Field
from pydantic.config import JsonDict

UNTRUSTED: JsonDict = {"x-untrusted": True}
"""Marks a field of an output schema that carries text from outside (CONTRACTS §3)."""

Outside = Annotated[str, Field(json_schema_extra=UNTRUSTED)]
"""Text from outside: a log line, an annotation, an event, alert or model text."""

OutsideJson = Annotated[Any, Field(json_schema_extra=UNTRUSTED)]
"""JSON from outside, any text within it included."""

Number = float | str
"""A sample: a number, or `NaN`, `+Inf`, `-Inf` as text (CONTRACTS §2)."""

Namespace = Annotated[str, Field(pattern=r"^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$", description="namespace")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9:._-]{0,251}[A-Za-z0-9])?$", description="object name")]
Kind = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z][A-Za-z0-9-]{0,62}(?:\.[a-z0-9.-]{1,120})?$",
        description="kind, plural or short name; .group where two share it",
    ),
]
Selector = Annotated[str, Field(pattern=r"^[A-Za-z0-9 ._/=!,()-]{1,500}$", description="as kubectl -l, e.g. app=chat")]
FieldSelector = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9 ._/=!,:-]{1,500}$", description="as kubectl --field-selector")
]
