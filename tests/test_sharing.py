"""Ranges of numbers, as events of several backfills are kept: the same as sets of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from archiver.spool.sharing import Range, common, merged, without

NUMBERS = st.sets(st.integers(0, 30))


def ranges(numbers: set[int]) -> list[Range]:
    return merged((each, each) for each in numbers)


@given(NUMBERS, NUMBERS)
def test_ranges_are_as_sets(some: set[int], others: set[int]) -> None:
    assert list(common(ranges(some), ranges(others))) == ranges(some & others)
    assert list(without(ranges(some), ranges(others))) == ranges(some - others)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5))))
def test_ranges_that_touch_are_one(given: list[tuple[int, int]]) -> None:
    numbers = {each for first, more in given for each in range(first, first + more + 1)}
    assert merged((first, first + more) for first, more in given) == ranges(numbers)
    assert all(left[1] + 1 < right[0] for left, right in zip(ranges(numbers), ranges(numbers)[1:], strict=False))
