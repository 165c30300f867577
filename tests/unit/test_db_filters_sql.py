"""Numbers as text must order as numbers do."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from app.db.filters_sql import ordered

numbers = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))


@given(numbers, numbers)
@example(2**53, 2**53 + 1)
@example(float(2**53), 2**53 + 1)
@example(1, 1.0)
@example(0.0, -0.0)
@example(-1, -10)
@example(-1, -1.5)
@example(10**400, 10**399)
@example(5e-324, 0)
@example(1.7976931348623157e308, 5e-324)
def test_numbers_order_as_text_as_they_do_by_value(left: float, right: float) -> None:
    assert (ordered(left) < ordered(right)) == (left < right)
    assert (ordered(left) == ordered(right)) == (left == right)


def test_strings_stay_as_they_are_and_booleans_have_two_texts() -> None:
    assert [ordered(value) for value in ("é", "", True, False)] == ["é", "", "true", "false"]
