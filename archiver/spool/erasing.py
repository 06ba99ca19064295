"""Taking one person's words out of the spool's tables and its file. Holds no rule of what is theirs: it is passed in.

Identities stay, so that the same input read again is known; rows are changed, not removed, so that counts stay true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from archiver.events import Captured, Event
from archiver.spool import files
from archiver.spool.database import Connections
from archiver.spool.journal import Tally, known
from archiver.spool.records import LocalItem
from archiver.types import DeliveryState

_AT_ONCE = 100
_decode = msgspec.json.Decoder(Event).decode
IsTheirs = Callable[[str, str, bytes], bool]
"""Source, position and content of something quarantined."""
Without = Callable[[Captured], Captured]


def rewrite(connections: Connections, events: Sequence[Captured]) -> None:
    """Events of the spool with other bodies; what files they share is held no longer."""
    for start in range(0, len(events), _AT_ONCE):
        some = events[start : start + _AT_ONCE]
        with connections.writing() as transaction:
            connection = transaction.connection
            connection.executemany("UPDATE event SET body = ? WHERE n = ?", [(e.body, e.number) for e in some])
            bare = [(f"event:{e.number}",) for e in some if not e.event.data.attachments]
            connection.executemany("DELETE FROM blob_holder WHERE holder = ?", bare)


def conflicts(connections: Connections, without: Without) -> int:
    """Both sides of every conflict; how many rows changed."""
    with connections.reading() as connection:
        rows = connection.execute("SELECT n, kept, other FROM conflict").fetchall()
    changed = []
    for number, *sides in rows:
        bare = [side if side is None else without(Captured(_decode(side), 0, 0, bytes(side))).body for side in sides]
        if bare != sides:
            changed.append((*bare, number))
    with connections.writing() as transaction:
        transaction.connection.executemany("UPDATE conflict SET kept = ?, other = ? WHERE n = ?", changed)
    return len(changed)


def quarantined(connections: Connections, tree: files.Tree, is_theirs: IsTheirs) -> int:
    """Contents go, the rows that say why something was quarantined stay; how many."""
    with connections.reading() as connection:
        rows = connection.execute("SELECT source, position, file FROM quarantine").fetchall()
    gone = 0
    for source, position, name in rows:
        content = tree.read(name)
        if content is not None and is_theirs(source, position, content):
            tree.remove(name)
            gone += 1
    return gone


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
    """Deliveries whose item has another name and size; without a name it was taken out."""
    tally = Tally()
    with connections.writing() as transaction:
        connection = transaction.connection
        for number, name, size in items:
            old = known(connection, number)
            if old is None or old.state is not DeliveryState.FILED:
                continue
            state = DeliveryState.FILED if name else DeliveryState.PURGED
            connection.execute(
                "UPDATE delivery SET name = ifnull(nullif(?, ''), name), size = ?, state = ?, at = ? WHERE n = ?",
                (name, size if name else old.size, state.value, now, number),
            )
            tally.move(old, state, size if name else old.size)
        tally.write(connection)


def scrub(connections: Connections) -> None:
    """Make the file anew, so that nothing of what was there is in its free pages, and cut the write-ahead log."""
    with connections.reading() as connection:
        connection.execute("VACUUM")
    connections.checkpoint()
