"""The spool: append, order, leases, feeds, journal. Files, forgetting and locks have their own modules."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from builders import BASE, event, say
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from archiver.events import SECOND, Captured, Outcome, capture
from archiver.exceptions import EnvironmentFault, InUse, UsageError
from archiver.spool import FOREVER, Spool, identity
from archiver.types import Delivery, DeliveryState, Destination, Filing, Lease

START = BASE * SECOND
HOUR = 3600 * SECOND
IDLE, LATENESS = 600 * SECOND, 120 * SECOND


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool.open(tmp_path / "data", patience=1.0) as opened:
        yield opened


def fill(spool: Spool, *events: Captured, name: str = "import") -> int:
    """An import that brought these events and is at its end."""
    feed = spool.open_feed(name, "import", now=START).number
    spool.append(events, feed, now=START)
    spool.close_feed(feed, START)
    return feed


def only(leases: Sequence[Lease]) -> Lease:
    assert len(leases) == 1
    return leases[0]


def read(spool: Spool, lease: Lease) -> list[str]:
    return [captured.event.id for captured in spool.events(lease.place, lease.upto)]


# Append


def test_the_same_events_again_change_nothing(spool: Spool) -> None:
    feed = spool.open_feed("f", "import").number
    events = [say("ann@x", "one", 1), say("bob@x", "two", 2)]
    assert spool.append(events, feed).accepted == 2
    again = spool.append([*reversed(events)], feed)
    assert (again.accepted, again.duplicates, again.conflicts) == (0, 2, 0)
    assert again.outcomes == (Outcome.DUPLICATE, Outcome.DUPLICATE)
    assert spool.totals().spooled == 2


def test_a_duplicate_within_one_batch(spool: Spool) -> None:
    feed = spool.open_feed("f", "import").number
    one, two = say("ann@x", "one", 1), say("ann@x", "two", 2)
    result = spool.append([one, two, one], feed)
    assert result.outcomes == (Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.DUPLICATE)


def test_a_time_that_nobody_can_mean_is_the_same_whenever_it_comes(spool: Spool) -> None:
    """Another stands in its place each time: that of its receipt."""

    def told(time: str, received: int, text: str = "hello") -> Captured:
        said = json.loads(say("ann@x", text, 1, id="m").body)
        return capture(json.dumps(said | {"time": time}).encode(), received=START + received * SECOND)

    feed = spool.open_feed("f", "import").number
    first, again = told("0001-01-01T00:00:00Z", 1), told("0001-01-01T00:00:00Z", 90)
    assert first.time != again.time
    assert spool.append([first], feed).outcomes == (Outcome.CLEANED,)
    assert spool.append([again], feed).outcomes == (Outcome.DUPLICATE,)
    others = [told("0002-01-01T00:00:00Z", 99), told("0001-01-01T00:00:00Z", 99, "other")]
    assert spool.append(others, feed).outcomes == (Outcome.CONFLICT, Outcome.CONFLICT)


def test_other_content_under_one_identity_is_kept_aside_once(spool: Spool) -> None:
    feed = spool.open_feed("f", "import").number
    first, second = say("ann@x", "one", 1, id="m"), say("ann@x", "other", 1, id="m")
    spool.append([first], feed)
    assert spool.append([second], feed).outcomes == (Outcome.CONFLICT,)
    assert spool.append([second, first], feed).outcomes == (Outcome.DUPLICATE, Outcome.DUPLICATE)
    conflict = spool.conflicts()[0]
    assert (conflict.kept, conflict.other) == (first.body, second.body)
    spool.close_feed(feed, START)
    lease = only(spool.claim(START, 9))
    assert [captured.body for captured in spool.events(lease.place, lease.upto)] == [first.body]


def test_a_conflict_within_one_batch_keeps_the_first(spool: Spool) -> None:
    feed = spool.open_feed("f", "import").number
    variants = [say("ann@x", f"text {n}", 1, id="m") for n in range(8)]
    result = spool.append(variants, feed)
    assert result.outcomes == (Outcome.ACCEPTED, *[Outcome.CONFLICT] * 7)
    assert {conflict.kept for conflict in spool.conflicts()} == {variants[0].body}


def test_the_same_id_of_another_source_is_another_event(spool: Spool) -> None:
    feed = spool.open_feed("f", "import").number
    assert spool.append([say("a@x", "t", 1, id="m"), say("a@x", "t", 1, id="m", source="b")], feed).accepted == 2


def test_an_unknown_feed_is_the_callers_mistake(spool: Spool) -> None:
    with pytest.raises(UsageError):
        spool.append([say("a@x", "t", 1)], 99)
    assert spool.totals().spooled == 0


def test_what_is_appended_survives_without_closing(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    feed = spool.open_feed("f", "import").number
    spool.append([say("ann@x", "one", 1)], feed)
    with Spool.open(tmp_path) as other:
        assert other.totals().spooled == 1
    spool.close()


def test_numbers_are_never_given_again(spool: Spool) -> None:
    feed = spool.open_feed("f", "import").number
    spool.append([say("ann@x", "one", 1)], feed)
    spool._connections.db.execute("DELETE FROM event")
    spool.append([say("ann@x", "two", 2)], feed)
    assert spool._connections.db.execute("SELECT n FROM event").fetchall() == [(2,)]


def test_journal_mode_and_durability(spool: Spool) -> None:
    db = spool._connections.db
    pragmas = {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}
    assert db.execute("PRAGMA foreign_keys").fetchone()[0] == 1


def test_a_shrunk_spool_keeps_few_pages(spool: Spool) -> None:
    def cache() -> int:
        kib: int = -spool._connections.db.execute("PRAGMA cache_size").fetchone()[0]
        return kib

    before = cache()
    spool.shrink()
    assert cache() <= before / 4


# Order


def test_order_is_time_then_sequence_absent_first_then_id(spool: Spool) -> None:
    fill(
        spool,
        event("x", 5, id="z", sequence="02"),
        event("x", 5, id="b", sequence="10"),
        event("x", 5, id="é"),
        event("x", 5, id="z2"),
        event("x", 5, id="a", sequence="10"),
        event("x", 4, id="last of all", sequence="99"),
    )
    assert read(spool, only(spool.claim(START, 1))) == ["last of all", "z2", "é", "z", "a", "b"]


@settings(max_examples=examples(25))
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([None, "1", "2"])), min_size=1, max_size=40), st.data())
def test_paging_keeps_order_and_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, found: list[tuple[int, str | None]], data: st.DataObject
) -> None:
    from archiver.spool import reading

    events = [event("x", at, id=f"{n:03}", sequence=sequence) for n, (at, sequence) in enumerate(found)]
    shuffled = data.draw(st.permutations(events))
    rows, fetch = reading._ROWS, reading._FETCH
    reading._ROWS, reading._FETCH = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 3))
    try:
        with Spool.open(tmp_path_factory.mktemp("data")) as spool:
            fill(spool, *shuffled)
            assert read(spool, only(spool.claim(START, 1))) == [
                captured.event.id for captured in sorted(events, key=reading.order)
            ]
    finally:
        reading._ROWS, reading._FETCH = rows, fetch


def test_reading_stops_at_the_claims_number_and_starts_at_a_time(spool: Spool) -> None:
    feed = fill(spool, say("a@x", "1", 1, id="1"), say("a@x", "2", 2, id="2"))
    lease = only(spool.claim(START, 1))
    spool.append([say("a@x", "late", 1.5, id="late")], feed)
    assert read(spool, lease) == ["1", "2"]
    since = (BASE + 2) * SECOND
    assert [c.event.id for c in spool.events(lease.place, 99, since=since)] == ["2"]


def test_an_event_comes_back_as_it_was(spool: Spool) -> None:
    captured = say("ann@x", "with\u2028odd \U0001f600 text", 1)
    fill(spool, captured)
    lease = only(spool.claim(START, 1))
    assert list(spool.events(lease.place, lease.upto)) == [replace(captured, number=1)]


# Leases


def test_a_live_event_makes_its_place_due_after_idle_and_lateness(spool: Spool) -> None:
    feed = spool.open_feed("smtp", "live").number
    spool.append([say("a@x", "t", 100)], feed, live=True)
    due = START + 100 * SECOND + IDLE + LATENESS
    assert spool.claim(due - 1, 9) == []
    assert len(spool.claim(due, 9)) == 1


def test_an_end_makes_it_due_after_lateness_alone(spool: Spool) -> None:
    feed = spool.open_feed("smtp", "live").number
    spool.append([say("a@x", "t", 100), event("conversation.ended", 101)], feed, live=True)
    assert len(spool.claim(START + 101 * SECOND + LATENESS, 9)) == 1


def test_a_date_in_the_future_counts_from_its_receipt(spool: Spool) -> None:
    feed = spool.open_feed("smtp", "live").number
    spool.append([say("a@x", "t", 10**8, received=100)], feed, live=True)
    assert len(spool.claim(START + 100 * SECOND + IDLE + LATENESS, 9)) == 1


def test_a_place_is_claimed_by_one_only(spool: Spool) -> None:
    fill(spool, *[say("a@x", "t", n, room=f"r{n}") for n in range(200)])
    claimed: list[int] = []

    def work() -> None:
        while leases := spool.claim(START, 7, owner="me"):
            claimed.extend(lease.place for lease in leases)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == list(range(1, 201))


def test_a_lease_expires_unless_extended(spool: Spool) -> None:
    fill(spool, say("a@x", "t", 1))
    lease = only(spool.claim(START, 9, lease=60 * SECOND))
    lease = only(spool.extend([lease], START + 50 * SECOND, lease=60 * SECOND))
    assert spool.claim(START + 100 * SECOND, 9) == []
    stolen = only(spool.claim(START + 200 * SECOND, 9, owner="other"))
    assert spool.extend([lease], START + 200 * SECOND) == []
    assert not spool.finish_place(lease, None)
    assert spool.finish_place(stolen, None)


def test_finishing_sets_when_it_is_due_again(spool: Spool) -> None:
    fill(spool, say("a@x", "t", 1))
    assert spool.finish_place(only(spool.claim(START, 9)), START + HOUR)
    assert spool.claim(START + HOUR - 1, 9) == []
    lease = only(spool.claim(START + HOUR, 9))
    assert lease.attempts == 1
    spool.finish_place(lease, None)
    assert spool.claim(START + 10**6 * HOUR, 9) == []


def test_what_comes_during_the_work_is_not_forgotten(spool: Spool) -> None:
    feed = spool.open_feed("smtp", "live").number
    spool.append([say("a@x", "t", 1)], feed, live=True)
    lease = only(spool.claim(START + HOUR, 9))
    spool.append([say("a@x", "more", 2)], feed, live=True)
    assert spool.claim(START + HOUR, 9) == []
    spool.finish_place(lease, None)
    assert read(spool, only(spool.claim(START + HOUR, 9))) == ["m-1-a@x", "m-2-a@x"]


def test_a_released_place_is_as_before(spool: Spool) -> None:
    fill(spool, say("a@x", "t", 1))
    lease = only(spool.claim(START, 9))
    assert spool.release([lease]) == 1
    assert only(spool.claim(START, 9)).attempts == 1


def test_a_failing_place_waits_longer_each_time_and_new_events_dont_hurry_it(spool: Spool) -> None:
    fill(spool, say("a@x", "t", 1))
    first = spool.retry_place(only(spool.claim(START, 9)), "broken", START)
    assert first == START + 10 * SECOND
    live = spool.open_feed("smtp", "live").number
    spool.append([say("a@x", "more", -5000)], live, live=True)
    assert spool.claim(first - 1, 9) == []
    lease = only(spool.claim(first, 9))
    assert spool.retry_place(lease, "broken", first) == first + 40 * SECOND


def test_a_parked_place_waits_for_a_person(spool: Spool) -> None:
    fill(spool, say("a@x", "t", 1))
    spool.park_place(only(spool.claim(START, 9)), "no idea", START)
    live = spool.open_feed("smtp", "live").number
    spool.append([say("a@x", "more", 2)], live, live=True)
    assert spool.claim(START + 100 * HOUR, 9) == []
    parked = spool.parked_places()
    assert [(each.conversation, each.reason) for each in parked] == [("room", "no idea")]
    assert spool.unpark(places=[parked[0].place], now=START + HOUR) == 1
    assert only(spool.claim(START + HOUR, 9)).attempts == 1


def test_leases_of_the_dead_are_freed_and_of_the_living_are_not(tmp_path: Path) -> None:
    with Spool.open(tmp_path) as alive, Spool.open(tmp_path) as dead:
        fill(alive, say("a@x", "t", 1, room="one"), say("b@x", "t", 1, room="two"))
        alive.claim(START, 1)
        dead.claim(START, 1)
        assert alive.reap(START).leases == 0
        assert dead._lock is not None
        dead._lock.release()  # as the kernel does at its death: the file stays
        reaped = alive.reap(START)
        assert (reaped.leases, reaped.files) == (1, 1)
        assert len(alive.claim(START, 9)) == 1


def test_a_place_whose_owner_keeps_dying_backs_off(tmp_path: Path) -> None:
    with Spool.open(tmp_path) as spool:
        fill(spool, say("a@x", "t", 1))
        spool.claim(START, 9, owner="dead one")
        spool.reap(START)
        assert len(spool.claim(START, 9, owner="dead two")) == 1
        spool.reap(START)
        assert spool.claim(START + 39 * SECOND, 9) == []
        assert only(spool.claim(START + 40 * SECOND, 9)).attempts == 3


def test_finding_work_reads_only_what_is_due(spool: Spool) -> None:
    fill(spool, *[say("a@x", "t", n, room=f"r{n}") for n in range(3000)])
    leases = spool.claim(START, 3000)
    spool.finish_places((lease, None) for lease in leases[:-1])
    spool.finish_places([(leases[-1], START)])
    db = spool._connections.db
    plan = " ".join(
        row[3]
        for row in db.execute(
            "EXPLAIN QUERY PLAN SELECT n FROM place WHERE due_at IS NOT NULL AND owner IS NULL"
            " AND due_at <= 5 ORDER BY due_at LIMIT 10"
        )
    )
    assert "place_due" in plan
    assert "TEMP B-TREE" not in plan
    # The index holds what is due and nothing else, so its pages can't grow with what is filed.
    db.execute("ANALYZE")
    counted = {
        name: int(stat.split()[0]) for name, stat in db.execute("SELECT idx, stat FROM sqlite_stat1 WHERE idx NOTNULL")
    }
    assert counted["place_due"] == 1
    assert steps(spool, lambda: spool.claim(START, 10)) < 100


def steps(spool: Spool, work: object) -> int:
    """How much work SQLite does, in hundreds of its virtual machine's instructions."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    connection = spool._connections.db.conn
    connection.set_progress_handler(tick, 100)
    work()  # type: ignore[operator]
    connection.set_progress_handler(None, 0)
    return count


