"""Every public method of the spool on a file locked by another process, on one locked for reading too, and on a full
disk: `TryLater` or an answer, nothing half done, and usable again afterwards."""

from __future__ import annotations

import hashlib
import inspect
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from shutil import copytree

import pytest
from builders import BASE, event, say
from msgspec.structs import replace

from archiver.events import SECOND, Captured, Rejected
from archiver.exceptions import TryLater
from archiver.spool import Spool, seal
from archiver.spool.beside import Beside
from archiver.spool.records import Entry, Exported, LocalCopy, Reading, Room
from archiver.spool.runs import Far, State, Step
from archiver.spool.undoing import Ranges
from archiver.types import Delivery, DeliveryState, Destination, Exclusion, Filing, Head, Item, Lease, Roster

START = BASE * SECOND
DAY = 86_400 * SECOND
PICTURE = hashlib.sha256(b"picture").hexdigest()


class Scene:
    """A spool with something to do for every method."""

    def __init__(self, data: Path) -> None:
        self.spool = Spool.open(data, patience=0.05)
        self.feed = self.spool.open_feed("log", "import", now=START).number
        rooms = ("withheld", "given up", "parked", "parked place", "attempted", "old", "free", "leased", "given back")
        rooms += ("unarchived",)
        events = [say(f"a{n}@x", "t", n, room=room) for n, room in enumerate(rooms)]
        self.spool.append([*events, shared(), Rejected(b"bad", "log:1", "no JSON")], self.feed, now=START)
        self.spool.append([say("a0@x", "other", 0, room="withheld")], self.feed, now=START)
        self.run = self.spool.begin_run(self.feed, "events", ["/x"], "{}", START).number
        self.spool.append([], self.feed, now=START, backfill=Step(self.run, (Far(b"key", 1, whole=True),)))
        self.spool.close_feed(self.feed, START)
        self.open = self.spool.open_feed("open", "import", now=START).number
        self.spool.append([say("b@x", "t", 1, room="opened")], self.open, now=START)
        self.leases = {lease.conversation: lease for lease in self.spool.claim(START, 99)}
        self.file("withheld", DeliveryState.WITHHELD)
        self.file("given up", DeliveryState.WITHHELD)
        self.unarchived = self.file("unarchived", DeliveryState.WITHHELD, Destination.ARCHIVE)
        self.spool.drop_withheld("a@x", person="me", reason="old", now=START, conversation="given up")
        self.parked = self.file("parked", DeliveryState.PARKED)
        self.attempted = self.file("attempted", DeliveryState.ATTEMPTED)
        self.filed = self.file("old", DeliveryState.FILED)
        self.spool.park_place(self.leases["parked place"], "no idea", START)
        self.spool.release([self.leases["free"]])
        self.spool.hold_blobs("delivery:1", [PICTURE])
        self.spool._connections.db.execute("DELETE FROM blob_holder WHERE holder LIKE 'event:%'")
        self.spool.note_strangers([("irc:a", "bob", 1)], START)
        self.hold = self.spool.place_hold("b@x", by="judge", reason="case 1", now=START).number
        self.exclusion = self.spool.add_exclusion(EXCLUSION, START).number
        self.spool.note_heads({"a@x": Head(1, "aa")})
        self.spool.keep_local([copy_of(self.leases["old"], "old")], START)
        rows = self.spool._connections.db
        rows.execute("INSERT INTO whisper VALUES (?, 1, ?)", (self.lease().place, '["a@x","b@x"]'))
        rows.execute("INSERT INTO told_again VALUES (?, 1, 1)", (self.run,))
        rows.execute("INSERT INTO roster VALUES (?, ?, ?, ?)", (self.leases["free"].place, 2**60, 2**60, b"{}"))

    def copy(self, data: Path) -> Scene:
        """The same in another directory, its leases those of the spool opened there."""
        copytree(self.spool.data, data)
        made = copy(self)
        made.spool = Spool.open(data, patience=0.05)
        made.spool._connections.db.execute("UPDATE place SET owner = ? WHERE owner NOTNULL", [made.spool.owner])
        made.leases = {room: replace(lease, owner=made.spool.owner) for room, lease in self.leases.items()}
        return made

    def file(self, room: str, state: DeliveryState, destination: Destination = Destination.HISTORY) -> Filing:
        lease = self.leases[room]
        (begun,) = self.spool.begin([filing(lease, state, destination)], START)
        self.spool.finish([begun], START)
        self.spool.finish_place(lease, None)
        return begun

    def lease(self) -> Lease:
        return self.leases["leased"]

    def rows(self) -> list[str]:
        """All there is, to compare."""
        return list(self.spool._connections.db.conn.iterdump())


