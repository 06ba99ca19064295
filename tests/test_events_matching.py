"""Patterns of sources, rooms and mailboxes: what fits them, and that nobody's name keeps them busy."""

from __future__ import annotations

import re
import time

from hypothesis import given
from hypothesis import strategies as st

from archiver.events import any_of, fits


@given(st.lists(st.text("ab*?\n[", max_size=6), min_size=1, max_size=3), st.text("ab\n[", max_size=8))
def test_stars_and_marks_stand_for_others_and_all_else_for_itself(patterns: list[str], text: str) -> None:
    plain = [re.escape(each).replace(r"\*", ".*").replace(r"\?", ".") for each in patterns]
    expected = [re.compile(each, re.DOTALL).fullmatch(text) is not None for each in plain]
    assert [fits(text, each) for each in patterns] == expected
    assert (any_of(patterns).fullmatch(text) is not None) == any(expected)


def test_many_stars_and_a_name_made_for_them_take_no_time() -> None:
    began = time.perf_counter()
    assert not fits("o" * 4_000, "*o" * 8 + "x")
    assert fits("o" * 4_000 + "x", "*o" * 8 + "x")
    assert time.perf_counter() - began < 5