# Feeds


def test_nothing_of_an_import_is_due_before_its_end(spool: Spool) -> None:
    feed = spool.open_feed("f", "import").number
    spool.append([say("a@x", "t", 1), say("b@x", "t", 1, room="two")], feed)
    assert spool.claim(START + HOUR, 9) == []
    assert spool.watermark(1, START, LATENESS).time is None
    spool.close_feed(feed, START)
    assert spool.watermark(1, START, LATENESS).time == FOREVER
    assert len(spool.claim(START, 9)) == 2


def test_a_run_that_brings_nothing_new_makes_nothing_due(spool: Spool) -> None:
    event = say("a@x", "t", 1)
    fill(spool, event)
    spool.finish_place(only(spool.claim(START, 9)), None)
    fill(spool, event)
    assert spool.claim(START + HOUR, 9) == []


def test_a_dead_import_is_taken_up_by_running_it_again(tmp_path: Path) -> None:
    with Spool.open(tmp_path) as dead:
        feed = dead.open_feed("f", "import").number
        dead.append([say("a@x", "t", 1, room="one")], feed)
    with Spool.open(tmp_path) as spool:
        assert [(each.name, each.state) for each in spool.feeds(only_open=True)] == [("f", "open")]
        fill(spool, say("a@x", "t", 1, room="one"), name="f")
        assert len(spool.claim(START, 9)) == 1


