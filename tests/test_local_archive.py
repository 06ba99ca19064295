"""The local archive: complete items in the spool's own database, kept once, listed without their contents."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from builders import BASE, say

from archiver.events import SECOND
from archiver.spool import Spool, pieces
from archiver.spool.database import Connections, Transaction
from archiver.spool.records import LocalCopy
from archiver.types import Delivery, DeliveryState, Destination, Filing, Item

NOW = (BASE + 1_000) * SECOND


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool.open(tmp_path) as opened:
        feed = opened.open_feed("log", "import", now=NOW).number
        opened.append([say("a@x", "t", n, room=f"room{n}") for n in range(3)], feed, now=NOW)
        yield opened


def copy(place: int, key: str, *mailboxes: str, at: int = 0, size: int = 10) -> LocalCopy:
    time = (BASE + at) * SECOND
    item = Item(key, f"{BASE + at}.K{key}", f"<{key}@x>", "S", time, time + SECOND, True, key.encode() * size)
    return LocalCopy(place, b"v1", item, mailboxes)


def test_a_copy_is_kept_once_for_all_it_is_archived_for(spool: Spool) -> None:
    spool.keep_local([copy(1, "k1", "b@x", "a@x")], NOW)
    spool.keep_local([copy(1, "k1", "a@x"), copy(1, "k1", "c d@x")], NOW + 5)
    (item,) = spool.local_items()
    assert item.mailboxes == ("a@x", "b@x", "c d@x")
    assert (item.source, item.conversation, item.version, item.at) == ("test:one", "room0", b"v1", NOW)
    content = spool.local_content(item.number)
    assert content == b"k1" * 10
    assert (item.sha256, item.size) == (sha256(content).hexdigest(), 20)


def test_every_version_stays(spool: Spool) -> None:
    spool.keep_local([copy(1, "k1", "a@x"), copy(1, "k2", "a@x"), copy(2, "k1", "a@x")], NOW)
    assert [(item.conversation, item.name) for item in spool.local_items()] == [
        ("room0", f"{BASE}.Kk1"),
        ("room0", f"{BASE}.Kk2"),
        ("room1", f"{BASE}.Kk1"),
    ]


def test_listing_by_time_person_and_what_was_exported(spool: Spool) -> None:
    spool.keep_local([copy(1, "k1", "a@x"), copy(2, "k2", "b@x", at=100), copy(3, "k3", "a@x", at=200)], NOW)

    def listed(**bounds: object) -> list[str]:
        return [item.name.rpartition("K")[2] for item in spool.local_items(**bounds)]  # type: ignore[arg-type]

    assert listed() == ["k1", "k2", "k3"]
    assert listed(mailbox="a@x") == ["k1", "k3"]
    assert listed(mailbox="nobody@x") == []
    assert listed(since=(BASE + 1) * SECOND) == ["k1", "k2", "k3"]  # its last event is in it
    assert listed(since=(BASE + 2) * SECOND, until=(BASE + 200) * SECOND) == ["k2"]
    spool.mark_exported([1], NOW)
    spool.mark_exported([1, 3], NOW + 1)
    assert [item.exported for item in spool.local_items()] == [NOW, None, NOW + 1]
    assert listed(exported=False) == ["k2"]


def test_what_is_dropped_is_gone(spool: Spool) -> None:
    spool.keep_local([copy(1, "k1", "a@x"), copy(2, "k2", "a@x")], NOW)
    assert spool.drop_local([1, 9]) == 1
    assert [item.number for item in spool.local_items(mailbox="a@x")] == [2]
    assert spool.local_content(1) is None


def test_many_large_ones_are_written_in_several_transactions(spool: Spool) -> None:
    spool.keep_local([copy(1, f"k{n}", "a@x", size=200_000) for n in range(10)], NOW)
    assert len(list(spool.local_items())) == 10


LARGE = 500_000
"""Times two letters: some pieces."""


def rows(spool: Spool, table: str) -> int:
    return int(spool._connections.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_large_one_is_kept_in_pieces_and_read_whole(spool: Spool) -> None:
    large, small = copy(1, "k1", "a@x", size=LARGE), copy(2, "k2", "a@x")
    spool.keep_local([large, small], NOW)
    spool.keep_local([copy(1, "k1", "b@x", size=LARGE)], NOW)
    first, second = spool.local_items()
    assert (first.size, first.mailboxes, second.size) == (2 * LARGE, ("a@x", "b@x"), 20)
    assert spool.local_content(first.number) == large.item.content
    assert rows(spool, "local_piece") == -(-2 * LARGE // pieces.SIZE)
    assert spool.drop_local([first.number, second.number]) == 2
    assert rows(spool, "local_piece") == 0


def test_no_transaction_waits_for_a_large_one(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in bytes, not in time: the log grows by no more than a piece between two commits."""
    grown: list[int] = []
    run = Connections._run

    def watched(self: Connections, transaction: Transaction) -> Iterator[Transaction]:
        before = transaction.connection.total_changes
        yield from run(self, transaction)
        grown.append(transaction.connection.total_changes - before)

    monkeypatch.setattr(Connections, "_run", watched)
    spool.keep_local([copy(1, "k1", "a@x", size=LARGE)], NOW)
    assert len(grown) == -(-2 * LARGE // pieces.SIZE) + 1 and max(grown[:-1]) == 1
    grown.clear()
    spool.drop_local([1])
    assert max(grown) <= 4


@pytest.mark.parametrize("after", range(1, 5))
def test_killed_between_pieces_it_is_kept_whole_at_the_next_attempt(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    run, calls = Connections._run, [0]

    def killed(self: Connections, transaction: Transaction) -> Iterator[Transaction]:
        calls[0] += 1
        if calls[0] == after:
            raise KeyboardInterrupt
        yield from run(self, transaction)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Connections, "_run", killed)
        spool.keep_local([copy(1, "k1", "a@x", size=LARGE)], NOW)
    assert list(spool.local_items()) == []
    if after % 2:
        spool.reap(NOW)
        assert rows(spool, "local_piece") == 0
    spool.keep_local([copy(1, "k1", "a@x", size=LARGE)], NOW)
    (item,) = spool.local_items()
    assert sha256(spool.local_content(item.number) or b"").hexdigest() == item.sha256


def test_pieces_swept_while_they_are_written_are_written_again(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    write, swept = pieces.write, []

    def disturbed(connections: Connections, digest: str, content: bytes) -> None:
        write(connections, digest, content)
        if not swept:
            swept.append(spool.reap(NOW))

    monkeypatch.setattr(pieces, "write", disturbed)
    spool.keep_local([copy(1, "k1", "a@x", size=LARGE)], NOW)
    (item,) = spool.local_items()
    assert swept and len(spool.local_content(item.number) or b"") == 2 * LARGE


def test_another_content_in_its_place_leaves_nothing_of_a_large_one(spool: Spool) -> None:
    spool.keep_local([copy(1, "k1", "a@x", size=LARGE)], NOW)
    (item,) = spool.local_items()
    spool.replace_local(item, "other", sha256(b"less").hexdigest(), b"less", "a@x")
    assert spool.local_content(item.number) == b"less"
    assert rows(spool, "local_piece") == 0


def test_a_large_one_of_an_earlier_archiver_stays_where_it_is(spool: Spool) -> None:
    large = copy(1, "k1", "a@x", size=LARGE)
    spool.keep_local([copy(1, "k1", "a@x")], NOW)
    with spool._connections.writing() as transaction:
        digest = sha256(large.item.content).hexdigest()
        row = (large.item.content, digest, len(large.item.content))
        transaction.connection.execute("UPDATE local_archive SET content = ?, sha256 = ?, size = ?", row)
    spool.keep_local([large], NOW)
    (item,) = spool.local_items()
    assert spool.local_content(item.number) == large.item.content and rows(spool, "local_piece") == 0
    assert spool.drop_local([item.number]) == 1


def test_a_list_reads_no_contents(spool: Spool) -> None:
    """A purge or an export plans over millions: contents lie behind what it needs."""
    spool.keep_local([copy(1, f"k{n}", "a@x", size=500_000) for n in range(40)], NOW)
    spool.checkpoint()
    pages = 40 * 500_000 * 2 // 4096
    connection = spool._connections.db.conn
    read = 0

    def count() -> int:
        nonlocal read
        read += 1
        return 0

    assert isinstance(connection, sqlite3.Connection)
    connection.set_progress_handler(count, 1)
    assert len(list(spool.local_items())) == 40
    connection.set_progress_handler(None, 1)
    assert read < pages


def test_counts_tell_the_archives_from_conversation_history(spool: Spool) -> None:
    spool.close_feed(1, NOW)
    lease = spool.claim(NOW, 1)[0]
    state = DeliveryState.FILED

    def delivery(destination: Destination, state: DeliveryState, reason: str = "") -> Delivery:
        return Delivery("a@x", "F", "n", 1, state, reason, 7, destination=destination)

    deliveries = (
        delivery(Destination.HISTORY, state),
        delivery(Destination.ARCHIVE, DeliveryState.WITHHELD, "too old"),
        delivery(Destination.LOCAL, state),
    )
    (begun,) = spool.begin([Filing(lease.place, b"v", NOW, NOW, 1, (1,), deliveries)], NOW)
    spool.finish([begun], NOW)
    told = [(count.destination, count.state, count.deliveries) for count in spool.mailboxes()]
    assert told == [("history", "filed", 1), ("archive", "withheld", 1), ("local", "filed", 1)]
    totals = spool.totals()
    assert (totals.filed, totals.withheld, totals.archived, totals.unarchived) == (1, 0, 1, 1)
    assert [(kept.destination, kept.reason) for kept in spool.withheld()] == [("archive", "too old")]
