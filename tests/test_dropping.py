"""Dropping what the gate withholds: on record, for good, and no more than was dropped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from builders import BASE, DAY, react, say
from click.testing import CliRunner
from msgspec.structs import replace

from archiver import config as configuration
from archiver.assembly import rules_of, store_of
from archiver.cli import main
from archiver.conversations.conversation import fold_roster
from archiver.daemon.job import Job
from archiver.events import SECOND, Captured
from archiver.exceptions import UsageError
from archiver.spool import Spool
from archiver.types import Delivery, DeliveryState, Filing

ALICE, BOB = PEOPLE = ["alice@example.org", "bob@example.org"]
CLOSED = {"mailbox": [{"address": BOB, "version": "Version 14.3 (Build 123.4)"}]}
"""Bob's store is too old; Alice's is not."""
NOW = (BASE + DAY) * SECOND


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool.open(tmp_path / "data") as opened:
        yield opened


def line(n: int, room: str = "a") -> Captured:
    return say(PEOPLE[n % 2], f"{room} line {n}", n, id=f"{room}-{n}", room=room, present=PEOPLE)


def bring(spool: Spool, *events: Captured) -> None:
    feed = spool.open_feed("import:x", "import", now=NOW).number
    spool.append(events, feed, now=NOW)
    spool.close_feed(feed, 1)


def file(spool: Spool, **raw: Any) -> None:
    Job(spool, configuration.parse(raw), spool.data).file()


def texts(spool: Spool, mailbox: str) -> list[list[str]]:
    """The lines of each item, as its text part has them."""
    store = store_of(configuration.parse({}), spool.data)
    found = []
    for item in store.items(mailbox, "Conversation History"):
        message = message_from_bytes(store.read(mailbox, "Conversation History", item.name), policy=default)
        body = message.get_body(("plain",))  # type: ignore[attr-defined]
        found.append([row.partition(": ")[2] for row in body.get_content().splitlines() if " line " in row])
    return sorted(found)


def drop(spool: Spool, **only: str) -> int:
    return spool.drop_withheld(BOB, person="root", reason="he left", now=NOW, **only)


def test_what_was_dropped_is_on_record_and_never_filed_by_itself(spool: Spool) -> None:
    bring(spool, line(0), line(1), line(0, "b"), line(1, "b"))
    file(spool, **CLOSED)
    assert drop(spool) == 2
    assert drop(spool) == 0
    (record,) = spool.dropped()
    assert (record.mailbox, record.conversation, record.person, record.reason) == (BOB, "", "root", "he left")
    assert (record.deliveries, record.at) == (2, NOW) and record.bytes > 0
    (told,) = spool.audits()
    assert (told.action, told.subject, told.by, told.reason) == ("withheld dropped", BOB, "root", "he left")
    assert told.details == {"conversation": "", "items": 2, "bytes": record.bytes}
    assert (spool.totals().dropped, spool.totals().withheld) == (2, 0)
    assert spool.withheld() == [] and spool.withheld_mailboxes() == set()
    with spool._connections.writing() as transaction:
        transaction.connection.execute("UPDATE place SET due_at = 1")
    file(spool)
    assert texts(spool, BOB) == []
    assert len(texts(spool, ALICE)) == 2


def test_one_conversation_may_be_dropped_and_the_rest_waits(spool: Spool) -> None:
    bring(spool, line(0), line(1), line(0, "b"), line(1, "b"))
    file(spool, **CLOSED)
    assert drop(spool, conversation="b") == 1
    assert drop(spool, conversation="no such") == 0
    file(spool)
    assert texts(spool, BOB) == [["a line 0", "a line 1"]]


@pytest.mark.parametrize("closed", [False, True])
def test_a_later_version_brings_only_what_is_new(spool: Spool, closed: bool) -> None:
    bring(spool, line(0), line(1))
    file(spool, **CLOSED)
    drop(spool)
    bring(spool, react(ALICE, "a-1", "+", 30, room="a"))
    file(spool, **(CLOSED if closed else {}))
    assert (texts(spool, BOB), spool.withheld()) == ([], []), "a reaction is no reason to file it again"
    bring(spool, line(40))
    file(spool, **(CLOSED if closed else {}))
    assert sum(kept.deliveries for kept in spool.withheld()) == closed
    file(spool)
    assert texts(spool, BOB) == [["a line 40"]]
    assert texts(spool, ALICE) == [["a line 0", "a line 1", "a line 40"]]


def test_what_its_owner_took_away_meanwhile_waits_no_longer(spool: Spool) -> None:
    bring(spool, line(0), line(1))
    file(spool)
    bring(spool, react(BOB, "a-0", "+", 20, room="a", present=PEOPLE))
    file(spool, **CLOSED)
    assert spool.withheld_mailboxes() == {BOB}
    store = store_of(configuration.parse({}), spool.data)
    (item,) = store.items(BOB, "Conversation History")
    store.remove(BOB, "Conversation History", item.name)
    assert spool.wake([BOB], NOW) == 1
    file(spool)
    assert spool.withheld_mailboxes() == set() and texts(spool, BOB) == []


def test_dropping_all_versions_that_wait_leaves_nothing(spool: Spool) -> None:
    bring(spool, line(0), line(1))
    file(spool, **CLOSED)
    bring(spool, line(2))
    file(spool, **CLOSED)
    assert drop(spool) == 1
    bring(spool, line(3))
    file(spool)
    assert texts(spool, BOB) == [["a line 3"]]


def forget(spool: Spool, days: int) -> int:
    rules = rules_of(configuration.parse({}))
    return spool.forget(
        NOW + days * DAY * SECOND,
        7 * DAY * SECOND,
        lambda events, roster, partial: fold_roster(events, roster, rules, partial=partial),
    ).events


def test_then_the_events_can_leave_the_spool(spool: Spool) -> None:
    bring(spool, line(0), line(1))
    file(spool, history={"enabled": False})
    for mailbox in PEOPLE:
        assert forget(spool, 365) == 0
        spool.drop_withheld(mailbox, person="root", reason="over", now=NOW)
    assert forget(spool, 6) == 0
    assert forget(spool, 8) == 2
    assert spool.totals().spooled == 0


def test_dropped_while_an_attempt_is_under_way_stays_dropped(spool: Spool) -> None:
    bring(spool, line(0))
    (lease,) = spool.claim(NOW, 9)
    withheld = Delivery(BOB, "CH", "", 1, DeliveryState.WITHHELD, "too old", 9)
    filing = Filing(lease.place, b"v1", 0, 1, 1, (1,), (withheld,))
    begun = spool.begin([filing], NOW)
    assert drop(spool) == 1
    spool.finish(begun, NOW)
    again = spool.begin([replace(filing, deliveries=(replace(withheld, state=DeliveryState.ATTEMPTED),))], NOW)
    assert again[0].deliveries[0].state is DeliveryState.DROPPED
    spool.finish(again, NOW)
    (read,) = spool.priors(lease.place, 0, 9)
    assert (read.deliveries[0].state, read.deliveries[0].reason) == (DeliveryState.DROPPED, "he left")
    assert spool.versions(lease.place) == {b"v1"}


def test_many_are_dropped_in_short_transactions_under_one_record(spool: Spool) -> None:
    bring(spool, line(0))
    (lease,) = spool.claim(NOW, 9)
    withheld = Delivery(BOB, "CH", "", 1, DeliveryState.WITHHELD, "too old", 10)
    filings = [Filing(lease.place, b"%d" % n, 0, 1, 1, (1,), (withheld,)) for n in range(450)]
    spool.finish(spool.begin(filings, NOW), NOW)
    assert drop(spool) == 450
    assert [(each.deliveries, each.bytes) for each in spool.dropped()] == [(450, 4500)]
    assert [each.details["items"] for each in spool.audits()] == [200, 200, 50]


def test_under_a_hold_nothing_is_dropped(spool: Spool) -> None:
    bring(spool, line(0), line(1))
    file(spool, **CLOSED)
    hold = spool.place_hold(BOB, by="legal", reason="case 7", query="line", now=NOW)
    with pytest.raises(UsageError, match=f"under hold {hold.number}"):
        drop(spool)
    assert "under hold" in call(spool, "doctor", "--drop-withheld", BOB, "--reason", "r", status=2)
    assert (spool.totals().withheld, spool.dropped()) == (1, [])
    assert [told.action for told in spool.audits()] == ["hold placed"]
    spool.release_hold(hold.number, by="legal", reason="over", now=NOW)
    assert drop(spool) == 1


# --- the command


def call(spool: Spool, *arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(main, ["--data", str(spool.data), *arguments])
    assert result.exit_code == status, result.output
    return result.output


def test_the_command_wants_a_reason_and_says_how_many(spool: Spool) -> None:
    bring(spool, line(0), line(1))
    file(spool, **CLOSED)
    assert "--reason" in call(spool, "doctor", "--drop-withheld", BOB, status=2)
    assert "--reason" in call(spool, "doctor", "--drop-withheld", BOB, "--reason", "  ", status=2)
    assert "--drop-withheld" in call(spool, "doctor", "--reason", "x", status=2)
    assert "nothing of x" in call(
        spool, "doctor", "--drop-withheld", BOB, "--reason", "r", "--conversation", "x", status=2
    )
    assert spool.totals().withheld == 1
    said = call(spool, "doctor", "--drop-withheld", f"xmpp:{BOB.upper()}", "--reason", "he \x1b[2Jleft")
    assert f"1 item of {BOB} dropped" in said
    assert "nothing is withheld" in call(spool, "doctor", "--drop-withheld", BOB, "--reason", "r", status=2)
    assert "1 item dropped by command: archiver status --dropped" in call(spool, "status")
    listed = call(spool, "status", "--dropped")
    assert BOB in listed and "left" in listed and "\x1b" not in listed
    (record,) = json.loads(call(spool, "status", "--dropped", "--json"))
    assert record["reason"] == "he \x1b[2Jleft" and record["deliveries"] == 1 and record["person"]


def test_where_there_is_no_spool_it_is_said(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["--data", str(tmp_path / "x"), "doctor", "--drop-withheld", BOB, "--reason", "r"]
    )
    assert result.exit_code == 2 and not (tmp_path / "x").exists()