def test_a_feed_closed_halfway_is_settled_at_start(spool: Spool) -> None:
    feed = spool.open_feed("f", "import").number
    spool.append([say("a@x", "t", 1)], feed)
    spool._connections.db.execute("UPDATE feed SET state = 'closed'")
    assert spool.claim(START, 9) == []
    assert spool.reap(START).feeds == 1
    assert len(spool.claim(START, 9)) == 1


def test_an_import_closed_by_command_that_still_lives_is_open_again(spool: Spool) -> None:
    feed = spool.open_feed("f", "import").number
    spool.append([say("a@x", "1", 1)], feed)
    spool._connections.db.execute("UPDATE feed SET state = 'closed'")
    spool._connections.db.execute("UPDATE feed_place SET pending = 0")
    spool.append([say("a@x", "2", 2)], feed)
    spool.close_feed(feed, START)
    assert len(spool.claim(START, 9)) == 1


def test_a_claim_for_one_feed_takes_only_what_it_brought(spool: Spool) -> None:
    fill(spool, say("a@x", "t", 1, room="one"), name="first")
    second = fill(spool, say("b@x", "t", 1, room="two"), name="second")
    assert only(spool.claim(START, 9, feed=second)).conversation == "two"
    assert spool.claim(START, 9, feed=second) == []


