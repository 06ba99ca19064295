"""Holds, exclusions, chains and the audit log in a real file: nothing changes, and a change past the rules is named."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from builders import BASE
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import SECOND
from archiver.exceptions import UsageError
from archiver.spool import Spool
from archiver.spool.records import Entry
from archiver.types import Exclusion, Head, Hold

NOW = BASE * SECOND
CAROL, DAVE = "carol@example.org", "dave@example.org"


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool.open(tmp_path / "data") as made:
        yield made


def sql(spool: Spool, statement: str, *values: object) -> None:
    """As somebody does who has the file and no scruples."""
    with sqlite3.connect(spool.data / "spool.db", isolation_level=None) as connection:
        connection.execute(statement, values)


def without_triggers(spool: Spool) -> None:
    for name in ("audit_no_update", "audit_no_delete", "audit_in_order"):
        sql(spool, f"DROP TRIGGER {name}")


# --- holds


def test_a_hold_is_placed_listed_and_released(spool: Spool) -> None:
    first = spool.place_hold(CAROL, by="legal", reason="case 7", query="kind:im", now=NOW)
    second = spool.place_hold(DAVE, by="legal", reason="case 7", now=NOW + 1)
    assert first == Hold(1, CAROL, "legal", "case 7", NOW, None, "kind:im")
    assert spool.holds() == [first, second]
    assert spool.standing_holds([CAROL, "nobody@x"]) == {CAROL: (first,)}
    released = spool.release_hold(1, by="judge", reason="settled", now=NOW + 5)
    assert released.released == NOW + 5
    assert spool.holds(CAROL) == [released]
    assert spool.standing_holds([CAROL, DAVE]) == {DAVE: (second,)}
    told = [(a.action, a.subject, a.by, a.reason, a.details) for a in spool.audits()]
    assert told[0] == ("hold placed", CAROL, "legal", "case 7", {"hold": 1, "query": "kind:im"})
    assert told[2] == ("hold released", CAROL, "judge", "settled", {"hold": 1})


def test_a_hold_is_taken_once_and_only_while_it_stands(spool: Spool) -> None:
    holds = [spool.place_hold(CAROL, by="legal", reason="case", now=NOW) for _ in range(3)]
    spool.take_hold(1, NOW)
    spool.release_hold(2, by="legal", reason="over", now=NOW)
    assert spool.untaken_holds() == [holds[2]]


def test_a_number_is_never_given_twice(spool: Spool) -> None:
    assert [spool.place_hold(CAROL, by="a", reason="b", now=NOW).number for _ in range(3)] == [1, 2, 3]
    spool.release_hold(3, by="a", reason="b", now=NOW)
    assert spool.place_hold(CAROL, by="a", reason="b", now=NOW).number == 4


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda s: s.release_hold(9, by="a", reason="b", now=NOW), "no hold 9"),
        (lambda s: s.release_hold(1, by="a", reason="b", now=NOW), "released already"),
        (lambda s: s.place_hold(CAROL, by=" ", reason="b", now=NOW), "who decides"),
        (lambda s: s.place_hold(CAROL, by="a", reason="\n", now=NOW), "the reason is empty"),
        (lambda s: s.release_hold(2, by="a", reason="", now=NOW), "the reason is empty"),
        (lambda s: s.end_exclusion(9, NOW, by="a", reason="b", now=NOW), "no exclusion 9"),
    ],
)
def test_a_mistake_is_told_and_changes_nothing(spool: Spool, call: Callable[[Spool], object], said: str) -> None:
    for _ in range(2):
        spool.place_hold(CAROL, by="a", reason="b", now=NOW)
    spool.release_hold(1, by="a", reason="b", now=NOW)
    before = spool.holds(), list(spool.audits())
    with pytest.raises(UsageError, match=said):
        call(spool)
    assert (spool.holds(), list(spool.audits())) == before


def test_a_clock_that_jumps_back_changes_no_order(spool: Spool) -> None:
    spool.place_hold(CAROL, by="a", reason="b", now=NOW)
    released = spool.release_hold(1, by="a", reason="b", now=NOW - 1000)
    assert released.released == NOW, "not before it was placed"
    assert [a.at for a in spool.audits()] == [NOW, NOW]
    assert [a.details.get("clock") for a in spool.audits()] == [None, NOW - 1000]


# --- exclusions


def test_an_exclusion_is_added_counted_and_ended(spool: Spool) -> None:
    wanted = Exclusion(0, "irc:*", "", "", NOW, None, "council", "agreed", 0)
    added = spool.add_exclusion(wanted, NOW + 3)
    assert (added.number, added.placed, added.title) == (1, NOW + 3, "source irc:*")
    spool.count_excluded({1: 5, 77: 1})
    spool.count_excluded({1: 2})
    ended = spool.end_exclusion(1, NOW + 9, by="council", reason="agreed anew", now=NOW + 10)
    assert (ended.until, ended.events) == (NOW + 9, 7)
    assert spool.exclusions() == [ended]
    assert [a.action for a in spool.audits()] == ["exclusion added", "exclusion ended"]


# --- chains


def test_of_two_notes_that_cross_the_longer_chain_stays(spool: Spool) -> None:
    spool.note_heads({CAROL: Head(2, "bb"), DAVE: Head(1, "dd")})
    spool.note_heads({CAROL: Head(1, "aa")})
    assert spool.heads([CAROL, "nobody@x"]) == {CAROL: Head(2, "bb")}
    spool.note_heads({CAROL: Head(3, "cc")})
    assert spool.heads() == {CAROL: Head(3, "cc"), DAVE: Head(1, "dd")}
    assert spool.heads([]) == {}


def test_heads_go_into_the_audit_log_once_a_day_where_they_are_new(spool: Spool) -> None:
    day = 86_400 * SECOND
    heads = {f"m{n}@x": Head(n + 1, f"{n:x}") for n in range(450)}
    spool.note_heads(heads)
    assert spool.audit_heads(NOW) == 450
    assert spool.audited_heads() == heads
    spool.note_heads({CAROL: Head(3, "cc"), "m0@x": Head(9, "99")})
    assert spool.audit_heads(NOW + day - 1) == 0
    assert spool.audit_heads(NOW + day) == 2
    assert spool.audit_heads(NOW + 2 * day) == 0, "nothing is new"
    assert spool.audited_heads() == heads | {CAROL: Head(3, "cc"), "m0@x": Head(9, "99")}
    assert spool.check_audit().damage == ()


# --- the audit log


def log(spool: Spool, count: int = 5) -> None:
    for n in range(count):
        spool.audit(Entry("purged", CAROL, "legal", f"reason {n}", {"items": n}), NOW + n)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET reason = 'another' WHERE n = 2",
        "DELETE FROM audit WHERE n = 5",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit VALUES (2, 1, '', '', '', '', '{}', x'00')",
        "REPLACE INTO audit VALUES (5, 1, '', '', '', '', '{}', x'00')",
        "INSERT INTO audit VALUES (9, 1, '', '', '', '', '{}', x'00')",
        "INSERT INTO audit VALUES (0, 1, '', '', '', '', '{}', x'00')",
    ],
)
def test_the_table_refuses_changes(spool: Spool, statement: str) -> None:
    log(spool)
    before = list(spool.audits())
    with pytest.raises(sqlite3.IntegrityError, match="audit log"):
        sql(spool, statement)
    assert list(spool.audits()) == before


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE audit SET reason = 'another' WHERE n = 2", "entry 2 is not what was written"),
        ("UPDATE audit SET details = '{}' WHERE n = 3", "entry 3 is not what was written"),
        ("UPDATE audit SET details = 'no JSON' WHERE n = 3", "entry 3 is not what was written"),
        ("UPDATE audit SET at = at + 1 WHERE n = 5", "entry 5 is not what was written"),
        ("UPDATE audit SET hash = x'00' WHERE n = 4", "entry 4 is not what was written"),
        ("DELETE FROM audit WHERE n = 3", "entry 3 is missing"),
        ("DELETE FROM audit WHERE n IN (1, 2)", "entries 1 to 2 are missing"),
        ("UPDATE audit SET n = 12 - n WHERE n > 3", "entries 4 to 6 are missing"),
        (
            "UPDATE audit SET reason = (SELECT reason FROM audit AS o WHERE o.n = 5 - audit.n) WHERE n IN (2, 3)",
            "entry 2 is not what was written",
        ),
    ],
)
def test_a_change_past_the_triggers_is_named(spool: Spool, statement: str, named: str) -> None:
    log(spool)
    assert spool.check_audit().damage == ()
    without_triggers(spool)
    sql(spool, statement)
    assert named in spool.check_audit().damage[0]
    assert len(list(spool.audits())) >= 3, "and it is still listed"


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE hold SET released = placed WHERE n = 2", "hold 2 on dave@example.org is not as the log has it: until"),
        ("UPDATE hold SET released = NULL", "hold 1 on carol@example.org is not as the log has it: until"),
        (
            "UPDATE hold SET \"query\" = 'kind:im' WHERE n = 2",
            "hold 2 on dave@example.org is not as the log has it: query",
        ),
        ("UPDATE hold SET mailbox = 'x@y' WHERE n = 2", "hold 2 on dave@example.org is not as the log has it: of"),
        ("DELETE FROM hold WHERE n = 2", "hold 2 on dave@example.org, placed by legal, was taken out"),
        (
            'INSERT INTO hold SELECT 9, mailbox, "by", reason, placed, "query", NULL, NULL FROM hold WHERE n = 1',
            "hold 9 on carol@example.org stands in the spool, and no entry has it",
        ),
        ("UPDATE exclusion SET until = NULL", "exclusion 1 on source irc:* is not as the log has it: until"),
        ("UPDATE exclusion SET source = '*'", "exclusion 1 on source irc:* is not as the log has it: of"),
        ("DELETE FROM exclusion", "exclusion 1 on source irc:*, placed by chief, was taken out"),
    ],
)
def test_a_hold_that_somebody_lifts_in_the_file_is_missed_by_the_log(spool: Spool, statement: str, named: str) -> None:
    spool.place_hold(CAROL, by="legal", reason="case 7", query="merger", now=NOW)
    spool.place_hold(DAVE, by="legal", reason="case 7", now=NOW + 1)
    spool.release_hold(1, by="judge", reason="settled", now=NOW + 2)
    made = spool.add_exclusion(Exclusion(0, "irc:*", "", "", NOW, None, "chief", "noise", 0), now=NOW)
    spool.end_exclusion(made.number, NOW + 5, by="chief", reason="over", now=NOW + 4)
    assert spool.check_audit().damage == ()
    sql(spool, statement)
    (found,) = spool.check_audit().damage
    assert named in found


def test_a_number_given_again_is_missed_by_the_log(spool: Spool) -> None:
    spool.place_hold(CAROL, by="legal", reason="case 7", now=NOW)
    sql(spool, "DELETE FROM hold")
    spool.place_hold(CAROL, by="legal", reason="case 8", now=NOW)
    assert "hold 1 was placed a second time by entry 2" in spool.check_audit().damage[0]


def test_the_head_tells_that_the_end_was_cut_off(spool: Spool) -> None:
    log(spool)
    head = spool.check_audit().head
    assert list(spool.audits())[-1].hash == head
    without_triggers(spool)
    sql(spool, "DELETE FROM audit WHERE n = 5")
    checked = spool.check_audit()
    assert (checked.length, checked.damage) == (4, ())
    assert checked.head != head


TEXT = st.text(max_size=20).filter(str.strip)


@given(entries=st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT, st.integers(-(10**12), 10**12)), max_size=8))
def test_whatever_is_written_the_chain_holds(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, str, str, str, int]]
) -> None:
    with Spool.open(tmp_path_factory.mktemp("audit") / "data") as spool:
        for action, subject, by, reason, at in entries:
            spool.audit(Entry(action, subject, by, reason, {subject: reason}), at)
        found = list(spool.audits())
        assert [(a.action, a.subject, a.by, a.reason) for a in found] == [e[:4] for e in entries]
        assert [a.at for a in found] == sorted(a.at for a in found)
        assert spool.check_audit().damage == ()
        assert list(spool.audits(after=3)) == found[3:]


def test_a_long_log_is_read_in_pages(spool: Spool) -> None:
    for n in range(1_203):
        spool.audit(Entry("purged", CAROL, "legal", "old"), NOW + n)
    assert [a.number for a in spool.audits()] == list(range(1, 1_204))
    assert spool.check_audit().length == 1_203