EXCLUSION = Exclusion(0, "irc:a", "", "", START, None, "judge", "case 1", START)


def copy_of(lease: Lease, name: str) -> LocalCopy:
    item = Item(name, f"1.K{name}", f"<{name}@x>", "Subject", START, START, True, b"content")
    return LocalCopy(lease.place, b"v1", item, ("a@x",))


def shared() -> Captured:
    captured = event("file.shared", 1, "s@x", room="files", attachments=[{"sha256": PICTURE}])
    return replace(captured, attached=((PICTURE, b"picture"),))


def filing(
    lease: Lease, state: DeliveryState = DeliveryState.ATTEMPTED, destination: Destination = Destination.HISTORY
) -> Filing:
    delivery = Delivery("a@x", "CH", "n", 1, state, "why", 9, destination=destination)
    return Filing(lease.place, b"v1", START, START, 1, (lease.place,), (delivery,))


def filed(filing: Filing) -> Filing:
    return replace(filing, deliveries=tuple(replace(each, state=DeliveryState.FILED) for each in filing.deliveries))


def fresh() -> list[Captured | Rejected]:
    new = hashlib.sha256(b"new").hexdigest()
    attached = replace(shared(), attached=((new, b"new"),))
    return [say("new@x", "text", 7), replace(attached, event=replace(attached.event, id="n")), Rejected(b"x", "l", "r")]


def unchanged(events: object, roster: Roster, partial: bool) -> Roster:
    return roster