def test_not_yet_due_places_are_claimed_on_demand(spool: Spool) -> None:
    feed = spool.open_feed("smtp", "live").number
    spool.append([say("a@x", "t", 100)], feed, live=True)
    assert spool.claim(START, 9) == []
    assert len(spool.claim(START, 9, only_due=False)) == 1


def test_presence_is_partial_whichever_feed_came_first(spool: Spool) -> None:
    live = spool.open_feed("smtp", "live").number
    spool.append([say("a@x", "t", 1)], live, live=True)
    log = spool.open_feed("log", "import", partial=True).number
    spool.append([say("a@x", "t", 2)], log)
    assert only(spool.claim(START + HOUR, 9)).partial


def test_a_place_waits_for_its_sources_live_feed(spool: Spool) -> None:
    live = spool.open_feed("smtp", "live", now=START)
    spool.append([say("a@x", "t", 1)], live.number, live=True, now=START + SECOND)
    spool.contact(live.number, START + 10 * SECOND)
    assert spool.watermark(1, START + 20 * SECOND, 0).time == START + 20 * SECOND
    assert spool.watermark(1, START + 200 * SECOND, 0).time == START + 10 * SECOND
    assert spool.watermark(1, START + 2 * HOUR, 0).warning


def test_one_name_is_one_kind_of_feed(spool: Spool) -> None:
    spool.open_feed("f", "import")
    with pytest.raises(UsageError):
        spool.open_feed("f", "live")


