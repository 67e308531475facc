"""A model's chat template (Jinja, as Hugging Face's `apply_chat_template` runs it), from messages to one text.

The template comes with the weights, so it is foreign code: it runs in Jinja's immutable sandbox, which gives it the
messages and nothing else. A loop without end is not among the things that a sandbox can prevent.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from jinja2 import TemplateError, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from midwatch_serving.errors import RequestError

# What Python code inside a template may raise: errors of its own are the template's word on the request.
_FAILURES = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


class TemplateSyntax(ValueError):  # noqa: N818 (turned into a ModelError, which knows the file, by the caller)
    """The template cannot be compiled."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, which refuses at the first step: its own only makes the result of a forbidden look-up empty."""

    def unsafe_undefined(self, obj: Any, attribute: str) -> NoReturn:
        """Refuse an attribute through which Python's insides could be reached."""
        raise SecurityError(f"it asks for {attribute!r} of a {type(obj).__name__}")


class ChatTemplate:
    """One compiled template.

    Raises:
        TemplateSyntax: when `source` is no template.
    """

    def __init__(self, source: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC).astimezone()) -> None:
        environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])

        def strftime_now(form: str) -> str:
            return now().strftime(form)

        environment.filters["tojson"] = _tojson
        try:
            tree = environment.parse(source)
            self._template = environment.from_string(
                source, globals={"raise_exception": _raise_exception, "strftime_now": strftime_now}
            )
        except (TemplateError, RecursionError) as error:
            raise TemplateSyntax(str(error)) from error
        names = meta.find_undeclared_variables(tree)
        self.knows_tools = "tools" in names
        """Whether it renders `tools` itself."""
        self.source = source
        self.literals = frozenset(
            node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str) and node.value
        )
        """Texts in its expressions, what it looks for among them."""

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool,
        special: Mapping[str, str],
    ) -> str:
        """Return the text of a chat; `special` are variables such as `bos_token`.

        Raises:
            RequestError: when the template refuses the messages, with its own words.
        """
        try:
            return self._template.render(
                messages=messages,
                tools=list(tools) or None,
                add_generation_prompt=add_generation_prompt,
                **special,
            )
        except SecurityError as error:
            raise RequestError(f"the model's chat template does what is not allowed: {error}") from error
        except _FAILURES as error:
            raise RequestError(
                f"the model's chat template refuses these messages: {error}", param="messages"
            ) from error


def _tojson(value: Any, indent: int | None = None, **_options: Any) -> str:
    """JSON as it is: Jinja's own filter escapes for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)