WRITES: dict[str, Callable[[Scene], object]] = {
    "indexed": lambda s: s.spool.indexed([1]),
    "append": lambda s: s.spool.append(fresh(), s.feed, now=START),
    "open_feed": lambda s: s.spool.open_feed("another", "live", now=START),
    "contact": lambda s: s.spool.contact(s.open, START + 5),
    "note_reading": lambda s: s.spool.note_reading(s.open, Reading(START, 0, 1.5, None, 0, START)),
    "close_feed": lambda s: s.spool.close_feed(s.open, START),
    "claim": lambda s: s.spool.claim(START, 9),
    "extend": lambda s: s.spool.extend([s.lease()], START + 5),
    "finish_places": lambda s: s.spool.finish_places([(s.lease(), None)]),
    "finish_place": lambda s: s.spool.finish_place(s.lease(), None),
    "release": lambda s: s.spool.release([s.lease()]),
    "retry_place": lambda s: s.spool.retry_place(s.lease(), "broken", START),
    "park_place": lambda s: s.spool.park_place(s.lease(), "broken", START),
    "begin": lambda s: s.spool.begin([filing(s.lease())], START),
    "finish": lambda s: s.spool.finish([filed(s.attempted)], START),
    "fail": lambda s: s.spool.fail([s.attempted], "broken", START),
    "park": lambda s: s.spool.park([s.attempted], "broken", START),
    "unpark": lambda s: s.spool.unpark(filings=[s.parked.number], places=[s.leases["parked place"].place], now=START),
    "attempt_again": lambda s: s.spool.attempt_again(s.filed.deliveries[0].number, START),
    "wake": lambda s: s.spool.wake(["a@x"], START),
    "drop_withheld": lambda s: s.spool.drop_withheld("a@x", person="me", reason="old", now=START),
    "wake_one": lambda s: s.spool.wake_one("why", START),
    "begin_notices": lambda s: s.spool.begin_notices(["a@x"], START),
    "finish_notices": lambda s: (s.spool.begin_notices(["a@x"], START), s.spool.finish_notices(["a@x"], START)),
    "note_failures": lambda s: s.spool.note_failures([(s.unarchived.deliveries[0].number, "full")], START),
    "count_put_off": lambda s: s.spool.count_put_off("chat1", 3, START),
    "note_strangers": lambda s: s.spool.note_strangers([("irc:a", "bob", 1)], START),
    "purged": lambda s: s.spool.purged([s.filed.deliveries[0].number], START),
    "rewrite_events": lambda s: s.spool.rewrite_events(
        [replace(e, body=b"{}") for e in s.spool.events(s.lease().place, s.lease().upto)]
    ),
    "rewrite_conflicts": lambda s: s.spool.rewrite_conflicts(lambda sides: [replace(e, body=b"{}") for e in sides]),
    "rewrite_place": lambda s: s.spool.rewrite_place(s.lease().place, "elsewhere", None),
    "rewrite_whispers": lambda s: s.spool.rewrite_whispers(s.lease().place, lambda parties: parties[:1]),
    "drop_forgotten": lambda s: s.spool.drop_forgotten(),
    "hold_only": lambda s: s.spool.hold_only("delivery:1", []),
    "forget_person": lambda s: s.spool.forget_person("a@x", "nobody", str.upper, lambda *_: True),
    "replace_local": lambda s: s.spool.replace_local(next(s.spool.local_items()), "n", "s", b"other", "a@x"),
    "rename_deliveries": lambda s: s.spool.rename_deliveries([(s.filed.deliveries[0].number, "new", 7)], START),
    "hold_blobs": lambda s: s.spool.hold_blobs("delivery:2", [PICTURE]),
    "keep_local": lambda s: s.spool.keep_local([copy_of(s.lease(), "new")], START),
    "mark_exported": lambda s: s.spool.mark_exported([1], START),
    "lease_place": lambda s: s.spool.lease_place(1, START),
    "release_place": lambda s: s.spool.release_place(s.leases["leased"].place),
    "drop_excluded": lambda s: s.spool.drop_excluded(EXCLUSION, 1, [1], 9, "council", "agreed", START),
    "note_exported": lambda s: s.spool.note_exported([Exported("a@x", Destination.HISTORY, "n", "s", START)]),
    "drop_local": lambda s: s.spool.drop_local([1]),
    "drop_blobs": lambda s: s.spool.drop_blobs("delivery:1"),
    "place_hold": lambda s: s.spool.place_hold("b@x", by="judge", reason="case 2", now=START),
    "note_migrations": lambda s: s.spool.note_migrations({"a@x": START}),
    "release_hold": lambda s: s.spool.release_hold(s.hold, by="judge", reason="over", now=START),
    "take_hold": lambda s: s.spool.take_hold(s.hold, START),
    "add_exclusion": lambda s: s.spool.add_exclusion(EXCLUSION, START),
    "end_exclusion": lambda s: s.spool.end_exclusion(s.exclusion, START, by="judge", reason="over", now=START),
    "count_excluded": lambda s: s.spool.count_excluded({s.exclusion: 2}),
    "audit": lambda s: s.spool.audit(Entry("purged", "a@x", "judge", "old"), START),
    "audit_heads": lambda s: s.spool.audit_heads(START),
    "note_heads": lambda s: s.spool.note_heads({"a@x": Head(2, "bb")}),
    "begin_run": lambda s: s.spool.begin_run(1, "events", ["/x"], "other", START),
    "note_run": lambda s: s.spool.note_run(s.run, State.DONE, START, b"{}"),
    "take_back": lambda s: s.spool.take_back(
        s.spool.brought_to(Room(s.lease().place, "", ""), Ranges(((1, 99),))), [], Ranges(((1, 99),)), 9, START
    ),
    "mark_for_undo": lambda s: s.spool.mark_for_undo([s.filed.deliveries[0].number]),
    "forget_identities": lambda s: s.spool.forget_identities(Ranges(((1, 99),)), ()),
    "hand_over": lambda s: s.spool.hand_over(s.run),
    "note_nicks": lambda s: s.spool.note_nicks([("bob", "oftc")]),
    "forget_inputs": lambda s: s.spool.forget_inputs(),
    "refile": lambda s: s.spool.refile(Room(s.leases["old"].place, "", ""), START),
    "forget": lambda s: s.spool.forget(START + 30 * DAY, 7 * DAY, unchanged),
}
READS: dict[str, Callable[[Scene], object]] = {
    "holder": lambda s: s.spool.holder("daemon"),
    "feeds": lambda s: s.spool.feeds(),
    "backfills": lambda s: s.spool.backfills(),
    "parts_of_run": lambda s: list(s.spool.parts_of_run(s.run)),
    "backfill": lambda s: s.spool.backfill(s.run),
    "shared_events": lambda s: s.spool.shared_events(s.run),
    "beside": lambda s: s.spool.beside("test:one", "old", 9),
    "said": lambda s: s.spool.said(1, Beside(1, START, START, ()), 9),
    "used_nicks": lambda s: s.spool.used_nicks(),
    "inputs": lambda s: s.spool.inputs(),
    "to_file": lambda s: s.spool.to_file(s.run),
    "brought_numbers": lambda s: s.spool.brought_numbers(s.run),
    "brought_to": lambda s: s.spool.brought_to(Room(1, "", ""), Ranges(((1, 99),))),
    "rooms_of": lambda s: list(s.spool.rooms_of(1)),
    "came_of_it": lambda s: list(s.spool.came_of_it(1, 0)),
    "readings": lambda s: s.spool.readings(),
    "would_be": lambda s: s.spool.would_be([seal(say("a@x", "new", 1, id="new"))]),
    "events": lambda s: list(s.spool.events(s.lease().place, s.lease().upto)),
    "journalled": lambda s: list(s.spool.journalled()),
    "setback": lambda s: s.spool.setback(),
    "rostered": lambda s: list(s.spool.rostered()),
    "rooms": lambda s: s.spool.rooms(),
    "drop_quarantined": lambda s: s.spool.drop_quarantined(lambda *_: False),
    "is_filing": lambda s: s.spool.is_filing(),
    "local_deliveries": lambda s: s.spool.local_deliveries([1]),
    "only_local": lambda s: s.spool.only_local("a@x"),
    "filed_events": lambda s: s.spool.filed_events(1),
    "archived": lambda s: s.spool.archived("a@x", ["n"]),
    "exported": lambda s: s.spool.exported(Destination.HISTORY, [("a@x", "n")]),
    "aged": lambda s: list(s.spool.aged(2**62)),
    "watermark": lambda s: s.spool.watermark(s.lease().place, START, 0),
    "priors": lambda s: s.spool.priors(s.leases["old"].place, 0, START),
    "versions": lambda s: s.spool.versions(s.leases["old"].place),
    "unindexed": lambda s: s.spool.unindexed(Destination.HISTORY, 10),
    "index_backlog": lambda s: s.spool.index_backlog(Destination.HISTORY),
    "withheld_mailboxes": lambda s: s.spool.withheld_mailboxes(),
    "blob": lambda s: s.spool.blob(PICTURE),
    "local_items": lambda s: list(s.spool.local_items()),
    "local_content": lambda s: s.spool.local_content(1),
    "recalled": lambda s: s.spool.recalled(s.leases["old"].place, ["m"]),
    "whispered": lambda s: s.spool.whispered(s.leases["old"].place, ["m"]),
    "sources": lambda s: s.spool.sources(),
    "mailboxes": lambda s: s.spool.mailboxes(),
    "withheld": lambda s: s.spool.withheld(),
    "dropped": lambda s: s.spool.dropped(),
    "parked": lambda s: s.spool.parked(),
    "parked_filings": lambda s: s.spool.parked_filings(),
    "parked_places": lambda s: s.spool.parked_places(),
    "quarantined": lambda s: s.spool.quarantined(),
    "quarantined_content": lambda s: s.spool.quarantined_content(s.spool.quarantined()[0].file),
    "conflicts": lambda s: s.spool.conflicts(),
    "strangers": lambda s: s.spool.strangers(),
    "totals": lambda s: s.spool.totals(),
    "figures": lambda s: s.spool.figures(10**16),
    "placed": lambda s: s.spool.placed("ab"),
    "traced": lambda s: s.spool.traced(s.leases["old"].place, "a@x"),
    "untold": lambda s: s.spool.untold(),
    "deliveries": lambda s: list(s.spool.deliveries()),
    "delivery_state": lambda s: s.spool.delivery_state(s.filed.deliveries[0].number),
    "failures": lambda s: s.spool.failures(),
    "put_off": lambda s: s.spool.put_off(),
    "people": lambda s: s.spool.people("test:one", "leased"),
    "holds": lambda s: s.spool.holds(),
    "standing_holds": lambda s: s.spool.standing_holds(["a@x"]),
    "untaken_holds": lambda s: s.spool.untaken_holds(),
    "migrations": lambda s: s.spool.migrations(),
    "exclusions": lambda s: s.spool.exclusions(),
    "audits": lambda s: list(s.spool.audits()),
    "check_audit": lambda s: s.spool.check_audit(),
    "heads": lambda s: s.spool.heads(),
    "audited_heads": lambda s: s.spool.audited_heads(),
}
APART = {
    "let_refile",
    "drop_quarantined",
    "scrub",
    "open",
    "exists",
    "shrink",
    "hurry",
    "close",
    "reap",
    "sweep_blobs",
    "hold",
    "checkpoint",
}
"""Tested by name below: what they do depends on more than the file."""