# Journal


def filing(lease: Lease, version: bytes, *deliveries: Delivery, started: int = 1, ended: int = 2) -> Filing:
    return Filing(lease.place, version, started, ended, 1, (1, 2), deliveries)


def delivery(mailbox: str, state: DeliveryState = DeliveryState.ATTEMPTED, replaces: tuple[int, ...] = ()) -> Delivery:
    return Delivery(mailbox, "CH", "name", 0b11, state, "why" if state != "attempted" else "", 100, replaces)


def done(filing: Filing, state: DeliveryState = DeliveryState.FILED) -> Filing:
    return replace(filing, deliveries=tuple(replace(each, state=state) for each in filing.deliveries))


@pytest.fixture
def lease(spool: Spool) -> Lease:
    fill(spool, say("a@x", "1", 1), say("b@x", "2", 2))
    return only(spool.claim(START, 9))


def counts(spool: Spool, of: str = "history") -> dict[tuple[str, str], tuple[int, int]]:
    """What the tallies say, after checking that they are what the rows say."""
    told = {(each.mailbox, each.destination, each.state): (each.deliveries, each.bytes) for each in spool.mailboxes()}
    rows = spool._connections.db.execute(
        """SELECT address, destination, state, count(*), sum(size) FROM delivery JOIN mailbox ON mailbox.n = mailbox
        GROUP BY 1, 2, 3"""
    )
    assert told == {tuple(which): (count, size) for *which, count, size in rows}
    return {(mailbox, state): counted for (mailbox, destination, state), counted in told.items() if destination == of}


def test_an_attempt_is_on_record_before_it_is_made(spool: Spool, lease: Lease) -> None:
    (begun,) = spool.begin([filing(lease, b"v1", delivery("a@x"))], START)
    assert begun.number
    assert begun.attempts == 1
    assert spool.priors(lease.place, 0, 9) == [begun]
    assert spool.versions(lease.place) == set()
    assert counts(spool) == {("a@x", "attempted"): (1, 100)}


def test_a_mailbox_has_one_delivery_to_each_destination(spool: Spool, lease: Lease) -> None:
    three = [replace(delivery("a@x", DeliveryState.WITHHELD), destination=each) for each in Destination]
    (first,) = spool.begin([filing(lease, b"v1", *three)], START)
    assert [each.destination for each in first.deliveries] == list(Destination)
    assert len({each.number for each in first.deliveries}) == 3
    spool.finish([first], START)
    again = [replace(delivery("a@x"), folder="Renamed", destination=each) for each in reversed(Destination)]
    (second,) = spool.begin([filing(lease, b"v1", *again)], START + 1)
    assert {d.destination: d.number for d in second.deliveries} == {d.destination: d.number for d in first.deliveries}
    spool.finish([done(second)], START + 2)
    (read,) = spool.priors(lease.place, 0, 9)
    assert {d.number: d.destination for d in read.deliveries} == {d.number: d.destination for d in first.deliveries}
    assert all(counts(spool, each)["a@x", "filed"] == (1, 100) for each in Destination)


