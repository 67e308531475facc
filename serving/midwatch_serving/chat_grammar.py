"""From a response format to the grammar that binds the answer's text."""

from midwatch_serving.constraints import Grammar
from midwatch_serving.errors import RequestError
from midwatch_serving.intake import ANY_OBJECT, json_schema, structured
from midwatch_serving.protocol import StructuredOutputs
from midwatch_serving.protocol_chat import ResponseFormat


def answer_grammar(form: ResponseFormat | None, outputs: StructuredOutputs | None, *, param: str) -> Grammar | None:
    """Return what binds the text, by the response format (the request's field `param`) or by `structured_outputs`.

    Raises:
        RequestError: when both are given, or one is no good.
    """
    if form is None or form.type == "text":
        return structured(outputs)
    if outputs is not None:
        raise RequestError(f"give one of `{param}` and `structured_outputs`", param="structured_outputs")
    if form.json_schema is None:
        return json_schema(ANY_OBJECT, param)
    place = f"{param}.schema" if param == "text.format" else f"{param}.json_schema.schema"
    return json_schema(form.json_schema.schema_, place, strict=form.json_schema.strict is not False)
