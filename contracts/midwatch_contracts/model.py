"""The base of every shape that passes between rooms."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Frozen, and closed: an unknown field is an error, since a misspelt one would otherwise be dropped in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