def test_the_same_version_again_is_the_same_row(spool: Spool, lease: Lease) -> None:
    one = spool.begin([filing(lease, b"v1", delivery("a@x"), delivery("b@x"))], START)[0]
    half = replace(one, deliveries=(replace(one.deliveries[0], state=DeliveryState.FILED), one.deliveries[1]))
    spool.finish([half], START)
    again = spool.begin([filing(lease, b"v1", delivery("a@x"), delivery("b@x"))], START + 1)[0]
    assert (again.number, again.attempts) == (one.number, 2)
    assert [each.state for each in again.deliveries] == ["filed", "attempted"]
    assert [each.number for each in again.deliveries] == [each.number for each in one.deliveries]
    spool.finish([done(again)], START)
    assert spool.versions(lease.place) == {b"v1"}
    assert counts(spool) == {("a@x", "filed"): (1, 100), ("b@x", "filed"): (1, 100)}


def test_a_new_version_supersedes_what_it_replaces_once_it_is_filed(spool: Spool, lease: Lease) -> None:
    old = done(spool.begin([filing(lease, b"v1", delivery("a@x"))], START)[0])
    spool.finish([old], START)
    number = old.deliveries[0].number
    new = spool.begin([filing(lease, b"v2", delivery("a@x", replaces=(number,)))], START)[0]
    assert [each.version for each in spool.priors(lease.place, 2, 5)] == [b"v1", b"v2"]
    spool.finish([done(new)], START)
    assert [each.version for each in spool.priors(lease.place, 2, 5)] == [b"v2"]
    assert spool.priors(lease.place, 3, 5) == []
    assert counts(spool) == {("a@x", "superseded"): (1, 100), ("a@x", "filed"): (1, 100)}


def test_what_its_owner_took_away_is_gone_not_superseded(spool: Spool, lease: Lease) -> None:
    old = done(spool.begin([filing(lease, b"v1", delivery("a@x"))], START)[0])
    spool.finish([old], START)
    number = old.deliveries[0].number
    new = spool.begin([filing(lease, b"v2", delivery("a@x", replaces=(number,)))], START)[0]
    spool.finish([done(new)], START, gone=[number])
    assert [each.deliveries[0].state for each in spool.priors(lease.place, 1, 2)] == ["gone", "filed"]
    counts(spool)


def test_a_filed_item_stays_while_its_successor_is_withheld(spool: Spool, lease: Lease) -> None:
    old = done(spool.begin([filing(lease, b"v1", delivery("a@x"))], START)[0])
    spool.finish([old], START)
    kept = delivery("a@x", DeliveryState.WITHHELD, (old.deliveries[0].number,))
    new = spool.begin([filing(lease, b"v2", kept)], START)
    spool.finish(new, START)
    assert counts(spool) == {("a@x", "filed"): (1, 100), ("a@x", "withheld"): (1, 100)}


def test_of_two_withheld_versions_only_the_last_waits(spool: Spool, lease: Lease) -> None:
    first = spool.begin([filing(lease, b"v1", delivery("a@x", DeliveryState.WITHHELD))], START)
    spool.finish(first, START)
    kept = delivery("a@x", DeliveryState.WITHHELD, (first[0].deliveries[0].number,))
    spool.finish(spool.begin([filing(lease, b"v2", kept)], START), START)
    assert counts(spool) == {("a@x", "superseded"): (1, 100), ("a@x", "withheld"): (1, 100)}
    assert spool.versions(lease.place) == {b"v1"}


def test_what_was_withheld_is_filed_in_the_same_row_when_woken(spool: Spool, lease: Lease) -> None:
    begun = spool.begin([filing(lease, b"v1", delivery("a@x", DeliveryState.WITHHELD))], START)
    spool.finish(begun, START)
    spool.finish_place(lease, None)
    assert spool.withheld_mailboxes() == {"a@x"}
    assert [(each.mailbox, each.reason, each.deliveries, each.since) for each in spool.withheld()] == [
        ("a@x", "why", 1, START)
    ]
    assert spool.wake(["a@x", "nobody@x"], START + HOUR) == 1
    again = only(spool.claim(START + HOUR, 9))
    assert again.filed
    moved = replace(delivery("a@x"), folder="Renamed")
    later = spool.begin([filing(again, b"v1", moved)], START + HOUR)[0]
    assert later.deliveries[0].number == begun[0].deliveries[0].number
    spool.finish([done(later)], START + HOUR)
    assert counts(spool) == {("a@x", "filed"): (1, 100)}
    assert spool.withheld_mailboxes() == set()


