import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch_contracts.cel import compile_expression
from midwatch_contracts.errors import CelError, ContractError


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ("", "the expression is empty", 0),
        ("1 +", "no CEL", 2),
        ("a & b", r"no CEL at '& b' \(column 3\)", 2),
        ("a ?\n b", "no CEL", 5),
        ("'open", "no CEL", 0),
        ("a > 1 && f(1)", "unknown function `f`: on offer are abs, ceil", 9),
        ("a.matches('(x+)+')", "unknown method `matches`", 0),
        ("min(1)", "takes 2 to 16 argument", 0),
        ("has(a)", "`has` takes one field", 0),
        ("a.all(1, true)", "`all` takes a variable and an expression", 0),
        ("duration(a)", "`duration` takes a literal", 0),
        ("duration('soon')", "no duration", None),
        ("1u + 2", "unsigned integers are not on offer", 0),
        ("b'x'", "bytes are not on offer", 0),
        ("T{a: 1}", "messages", 0),
        (".a", "does not start with a dot", 0),
        ("9007199254740993", "too large to be an exact double", 0),
        (r"'\q'", "unknown escape", 0),
        (r"'\ud800'", "is no character", 0),
        ("(" * 65 + "a" + ")" * 65, "nests deeper than 64", 0),
        ("!" * 100 + "a", "nests deeper than 64", None),
        ("a" + " + a" * 100, "nests deeper than 64", None),
        ("a" * 4097, "4097 characters", 0),
    ],
)
def test_what_is_no_expression_is_refused_with_its_place(text: str, message: str, position: int | None) -> None:
    with pytest.raises(ContractError, match=message) as caught:
        compile_expression(text)
    if position is not None:
        assert isinstance(caught.value, CelError)
        assert caught.value.position == position


def test_names_are_the_free_ones_and_paths_say_what_is_read_from_them() -> None:
    found = compile_expression("a.b.c > d && e.f[0].g == 1 && h.exists(x, x.y > i.j) && has(k.l)")
    assert found.names == {"a", "d", "e", "h", "i", "k"}
    assert found.paths == {"a.b.c", "d", "e.f", "h", "i.j", "k.l"}


@settings(deadline=None)  # the first expression imports cel-python
@given(st.text(max_size=60))
def test_any_text_compiles_or_is_refused_as_the_contract_says(text: str) -> None:
    try:
        compile_expression(text)
    except ContractError as error:
        assert str(error)  # noqa: PT017 (most texts are refused, some compile)


def test_importing_the_environment_does_not_import_cel_python() -> None:
    code = "import midwatch_contracts.cel, sys; print('celpy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
