"""The spool's pure parts: identity, packing, pace, watermark, what may be forgotten."""

from __future__ import annotations

import pytest
from builders import event, say
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from archiver.events import SECOND, Attachment, Poll
from archiver.spool import FOREVER, Feed, Pace, watermark
from archiver.spool.forgetting import Covered, floor_of
from archiver.spool.identity import digest, key, serial
from archiver.spool.packing import pack_mask, pack_numbers, unpack_mask, unpack_numbers

HOUR = 3600 * SECOND


@given(st.lists(st.integers(1, 2**62), max_size=50))
def test_numbers_come_back(numbers: list[int]) -> None:
    assert unpack_numbers(pack_numbers(numbers)) == tuple(numbers)


def test_numbers_near_each_other_are_small() -> None:
    assert len(pack_numbers(range(10**9, 10**9 + 200))) == 209


@given(st.integers(1, 1000), st.data())
def test_masks_come_back(events: int, data: st.DataObject) -> None:
    mask = data.draw(st.integers(0, (1 << events) - 1))
    assert unpack_mask(pack_mask(mask, events), events) == mask


def test_a_view_of_everything_costs_nothing() -> None:
    assert pack_mask(0b111, 3) is None


def test_source_and_id_never_run_together() -> None:
    assert key("a", "bc") != key("ab", "c")
    assert key("1:a", "b") != key("a", "1:b")


@pytest.mark.parametrize(
    ("identifier", "number"),
    [
        ("m00000123", 123),
        ("1400000000.000100", 1_400_000_000_000_100),
        ("9" * 40, 10**18 - 1),
        ("a1b2-c3d4e", 0),
        ("...", 0),
        ("٣", 0),
        ("", 0),
    ],
)
def test_the_serial_of_an_id_is_the_number_it_ends_in(identifier: str, number: int) -> None:
    assert serial(identifier) == number


@given(st.text(st.sampled_from("0123456789.a٣²")))
def test_every_serial_fits_a_column(identifier: str) -> None:
    assert 0 <= serial(identifier) < 1 << 63


def changed(**data: object) -> int:
    base = say("ann@x", "hello", 1, id="m1", to=["bob@x"])
    record = replace(base.event, data=replace(base.event.data, **data))
    return digest(record, base.time)


def test_names_topics_and_urls_are_not_compared() -> None:
    same = changed()
    base = say("ann@x", "hello", 1, id="m1", to=["bob@x"]).event.data
    assert base.actor is not None
    assert base.message is not None
    assert base.message.to is not None
    assert changed(actor=replace(base.actor, name="Somebody")) == same
    assert changed(conversation=replace(base.conversation, topic="Other", participants=(base.actor,))) == same
    assert changed(message=replace(base.message, to=(replace(base.message.to[0], name="Bobby"),))) == same
    assert changed(message=replace(base.message, thread="t", language="de", in_reply_to="m0")) == same


def test_content_is_compared() -> None:
    base = say("ann@x", "hello", 1, id="m1", to=["bob@x"]).event.data
    assert base.actor is not None
    assert base.message is not None
    variants = [
        changed(),
        changed(actor=replace(base.actor, address="other@x")),
        changed(conversation=replace(base.conversation, id="elsewhere")),
        changed(message=replace(base.message, id="m2")),
        changed(message=replace(base.message, text="hullo")),
        changed(message=replace(base.message, html="<b>hello</b>")),
        changed(message=replace(base.message, to=None)),
        changed(attachments=(Attachment(sha256="ab"),)),
        changed(poll=Poll(id="p", choice="yes")),
        changed(poll=Poll(id="p", choice="no")),
    ]
    assert len(set(variants)) == len(variants)


def test_time_is_compared_to_the_millisecond() -> None:
    captured = event("message.sent", 1, "ann@x")
    assert digest(captured.event, 1_000_400) == digest(captured.event, 1_000_999)
    assert digest(captured.event, 1_000_999) != digest(captured.event, 1_001_000)


@given(st.floats(1e-7, 1e-3), st.booleans())
def test_pace_settles_below_its_goal(seconds_a_row: float, alone: bool) -> None:
    pace = Pace(alone=alone)
    held = 0.0
    for _ in range(60):
        held = 0.001 + pace.rows * seconds_a_row
        pace.measured(pace.rows, held)
    assert pace.rows == 16 or pace.rows * seconds_a_row <= (0.250 if alone else 0.020)


def test_pace_shrinks_at_once_and_grows_slowly() -> None:
    pace = Pace(alone=False)
    pace.measured(200, 0.200)
    assert pace.rows <= 20
    pace.measured(pace.rows, 0.0001)
    assert pace.rows <= 35


def test_pace_ignores_a_small_last_batch() -> None:
    pace = Pace(alone=True)
    rows = pace.rows
    pace.measured(3, 0.002)
    assert pace.rows <= rows


def feed(kind: str, state: str = "open", contact: int | None = None) -> Feed:
    return Feed(1, kind, kind, state, False, 10 * HOUR, contact, None, None, None)  # type: ignore[arg-type]


def test_an_open_import_holds_everything_back() -> None:
    assert watermark([feed("import")], None, 20 * HOUR, 0).time is None
    assert watermark([feed("import", "closed")], None, 20 * HOUR, 0).time == FOREVER


def test_a_live_feed_that_is_up_counts_the_clock() -> None:
    now = 20 * HOUR
    mark = watermark([], feed("live", contact=now - 90 * SECOND), now, 120 * SECOND)
    assert mark.time == now - 120 * SECOND
    assert not mark.warning


def test_a_live_feed_that_is_down_stands_for_an_hour_then_goes_on() -> None:
    contact = 20 * HOUR
    down = watermark([], feed("live", contact=contact), contact + 91 * SECOND, 5)
    assert (down.time, down.warning) == (contact - 5, "")
    assert watermark([], feed("live", contact=contact), contact + HOUR, 5).time == contact - 5
    late = watermark([], feed("live", contact=contact), contact + HOUR + 1, 5)
    assert late.time == contact + HOUR + 1 - 5
    assert "silent since" in late.warning


def test_a_live_feed_never_heard_stands_at_its_opening() -> None:
    assert watermark([], feed("live"), 10 * HOUR + 200 * SECOND, 0).time == 10 * HOUR


def covered(first: int, last: int, *, done: bool = True, part: int = 1) -> Covered:
    return Covered(first, first, last, part, done, ())


def test_nothing_at_or_after_what_is_unfinished_is_forgotten() -> None:
    assert floor_of([covered(1, 5), covered(10, 15, done=False), covered(20, 25)], 100) == 10


def test_a_filing_is_never_cut() -> None:
    # The first one has a reference at 12, behind the start of the unfinished one.
    assert floor_of([covered(1, 12), covered(10, 15, done=False)], 100) == 1
    assert floor_of([covered(1, 12)], 5) == 1


def test_a_later_part_keeps_the_earlier_ones() -> None:
    parts = [covered(1, 5), covered(10, 14), covered(15, 19, part=2), covered(20, 24, part=3, done=False)]
    assert floor_of(parts, 100) == 10


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20), st.booleans()), max_size=12),
    st.integers(0, 60),
)
def test_the_floor_cuts_no_filing_and_spares_the_unfinished(found: list[tuple[int, int, bool]], limit: int) -> None:
    filings = [covered(first, first + length, done=done) for first, length, done in found]
    floor = floor_of(filings, limit)
    assert floor <= limit
    for filing in filings:
        assert filing.last < floor or filing.first >= floor
        assert filing.done or filing.first >= floor