def test_waking_a_leased_place_is_not_lost(spool: Spool, lease: Lease) -> None:
    spool.finish(spool.begin([filing(lease, b"v1", delivery("a@x", DeliveryState.WITHHELD))], START), START)
    spool.wake(["a@x"], START)
    spool.finish_place(lease, None)
    assert len(spool.claim(START, 9)) == 1


def test_a_parked_filing_waits_for_a_person(spool: Spool, lease: Lease) -> None:
    begun = spool.begin([filing(lease, b"v1", delivery("a@x"))], START)
    assert spool.fail(begun, "disk on fire", START) == START + 10 * SECOND
    spool.park(begun, "five times", START)
    spool.finish_place(lease, None)
    assert spool.versions(lease.place) == {b"v1"}
    assert [(each.reason, each.attempts) for each in spool.parked_filings()] == [("five times", 1)]
    assert [each.reason for each in spool.parked()] == ["five times"]
    assert spool.unpark(filings=[begun[0].number], now=START) == 1
    assert spool.parked_filings() == []
    again = only(spool.claim(START, 9))
    assert spool.begin([filing(again, b"v1", delivery("a@x"))], START)[0].attempts == 1
    counts(spool)


def test_parked_by_its_result(spool: Spool, lease: Lease) -> None:
    begun = spool.begin([filing(lease, b"v1", delivery("a@x"))], START)[0]
    parked = replace(begun, deliveries=(replace(begun.deliveries[0], state=DeliveryState.PARKED, reason="bad"),))
    spool.finish([parked], START)
    assert [each.reason for each in spool.parked_filings()] == ["bad"]


def test_finishing_twice_is_finishing_once(spool: Spool, lease: Lease) -> None:
    begun = done(spool.begin([filing(lease, b"v1", delivery("a@x"))], START)[0])
    spool.finish([begun], START)
    spool.finish([begun], START)
    assert counts(spool) == {("a@x", "filed"): (1, 100)}


def test_strangers_are_counted(spool: Spool) -> None:
    spool.note_strangers([("irc:a", "bob", 2), ("irc:a", "ann", 1)], START)
    spool.note_strangers([("irc:a", "bob", 3)], START + 5)
    assert [(each.address, each.seen, each.last) for each in spool.strangers()] == [
        ("ann", 1, START),
        ("bob", 5, START + 5),
    ]


# One data directory, several users of it


def test_reading_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Spool.open(tmp_path / "none", readonly=True)
    with Spool.open(tmp_path) as spool:
        fill(spool, say("a@x", "t", 1))
        with Spool.open(tmp_path, readonly=True) as reader:
            assert len(list(reader.events(1, 99))) == 1
            with pytest.raises(EnvironmentFault):
                reader.claim(START, 1)
            with pytest.raises(sqlite3.OperationalError):
                reader._connections.db.conn.execute("DELETE FROM event")
    with Spool.open(tmp_path, readonly=True) as alone:
        assert len(list(alone.events(1, 99))) == 1


def test_only_one_daemon_and_it_says_who(tmp_path: Path) -> None:
    with Spool.open(tmp_path) as one, Spool.open(tmp_path) as two:
        assert two.holder("daemon") is None
        with one.hold("daemon", "archiver run, since noon"):
            assert two.holder("daemon") == "archiver run, since noon"
            with pytest.raises(InUse, match="since noon"):
                two.hold("daemon", "another")
            two.hold("backfill", "b").release()
        two.hold("daemon", "another").release()


def test_a_forked_child_shares_nothing(tmp_path: Path) -> None:
    with Spool.open(tmp_path) as spool:
        fill(spool, say("a@x", "t", 1))
        lock = spool.hold("daemon", "parent")
        old = spool._connections.db
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                shares = spool._connections.db is old or lock.held
                spool.close()
                os.write(write_end, b"bad" if shares else b"good")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert os.read(read_end, 9) == b"good"
        assert spool.holder("daemon") == "parent"
        assert spool.totals().spooled == 1
        lock.release()


def test_a_child_does_not_keep_its_parents_lock(tmp_path: Path) -> None:
    with Spool.open(tmp_path) as spool:
        lock = spool.hold("daemon", "parent")
        go, stop = os.pipe()
        ready, told = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(stop)
            os.write(told, b"x")
            os.read(go, 1)
            os._exit(0)
        os.close(go)
        os.read(ready, 1)
        # `release` closes the parent's own descriptor and no more, as its death does.
        lock.release()
        assert spool.holder("daemon") is None
        os.close(stop)
        os.waitpid(child, 0)


