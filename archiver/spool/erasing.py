"""Taking one person's words out of the spool's tables and its file. Holds no rule of what is theirs: it is passed in.

Identities stay, so that the same input read again is known; rows are changed, not removed, so that counts stay true.
Everything is read and written lot by lot, however much there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from archiver.events import Captured, Event
from archiver.spool import files
from archiver.spool.database import Connections
from archiver.spool.journal import Tally, known
from archiver.spool.records import Journalled, LocalItem, Rostered
from archiver.types import DeliveryState, Destination, Roster

_AT_ONCE = 500
_decode = msgspec.json.Decoder(Event).decode
_decode_roster = msgspec.json.Decoder(Roster).decode
_decode_people = msgspec.json.Decoder(list[str]).decode
IsTheirs = Callable[[str, str, bytes], bool]
"""Source, position and content of something quarantined."""
Without = Callable[[Sequence[Captured]], Sequence[Captured]]
"""Both sides of a conflict, without what is theirs."""
Text = Callable[[str], str]

FILED, PURGED = DeliveryState.FILED, DeliveryState.PURGED

_TOLD = (
    ("delivery", "reason"),
    ("filing", "error"),
    ("place", "error"),
    ("conflict", "id"),
    ("quarantine", "position"),
    ("dropping", "conversation"),
    ("backfill", "paths"),
    ("backfill", "report"),
    ("backfill_part", "told"),
)
"""Columns of words that may quote an identifier or an address."""


def places(connections: Connections) -> Iterator[Rostered]:
    after = 0
    while True:
        with connections.reading() as connection:
            rows = connection.execute(
                """SELECT place.n, source.name, conversation, kind, roster.body FROM place
                JOIN source ON source.n = place.source LEFT JOIN roster ON roster.place = place.n
                WHERE place.n > ? ORDER BY place.n LIMIT ?""",
                (after, _AT_ONCE),
            ).fetchall()
        for number, source, conversation, kind, body in rows:
            yield Rostered(number, source, conversation, kind, None if body is None else _decode_roster(body))
        if len(rows) < _AT_ONCE:
            return
        after = rows[-1][0]


def journal(connections: Connections) -> Iterator[list[Journalled]]:
    """Every delivery there ever was, lot by lot."""
    with connections.reading() as connection:
        (last,) = connection.execute("SELECT value FROM counter WHERE name = 'delivery'").fetchone()
    for start in range(0, last, _AT_ONCE):
        with connections.reading() as connection:
            rows = connection.execute(
                """SELECT delivery.n, filing, address, destination, folder, name, state FROM delivery
                JOIN mailbox ON mailbox.n = delivery.mailbox WHERE delivery.n > ? AND delivery.n <= ?""",
                (start, start + _AT_ONCE),
            ).fetchall()
        yield [
            Journalled(number, filing, mailbox, Destination(to), folder, name, DeliveryState(state))
            for number, filing, mailbox, to, folder, name, state in rows
        ]


def rewrite(connections: Connections, events: Sequence[Captured]) -> None:
    """Events of the spool with other bodies; what files they share is held no longer."""
    with connections.writing() as transaction:
        connection = transaction.connection
        connection.executemany("UPDATE event SET body = ? WHERE n = ?", [(e.body, e.number) for e in events])
        bare = [(f"event:{e.number}",) for e in events if not e.event.data.attachments]
        connection.executemany("DELETE FROM blob_holder WHERE holder = ?", bare)


def rewrite_place(connections: Connections, place: int, conversation: str, roster: Roster | None) -> None:
    """Another key for a place, unless another place has it, and another roster if it has one."""
    with connections.writing() as transaction:
        connection = transaction.connection
        connection.execute("UPDATE OR IGNORE place SET conversation = ? WHERE n = ?", (conversation, place))
        if roster is not None:
            connection.execute("UPDATE roster SET body = ? WHERE place = ?", (msgspec.json.encode(roster), place))


def rewrite_whispers(connections: Connections, place: int, without: Callable[[list[str]], Sequence[str]]) -> None:
    """Between whom forgotten whispers of a place were."""
    with connections.writing() as transaction:
        connection = transaction.connection
        rows = connection.execute("SELECT DISTINCT parties FROM whisper WHERE place = ?", (place,)).fetchall()
        for (parties,) in rows:
            bare = msgspec.json.encode(sorted(without(_decode_people(parties)))).decode()
            if bare != parties:
                connection.execute(
                    "UPDATE OR REPLACE whisper SET parties = ? WHERE place = ? AND parties = ?", (bare, place, parties)
                )


def conflicts(connections: Connections, without: Without) -> int:
    """Both sides of every conflict; how many rows changed."""
    after = changed = 0
    while True:
        with connections.reading() as connection:
            rows = connection.execute(
                "SELECT n, kept, other FROM conflict WHERE n > ? ORDER BY n LIMIT ?", (after, _AT_ONCE)
            ).fetchall()
        bare = [(*_sides(kept, other, without), number) for number, kept, other in rows]
        new = [row for row, (number, *old) in zip(bare, rows, strict=True) if row != (*old, number)]
        with connections.writing() as transaction:
            transaction.connection.executemany("UPDATE conflict SET kept = ?, other = ? WHERE n = ?", new)
        changed += len(new)
        if len(rows) < _AT_ONCE:
            return changed
        after = rows[-1][0]


def _sides(kept: bytes | None, other: bytes, without: Without) -> tuple[bytes | None, bytes]:
    sides = [Captured(_decode(side), 0, 0, bytes(side)) for side in (kept, other) if side is not None]
    bare = [each.body for each in without(sides)]
    return (None if kept is None else bare[0]), bare[-1]


def quarantined(connections: Connections, tree: files.Tree, is_theirs: IsTheirs) -> int:
    """Contents go, and what was said beside them; rows stay, so that counts stay true. How many contents went."""
    after = gone = 0
    while True:
        with connections.reading() as connection:
            rows = connection.execute(
                "SELECT n, source, position, file FROM quarantine WHERE n > ? ORDER BY n LIMIT ?", (after, _AT_ONCE)
            ).fetchall()
        for number, source, position, name in rows:
            content = tree.read(name)
            if content is not None and is_theirs(source, position, content):
                with connections.writing() as transaction:  # it may quote what was wrong
                    transaction.connection.execute("UPDATE quarantine SET reason = 'erased' WHERE n = ?", (number,))
                tree.remove(f"{name}.reason")
                tree.remove(name)
                gone += 1
        if len(rows) < _AT_ONCE:
            return gone
        after = rows[-1][0]


def forget_person(
    connections: Connections, mailbox: str, pseudonym: str, text: Text, is_them: Callable[[str, str], bool]
) -> None:
    """Under which address the journal knows them, and where else it is written."""
    with connections.reading() as connection:
        met = connection.execute("SELECT source, address FROM stranger").fetchall()
        nicks = connection.execute("SELECT place, nick FROM nick").fetchall()
    with connections.writing() as transaction:
        connection = transaction.connection
        connection.execute("UPDATE OR IGNORE mailbox SET address = ? WHERE address = ?", (pseudonym, mailbox))
        theirs = [row for row in met if is_them(*row)]
        connection.executemany("DELETE FROM stranger WHERE source = ? AND address = ?", theirs)
        theirs = [(place, nick) for place, nick in nicks if is_them(f"any:{place}", nick)]
        connection.executemany("DELETE FROM nick WHERE place = ? AND nick = ?", theirs)
        connection.create_function("erased", 1, text, deterministic=True)
        for table, column in _TOLD:
            connection.execute(
                f"UPDATE OR IGNORE {table} SET {column} = erased({column}) "  # noqa: S608
                f"WHERE {column} <> '' AND {column} <> erased({column})"
            )
        connection.create_function("erased", 1, None)


def replace_local(connections: Connections, old: LocalItem, name: str, sha256: str, content: bytes, left: str) -> None:
    """Another content for an item of the local archive, which is no longer that of the person `left`."""
    with connections.writing() as transaction:
        connection = transaction.connection
        connection.execute(
            "UPDATE local_archive SET name = ?, sha256 = ?, size = ?, content = ? WHERE n = ?",
            (name, sha256, len(content), content, old.number),
        )
        connection.execute(
            "DELETE FROM local_participant WHERE item = ? AND mailbox = (SELECT n FROM mailbox WHERE address = ?)",
            (old.number, left),
        )


def renamed(connections: Connections, items: Iterable[tuple[int, str, int]], now: int) -> None:
    """Deliveries whose item has another name and size; without a name it was taken out, with one it is there."""
    tally = Tally()
    with connections.writing() as transaction:
        connection = transaction.connection
        for number, name, size in items:
            old = known(connection, number)
            if old is None or old.state not in ((FILED, PURGED) if name else (FILED,)):
                continue
            state = FILED if name else PURGED
            connection.execute(
                "UPDATE delivery SET name = ifnull(nullif(?, ''), name), size = ?, state = ?, at = ? WHERE n = ?",
                (name, size if name else old.size, state.value, now, number),
            )
            tally.move(old, state, size if name else old.size)
        tally.write(connection)


def hold_only(connections: Connections, holder: str, digests: Iterable[str]) -> None:
    """These contents, and no others, stay for this holder."""
    with connections.writing() as transaction:
        connection = transaction.connection
        connection.execute("DELETE FROM blob_holder WHERE holder = ?", (holder,))
        connection.executemany(
            "INSERT INTO blob_holder (sha256, holder) VALUES (?, ?)", [(sha, holder) for sha in sorted(set(digests))]
        )


def scrub(connections: Connections) -> None:
    """Make the file anew, so that nothing of what was there is in its free pages, and cut the write-ahead log."""
    with connections.reading() as connection:
        connection.execute("VACUUM")
    connections.checkpoint()
