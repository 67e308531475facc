"""One template of a rule, read once and filled in for each alert."""

from collections.abc import Mapping
from dataclasses import dataclass

from midwatch_lab.metrics.errors import MetricsError, TemplateError
from midwatch_lab.metrics.templates.execute import execute
from midwatch_lab.metrics.templates.functions import NAMES, PURE, World, of_world
from midwatch_lab.metrics.templates.go_functions import GO_FUNCTIONS, LAZY
from midwatch_lab.metrics.templates.nodes import Text, Tree
from midwatch_lab.metrics.templates.parser import parse
from midwatch_lab.metrics.templates.values import NOTHING, Texts, Value, text

_FUNCTIONS = NAMES | LAZY | GO_FUNCTIONS.keys()
_VARIABLES = {
    "Labels": "$labels",
    "ExternalLabels": "$externalLabels",
    "ExternalURL": "$externalURL",
    "Value": "$value",
}


@dataclass(frozen=True)
class Given:
    """What a template is filled in with: `.Labels`, `.Value`, …, and `$labels`, `$value`, …."""

    labels: Mapping[str, str]
    value: float
    external_labels: Mapping[str, str]
    external_url: str

    def field(self, name: str) -> Value:
        """Return a field by the name that it has in templates."""
        match name:
            case "Labels":
                return Texts(self.labels)
            case "ExternalLabels":
                return Texts(self.external_labels)
            case "ExternalURL":
                return self.external_url
            case "Value":
                return self.value
            case _:
                return NOTHING

    def __str__(self) -> str:
        return "{" + " ".join(text(self.field(name)) for name in _VARIABLES) + "}"


@dataclass(frozen=True)
class Template:
    """A template that was read."""

    tree: Tree

    @classmethod
    def read(cls, source: str) -> "Template":
        """Read a template.

        Raises:
            TemplateError: when Prometheus would not load it.
        """
        return cls(parse(source, _FUNCTIONS, _VARIABLES.values()))

    def fill(self, given: Given, world: World, alert: str) -> str:
        """Return the text for one alert of this name; what cannot be done is said in its place, as Prometheus does."""
        if all(isinstance(node, Text) for node in self.tree.body):
            return "".join(node.text for node in self.tree.body if isinstance(node, Text))
        variables = {variable: given.field(name) for name, variable in _VARIABLES.items()}
        try:
            return execute(self.tree, {**GO_FUNCTIONS, **PURE, **of_world(world)}, given, variables)
        except TemplateError as error:
            return f"<error expanding template: error executing template __alert_{alert}: {error}>"
        except MetricsError as error:
            return f"<error expanding template: error executing template __alert_{alert}: query: {error}>"