def test_a_spool_of_a_newer_archiver_is_refused(tmp_path: Path) -> None:
    with Spool.open(tmp_path) as spool:
        spool._connections.db["_sqlite_migrations"].insert(  # type: ignore[union-attr]
            {"migration_set": "archiver.spool", "name": "from_the_future", "applied_at": "later"}
        )
    with pytest.raises(EnvironmentFault, match="from_the_future"):
        Spool.open(tmp_path)


def test_what_an_older_archiver_filed_went_to_conversation_history(tmp_path: Path) -> None:
    with Spool.open(tmp_path) as spool:
        fill(spool, say("a@x", "1", 1), say("b@x", "2", 2))
        lease = only(spool.claim(START, 9))
        (begun,) = spool.begin([filing(lease, b"v1", delivery("a@x"))], START)
    with sqlite3.connect(tmp_path / "spool.db") as older:
        older.execute("DROP INDEX delivery_archived")
        older.execute("DROP INDEX delivery_history")
        older.execute("DROP TABLE exported")
        older.execute("DROP TABLE unindexed")
        for trigger in ("new", "filed", "gone"):
            older.execute(f"DROP TRIGGER delivery_{trigger}")
        older.execute("ALTER TABLE delivery DROP COLUMN destination")
        later = "'destination', 'exports', 'history_of_a_mailbox', 'unindexed'"
        older.execute(f"DELETE FROM _sqlite_migrations WHERE name IN ({later})")
    older.close()
    with Spool.open(tmp_path) as spool:
        assert spool.priors(lease.place, 0, 9) == [begun]
        assert [each.number for each in spool.deliveries("a@x")] == [begun.deliveries[0].number]
        assert begun.deliveries[0].destination is Destination.HISTORY


def test_what_an_older_archiver_forgot_can_still_be_recalled(tmp_path: Path) -> None:
    with Spool.open(tmp_path) as spool:
        fill(spool, say("a@x", "1", 1, id="m1"))
        lease = only(spool.claim(START, 9))
        (begun,) = spool.begin([filing(lease, b"v1", delivery("a@x"))], START)
    with sqlite3.connect(tmp_path / "spool.db") as older:
        older.execute("DROP TABLE recall")
        older.execute("CREATE TABLE recall (place INT, target INT, filing INT, PRIMARY KEY (place, target))")
        older.execute("INSERT INTO recall VALUES (?, ?, ?)", (lease.place, identity.number(b"m1"), begun.number))
        older.execute("DELETE FROM _sqlite_migrations WHERE name = 'recall_every_text'")
    older.close()
    with Spool.open(tmp_path) as spool:
        assert spool.recalled(lease.place, ["m1"]) == [("m1", begun)]


def test_what_an_older_archiver_accepted_is_known(tmp_path: Path) -> None:
    first, again = say("a@x", "1", 1, id="m1"), say("a@x", "other", 1, id="m1")
    with Spool.open(tmp_path) as spool:
        fill(spool, first)
    with sqlite3.connect(tmp_path / "spool.db") as older:
        older.execute("CREATE TABLE old (key INTEGER PRIMARY KEY, event INTEGER, digest INTEGER)")
        older.execute("INSERT INTO old SELECT key, event, digest FROM identity")
        older.execute("DROP TABLE identity")
        older.execute("ALTER TABLE old RENAME TO identity")
        older.execute("DELETE FROM counter WHERE name = 'by_serial'")
        older.execute("DELETE FROM _sqlite_migrations WHERE name = 'identity_by_serial'")
    older.close()
    with Spool.open(tmp_path) as spool:
        feed = spool.open_feed("again", "import").number
        second = say("a@x", "2", 2, id="m2")
        assert spool.append([second], feed).accepted == 1
    with Spool.open(tmp_path) as spool:  # its own identities are kept as those it found
        outcomes = spool.append([first, again, second], feed).outcomes
        assert outcomes == (Outcome.DUPLICATE, Outcome.CONFLICT, Outcome.DUPLICATE)


def test_a_file_that_is_no_spool(tmp_path: Path) -> None:
    (tmp_path / "spool.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(EnvironmentFault, match="not a spool"):
        Spool.open(tmp_path)