def test_every_public_method_is_tried() -> None:
    public = {name for name, _ in inspect.getmembers(Spool, callable) if not name.startswith("_")}
    assert public == WRITES.keys() | READS.keys() | APART


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Made once: its many syncs cost more than all the rest."""
    made = Scene(tmp_path_factory.mktemp("prepared") / "data")
    made.spool.checkpoint()
    made.spool.close()
    return made


@pytest.fixture
def scene(tmp_path: Path, prepared: Scene) -> Iterator[Scene]:
    made = prepared.copy(tmp_path / "data")
    yield made
    made.spool.close()


class Locker:
    """Another process that locks the file on demand."""

    PROGRAM = """
import sqlite3, sys
for line in sys.stdin:
    how, path = line.rstrip("\\n").split(" ", 1)
    if how == "unlock":
        connection.close()
    else:
        connection = sqlite3.connect(path, isolation_level=None)
        if how == "alone":
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE counter SET value = value")
    print("done", flush=True)
"""

    def __init__(self) -> None:
        command = [sys.executable, "-c", self.PROGRAM]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, how: str, path: object = "") -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{how} {path}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    @contextmanager
    def locked(self, data: Path, how: str = "write") -> Iterator[None]:
        self.tell(how, data / "spool.db")
        try:
            yield
        finally:
            self.tell("unlock")


@pytest.fixture(scope="module")
def locker() -> Iterator[Locker]:
    made = Locker()
    yield made
    assert made.process.stdin is not None
    made.process.stdin.close()
    made.process.wait()


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow or be written: EFBIG from each write, whoever runs the test and wherever."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def refused(scene: Scene, call: Callable[[Scene], object]) -> None:
    with pytest.raises(TryLater) as caught:
        call(scene)
    assert caught.value.facts


@pytest.mark.parametrize("name", WRITES)
def test_writing_while_another_writes(name: str, scene: Scene, locker: Locker) -> None:
    before = scene.rows()
    with locker.locked(scene.spool.data):
        refused(scene, WRITES[name])
    assert scene.rows() == before
    WRITES[name](scene)
    assert scene.rows() != before


def test_the_file_is_not_made_anew_while_another_writes(scene: Scene, locker: Locker) -> None:
    before = scene.rows()
    with locker.locked(scene.spool.data):
        refused(scene, lambda s: s.spool.scrub())
    scene.spool.scrub()
    assert sorted(scene.rows()) == sorted(before)


@pytest.mark.parametrize("name", READS)
def test_reading_while_another_writes(name: str, scene: Scene, locker: Locker) -> None:
    free = READS[name](scene)
    with locker.locked(scene.spool.data):
        assert READS[name](scene) == free


@pytest.mark.parametrize("name", WRITES)
def test_writing_on_a_full_disk(name: str, scene: Scene) -> None:
    before = scene.rows()
    with full_disk():
        refused(scene, WRITES[name])
    assert scene.rows() == before
    WRITES[name](scene)
    assert scene.rows() != before
    assert scene.spool._connections.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("name", READS)
def test_reading_on_a_full_disk(name: str, scene: Scene) -> None:
    free = READS[name](scene)
    with full_disk():
        assert READS[name](scene) == free


@pytest.mark.parametrize("name", [name for name in READS if name not in ("holder", "blob")])
def test_reading_a_file_that_another_has_alone(name: str, scene: Scene, locker: Locker) -> None:
    spool, data = scene.spool, scene.spool.data
    spool._connections.close()
    with locker.locked(data, "alone"):
        refused(scene, READS[name])
    READS[name](scene)


def test_append_when_sqlite_finds_no_room(scene: Scene) -> None:
    connection = scene.spool._connections.db.conn
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    before = scene.rows()
    big = [say(f"big{n}@x", "text" * 2000, n) for n in range(300)]
    refused(scene, lambda s: s.spool.append(big, s.feed, now=START))
    assert scene.rows() == before
    connection.execute("PRAGMA max_page_count = 1000000")
    assert scene.spool.append(big, scene.feed, now=START).accepted == 300


def test_opening(tmp_path: Path, scene: Scene, locker: Locker) -> None:
    data = scene.spool.data
    scene.spool.close()
    with locker.locked(data, "alone"):
        with pytest.raises(TryLater):
            Spool.open(data, patience=0.05)
        with pytest.raises(TryLater):
            Spool.open(data, patience=0.05, readonly=True).totals()
    with full_disk(), pytest.raises(TryLater):
        Spool.open(tmp_path / "new", patience=0.05)
    Spool.open(tmp_path / "new").close()
    with Spool.open(data) as again:
        assert again.totals().spooled
    assert not list((data / "run").glob(f"{again.owner}.lock"))


def test_closing(tmp_path: Path, prepared: Scene, locker: Locker) -> None:
    one, two = prepared.copy(tmp_path / "one"), prepared.copy(tmp_path / "two")
    with locker.locked(one.spool.data):
        one.spool.close()
    with full_disk():
        two.spool.close()
    for data in (tmp_path / "one", tmp_path / "two"):
        with Spool.open(data) as spool:
            assert spool.reap(START).leases > 0


def test_reaping(scene: Scene, locker: Locker) -> None:
    scene.spool._connections.db.execute("UPDATE place SET owner = 'dead' WHERE owner IS NOT NULL")
    with locker.locked(scene.spool.data):
        refused(scene, lambda s: s.spool.reap(START))
    with full_disk():
        refused(scene, lambda s: s.spool.reap(START))
    assert scene.spool.reap(START).leases > 0


def test_hurrying(scene: Scene, locker: Locker) -> None:
    scene.spool.retry_place(scene.lease(), "broken", START)
    with locker.locked(scene.spool.data):
        refused(scene, lambda s: s.spool.hurry(s.feed, START))
    assert scene.spool.hurry(scene.feed, START) == 1
    assert scene.spool.hurry(scene.feed, START) == 0


def test_shrinking(scene: Scene, locker: Locker) -> None:
    before = scene.rows()
    with locker.locked(scene.spool.data):
        scene.spool.shrink()
    assert scene.rows() == before
    assert scene.spool.append(fresh(), scene.feed, now=START).accepted == 2


def test_sweeping(scene: Scene, locker: Locker) -> None:
    scene.spool.drop_blobs("delivery:1")
    with locker.locked(scene.spool.data):
        refused(scene, lambda s: s.spool.sweep_blobs())
    with full_disk():
        refused(scene, lambda s: s.spool.sweep_blobs())
    assert scene.spool.sweep_blobs() == 1
    assert scene.spool.blob(PICTURE) is None


def test_holding_a_lock(scene: Scene, locker: Locker) -> None:
    with full_disk():
        refused(scene, lambda s: s.spool.hold("daemon", "me"))
    with locker.locked(scene.spool.data):
        scene.spool.hold("daemon", "me").release()


def test_checkpointing(scene: Scene, locker: Locker) -> None:
    with full_disk():
        refused(scene, lambda s: s.spool.checkpoint())
    with locker.locked(scene.spool.data):
        scene.spool.checkpoint()  # as far as it goes: later is soon enough
    scene.spool.checkpoint()
    assert (scene.spool.data / "spool.db-wal").stat().st_size == 0


def test_live_capture_waits_behind_nobody_but_the_lock(scene: Scene, locker: Locker) -> None:
    live = scene.spool.open_feed("smtp", "live", now=START).number
    with locker.locked(scene.spool.data):
        refused(scene, lambda s: s.spool.append(fresh(), live, live=True, now=START))
    assert scene.spool.append(fresh(), live, live=True, now=START).accepted == 2


def test_others_wait_while_live_capture_does(scene: Scene) -> None:
    with Spool.open(scene.spool.data) as other, other._connections._gate.live():
        refused(scene, WRITES["append"])
        refused(scene, WRITES["claim"])
    assert scene.spool.append(fresh(), scene.feed, now=START).accepted == 2


def test_a_bug_stays_a_bug(scene: Scene) -> None:
    reading = scene.spool._connections.reading
    with pytest.raises(sqlite3.OperationalError, match="no such table"), reading() as connection:
        connection.execute("SELECT * FROM nowhere")
