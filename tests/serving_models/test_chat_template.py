"""A template is foreign code in a sandbox: it renders messages, or refuses them, and does nothing else."""

from datetime import UTC, datetime
from typing import Any

import pytest

from midwatch_serving.chat_template import ChatTemplate, TemplateSyntax
from midwatch_serving.errors import RequestError

USER: dict[str, Any] = {"role": "user", "content": "hi"}


def render(source: str, *messages: dict[str, Any], tools: tuple[Any, ...] = (), **special: str) -> str:
    template = ChatTemplate(source, now=lambda: datetime(2026, 11, 23, tzinfo=UTC))
    return template.render(messages or (USER,), tools=tools, add_generation_prompt=True, special=special)


def test_blocks_leave_no_blank_lines() -> None:
    source = (
        "{% for m in messages %}\n    {% if m.role %}\n{{ m.role }}:{{ m.content }}\n    {% endif %}\n{% endfor %}\n"
    )
    assert render(source) == "user:hi\n"


def test_variables_and_helpers_are_there() -> None:
    assert render("{{ bos_token }}{{ strftime_now('%d %b %Y') }}", bos_token="<s>") == "<s>23 Nov 2026"
    assert render("{% for m in messages %}{% continue %}{% endfor %}x{{ add_generation_prompt }}") == "xTrue"


def test_json_is_not_escaped_for_html() -> None:
    tool = {"name": "f", "about": "<a> & 'ü'"}
    assert render("{{ tools[0] | tojson }}", tools=(tool,)) == '{"name": "f", "about": "<a> & \'ü\'"}'
    assert render("{{ tools[0] | tojson(indent=1) }}", tools=({"a": 1},)) == '{\n "a": 1\n}'


def test_without_tools_the_template_sees_none() -> None:
    assert render("{{ 'tools' if tools is not none else 'none' }}") == "none"


@pytest.mark.parametrize(("source", "knows"), [("{% if tools %}x{% endif %}", True), ("{{ messages }}", False)])
def test_whether_a_template_knows_tools_is_read_from_it(source: str, *, knows: bool) -> None:
    assert ChatTemplate(source).knows_tools is knows


def test_the_template_s_own_refusal_is_a_bad_request_with_its_words() -> None:
    with pytest.raises(RequestError, match="Conversation roles must alternate") as caught:
        render("{{ raise_exception('Conversation roles must alternate') }}")
    assert (caught.value.status, caught.value.param) == (400, "messages")


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[0]['content'] + 1 }}",
        "{{ messages[0].nothing.at_all }}",
        "{{ 1 / 0 }}",
        "{{ strftime_now(5) }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ 'x' * 10 ** 18 }}",
        "{{ '{:>1000000000000000000}'.format(1) }}",
    ],
)
def test_a_template_that_fails_on_the_messages_is_a_bad_request(source: str) -> None:
    with pytest.raises(RequestError, match="chat template refuses"):
        render(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__class__.__base__ }}",
        "{{ raise_exception.__globals__ }}",
        "{{ strftime_now.__closure__ }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ '{0.__class__.__mro__}'.format(messages) }}",
        "{{ messages[0] | attr('__class__') | attr('__mro__') }}",
        "{{ messages[0].update({'role': 'system'}) }}",
        "{{ tools.append(1) }}",
        "{% for i in range(10000000) %}{% endfor %}",
    ],
)
def test_a_hostile_template_gets_at_nothing(source: str) -> None:
    with pytest.raises(RequestError):
        render(source, tools=({"name": "f"},))
    assert USER == {"role": "user", "content": "hi"}


@pytest.mark.parametrize("source", ["{% for %}", "{{", "{% include 'x' %}{% endif %}", "{{ " + "(" * 5000])
def test_what_is_no_template_is_told_at_once(source: str) -> None:
    with pytest.raises(TemplateSyntax):
        ChatTemplate(source)


def test_other_files_are_out_of_reach() -> None:
    with pytest.raises(RequestError):
        render("{% include '/etc/passwd' %}")
    with pytest.raises(RequestError):
        render("{% import 'os' as os %}")
