"""What a hold covers is in the archive before its owner can take it away; what can't be kept there isn't shown."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
from builders import BASE, HOUR, retract, say
from conversation_builder import text_of

from archiver.assembly import archive_of, directory_of, open_spool, store_of, terms_of
from archiver.compliance import preserving
from archiver.compliance.preserving import HeldStore, Keeper, NotKept, take, take_all
from archiver.config import Config, load
from archiver.daemon.job import Job
from archiver.decisions.archiving import PASSING
from archiver.events import SECOND, Captured
from archiver.exceptions import ItemError, OverQuota
from archiver.filing.gathering import ATTEMPTS
from archiver.filing.pipeline import Filer, Tally
from archiver.rendering import is_base_name
from archiver.spool import Spool
from archiver.store import PURGES, ArchiveStore, MaildirStore, Put, Receipt
from archiver.types import Hold

ALICE, BOB = "alice@example.org", "bob@example.org"
FOLDER = "Conversation History"
CONFIG: Config = load(None)
WHOSE = directory_of(CONFIG).mailbox_of
NOW = (BASE + 9 * HOUR) * SECOND
MARK = b"X-Archiver-Conversation: "


class Held:
    """A spool, a mail tree and archives in a directory, filed as the daemon does."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.spool: Spool = open_spool(CONFIG, data)
        self.history: MaildirStore = store_of(CONFIG, data)
        self.archive: ArchiveStore = archive_of(CONFIG, data)
        self.keeper: Keeper = Keeper(self.archive, self.spool, self.spool, WHOSE)
        self._imports = 0

    def file(self, *events: Captured, reader: Any = None) -> Tally:
        self._imports += 1
        feed = self.spool.open_feed(f"import:{self._imports}", "import", now=NOW)
        self.spool.append(events, feed.number, now=NOW)
        self.spool.close_feed(feed.number, NOW)
        return self.run(NOW, reader)

    def run(self, now: int, reader: Any = None) -> Tally:
        filer = Filer(reader or self.spool, self.spool, self.history, self.archive, terms_of(CONFIG))
        return filer.run(self.spool.claim(now, 100), now)

    def hold(self, query: str = "", mailbox: str = ALICE) -> Hold:
        return self.spool.place_hold(mailbox, by="legal", reason="case 7", query=query, now=NOW)

    def take(self, later: int = 0) -> int:
        return take_all(self.spool, self.history, self.keeper, NOW + later)

    def shown(self, mailbox: str = ALICE, folder: str = FOLDER) -> list[bytes]:
        return contents(self.history, mailbox, folder)

    def kept(self, mailbox: str = ALICE) -> list[bytes]:
        """And it is as its manifest says, as far as the spool has noted."""
        heads = [head for name, head in self.spool.heads([mailbox]).items() if name == mailbox]
        assert list(self.archive.verify(mailbox, heads)) == []
        return contents(self.archive, mailbox, PURGES)


class Unaware:
    """The spool as it was just before a hold was placed."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._spool, name)

    def standing_holds(self, mailboxes: object) -> dict[str, tuple[Hold, ...]]:
        return {}


class Late(Unaware):
    """The spool of somebody who hears of a hold just before taking out what was replaced."""

    asked = 0

    def standing_holds(self, mailboxes: Any) -> dict[str, tuple[Hold, ...]]:
        self.asked += bool(list(mailboxes))
        return self._spool.standing_holds(mailboxes) if self.asked > 2 else {}


def contents(store: MaildirStore | ArchiveStore, mailbox: str, folder: str) -> list[bytes]:
    return sorted(store.read(mailbox, folder, each.name) for each in store.items(mailbox, folder))


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    made = Held(tmp_path / "data")
    yield made
    made.spool.close()


def talk(room: str, *texts: str, begin: float = 0) -> Sequence[Captured]:
    people = [ALICE, BOB]
    return [
        say(people[n % 2], text, begin + n, id=f"{room}-{begin}-{n}", room=room, present=people)
        for n, text in enumerate(texts)
    ]


def rooms(items: Sequence[bytes]) -> list[str]:
    return sorted(line.removeprefix(MARK).decode() for item in items for line in item.split(b"\n") if MARK in line)


# --- filing under a hold


def test_without_a_hold_nothing_is_kept(held: Held) -> None:
    held.file(*talk("room", "one", "two"))
    assert len(held.shown()) == 1 and held.kept() == []
    assert not held.archive.root.exists()


def test_what_is_filed_under_a_hold_is_kept_byte_for_byte_and_apart(held: Held) -> None:
    held.hold()
    held.file(*talk("room", "one", "two"))
    assert held.kept() == held.shown() != []
    assert held.kept(BOB) == [], "the hold is Alice's"
    (path,) = (path for path in held.archive.root.rglob("cur/*"))
    assert path.stat().st_nlink == 1 and path.stat().st_mode & 0o777 == 0o600
    assert held.spool.heads() == {ALICE: held.archive.head(ALICE)}


def test_only_what_a_query_covers_is_kept(held: Held) -> None:
    held.hold("merger OR kind:conference")
    held.hold(f"with:{BOB} hello")
    held.file(*talk("a", "the Merger", "yes"), *talk("b", "something", "else"), *talk("c", "hello", "you"))
    assert rooms(held.shown()) == ["a", "b", "c"]
    assert rooms(held.kept()) == ["a", "c"]


def test_a_released_hold_keeps_nothing_more_and_loses_nothing(held: Held) -> None:
    hold = held.hold()
    held.file(*talk("a", "one", "two"))
    held.spool.release_hold(hold.number, by="legal", reason="over", now=NOW)
    held.file(*talk("b", "one", "two"))
    assert rooms(held.kept()) == ["a"]


def test_an_older_version_that_is_replaced_stays_kept(held: Held) -> None:
    """Also where it was filed before the hold, and the hold's own round hasn't come yet."""
    held.file(*talk("room", "one", "two"))
    before = held.shown()
    held.hold()
    held.file(*talk("room", "three", begin=60))
    (now,) = held.shown()
    assert held.kept() == sorted([*before, now])
    held.file(*talk("room", "four", begin=90))
    assert len(held.shown()) == 1 and len(held.kept()) == 3


def test_the_same_again_keeps_nothing_twice(held: Held) -> None:
    held.hold()
    for _ in range(2):
        held.file(*talk("room", "one", "two"))
        held.take(HOUR * SECOND)
    assert len(held.kept()) == 1
    assert held.spool.heads()[ALICE].length == 1


def test_what_cannot_be_kept_is_withheld_until_it_can(held: Held) -> None:
    held.hold()
    (held.data / "archive").write_text("a file in its place")
    tally = held.file(*talk("room", "one", "two"))
    assert (tally.failed, tally.withheld) == (0, 1)
    assert held.shown() == [] and len(held.shown(BOB)) == 1
    (waiting,) = held.spool.withheld()
    assert waiting.mailbox == ALICE and waiting.reason.startswith("The archive can't take it now: ")
    (held.data / "archive").unlink()
    assert Job(held.spool, CONFIG, held.data).file().copies == 1, "by itself"
    assert held.kept() == held.shown() != []
    assert held.spool.withheld() == []


def test_a_continuation_that_cannot_be_kept_leaves_the_earlier_item(held: Held) -> None:
    held.file(*talk("room", "one", "two"))
    before = held.shown()
    held.hold()
    (held.data / "archive").write_text("a file in its place")
    held.file(*talk("room", "three", begin=60))
    assert held.shown() == before
    (held.data / "archive").unlink()
    held.spool.wake([ALICE], NOW)
    held.run(NOW)
    (now,) = held.shown()
    assert held.kept() == sorted([*before, now]) and now not in before


def test_nothing_of_it_is_taken_out_where_the_archive_is_full(held: Held) -> None:
    held.file(*talk("room", "one", "two"))
    held.hold()
    (item,) = held.history.items(ALICE, FOLDER)
    full = ArchiveStore(CONFIG.store.archive, data=held.data, limit=1)
    store = HeldStore(held.history, Keeper(full, held.spool, held.spool, WHOSE))
    with pytest.raises(NotKept, match="is full"):
        store.remove(ALICE, FOLDER, item.name)
    assert len(held.shown()) == 1
    assert HeldStore(held.history, held.keeper).remove(ALICE, FOLDER, item.name)
    assert held.shown() == [] and len(held.kept()) == 1


BROKEN = b"no longer in any form that fits"


class Picky(ArchiveStore):
    """An archive that has room for what is new, but not for one old item."""

    def put(self, puts: Sequence[Put], now: int, **rest: Any) -> Receipt:
        full = [index for index, put in enumerate(puts) if BROKEN in put.item.content]
        receipt = super().put([put for index, put in enumerate(puts) if index not in full], now, **rest)
        for index in full:
            receipt.outcomes.insert(index, OverQuota("full"))
        return receipt


@pytest.fixture
def picky(held: Held) -> Held:
    """An item of Alice's under a hold of which no copy can be kept."""
    held.file(*talk("room", BROKEN.decode(), "two"))
    held.hold()
    held.archive = Picky(CONFIG.store.archive, data=held.data)
    held.keeper = Keeper(held.archive, held.spool, held.spool, WHOSE)
    return held


def relent(held: Held) -> None:
    held.archive = archive_of(CONFIG, held.data)


CHANGES = {
    "continued": (talk("room", "three", begin=60), "three"),
    "retracted": ([retract(ALICE, "room-0-0", 60, room="room", present=[ALICE, BOB])], "retracted"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_would_replace_an_item_that_cannot_be_kept_waits_and_is_never_parked(picky: Held, change: str) -> None:
    """However often it is tried: that the archive has no room for it is no fault of the conversation."""
    (old,) = picky.shown()
    events, word = CHANGES[change]
    picky.file(*events)
    for round in range(2 * ATTEMPTS):
        (waiting,) = picky.spool.withheld()
        assert waiting.mailbox == ALICE and waiting.reason == f"{PASSING}the archive of {ALICE} is full"
        assert picky.shown() == [old], "as it was"
        assert len(picky.shown(BOB)) == 1 and word in text_of(*picky.shown(BOB))
        assert not picky.spool.parked_filings() and not picky.spool.parked_places()
        picky.spool.wake([ALICE], NOW + round * HOUR * SECOND)
        assert picky.run(NOW + round * HOUR * SECOND).failed == 0
    relent(picky)
    assert Job(picky.spool, CONFIG, picky.data).file().copies == 1, "by itself"
    assert picky.spool.withheld() == []
    (new,) = picky.shown()
    assert picky.kept() == sorted([old, new]) and word in text_of(new)


def test_a_hold_placed_between_put_and_removal_is_seen_at_the_next_attempt(picky: Held) -> None:
    (old,) = picky.shown()
    late = Late(picky.spool)
    with pytest.raises(NotKept):
        picky.file(*talk("room", "three", begin=60), reader=late)
    assert old in picky.shown()
    picky.run(NOW + HOUR * SECOND)
    (waiting,) = picky.spool.withheld()
    assert waiting.reason.endswith("is full") and old in picky.shown()
    relent(picky)
    assert Job(picky.spool, CONFIG, picky.data).file().copies == 1
    (new,) = picky.shown()
    assert new != old and old in picky.kept()


def test_two_versions_under_one_name_are_both_kept(held: Held) -> None:
    """What another version of the renderer made bears the same name, and other bytes."""
    held.file(*talk("room", "one", "two"))
    (found,) = held.history.items(ALICE, FOLDER)
    content = held.history.read(ALICE, FOLDER, found.name)
    put = preserving._copy(ALICE, found, content)
    other = preserving._copy(ALICE, found, content + b"\n")
    assert held.keeper.keep([put]) == held.keeper.keep([other]) == held.keeper.keep([other]) == [None]
    assert held.kept() == sorted([content, content + b"\n"])


def test_an_item_whose_events_cannot_be_read_is_covered_by_any_query(held: Held) -> None:
    held.file(*talk("room", "one", "two"))
    (path,) = held.history.root.glob("example.org/alice/.Conversation History/cur/*")
    path.write_bytes(b"Subject: damaged\n\nnothing\n")
    held.hold("merger")
    held.take()
    assert held.kept() == [b"Subject: damaged\n\nnothing\n"]


# --- a new hold takes what lies there


def test_a_new_hold_takes_what_lies_there_wherever_it_was_moved(held: Held) -> None:
    held.file(*talk("a", "one", "two"), *talk("b", "one", "two"), *talk("c", "one", "two"))
    names = [found.name for found in held.history.items(ALICE, FOLDER)]
    move(held, names[0], "1700000000.M1P1.host", "Kept elsewhere/deep")
    move(held, names[1], names[1], "Kept elsewhere/deep", flags="ST")
    others = "Subject: somebody's mail\nMessage-ID: <x@example.com>\n\nprivate\n"
    (held.history.root / "example.org/alice/cur/1700000001.other:2,RS").write_text(others)
    held.hold()
    assert held.take() == 3
    assert rooms(held.kept()) == ["a", "b", "c"]
    assert {is_base_name(each.name) for each in held.archive.items(ALICE, PURGES)} == {True, False}
    rmtree(held.history.root)
    assert rooms(held.kept()) == ["a", "b", "c"]


def move(held: Held, name: str, new_name: str, folder: str, flags: str = "S") -> None:
    """As a mail server does."""
    root = held.history.root / "example.org/alice"
    (old,) = root.glob(f".Conversation History/*/{name}*")
    held.history.put([Put(ALICE, folder, preserving._copy(ALICE, held.history.locate(ALICE, FOLDER, name), b"").item)])
    (made,) = (path for path in root.rglob(f"{name}*") if path != old)
    old.rename(made.with_name(f"{new_name}:2,{flags}"))
    if made.name != f"{new_name}:2,{flags}":
        made.unlink()


def test_a_new_hold_knows_people_by_the_mailbox_their_address_leads_to(held: Held) -> None:
    held.file(*talk("room", "one", "two"))
    held.hold("with:robert@corp.example")
    held.take()
    assert held.kept() == []
    held.keeper = Keeper(
        held.archive, held.spool, held.spool, lambda _, address: {BOB: "robert@corp.example"}.get(address)
    )
    held.hold("with:robert@corp.example")
    held.take()
    assert held.kept() == held.shown()


def test_what_its_owner_forged_never_stands_in_the_place_of_what_was_filed(held: Held) -> None:
    held.file(*talk("room", "one", "two"))
    (true,) = held.shown()
    forged = true.replace(b"one", b"ONE")
    (held.history.root / "example.org/alice/cur/1700000000.M1P1.host:2,S").write_bytes(forged)
    held.hold()
    held.take()
    assert held.kept() == sorted([true, forged])
    (found,) = held.history.items(ALICE, FOLDER)
    assert held.archive.read(ALICE, PURGES, found.name) == true


def test_a_hold_is_taken_again_until_all_who_file_have_seen_it(held: Held) -> None:
    hold = held.hold()
    with somebody_files(held):
        assert held.take() == 0
        held.file(*talk("room", "one", "two"), reader=Unaware(held.spool))
        assert held.spool.untaken_holds() == [hold] and held.kept() == []
        assert held.take(later=preserving.UNDER_WAY) == 1
    assert held.spool.untaken_holds() == []
    assert len(held.kept()) == 1


@contextmanager
def somebody_files(held: Held) -> Iterator[None]:
    feed = held.spool.open_feed("import:other", "import", now=NOW).number
    held.spool.append(talk("their room", "one"), feed, now=NOW)
    held.spool.close_feed(feed, NOW)
    leases = held.spool.claim(NOW, 1, owner="another process")
    yield
    held.spool.release(leases)


def test_where_nobody_files_a_hold_is_taken_at_once(held: Held) -> None:
    held.file(*talk("room", "one", "two"))
    held.hold()
    assert held.take() == 1
    assert held.spool.untaken_holds() == []


@pytest.mark.parametrize("name", [b".\xff\xfe", b".Broken &folder", b".INBOX", b"..deep..er", b".Entw&APw-rfe"])
def test_a_new_hold_looks_into_folders_whatever_they_are_called(held: Held, name: bytes) -> None:
    """As a client left on the server could have them, where no folder name leads to the directory."""
    held.file(*talk("a", "one", "two"), *talk("b", "one", "two"))
    root = os.fsencode(held.history.root / "example.org/alice")
    os.rename(root + b"/.Conversation History", root + b"/" + name)
    held.hold()
    assert held.take() == 2
    assert rooms(held.kept()) == ["a", "b"]


def test_a_giant_under_an_items_name_is_not_read_and_not_taken_out(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted where a continuation takes out what it replaces: that waits, and the rest goes on."""
    monkeypatch.setattr(preserving, "LARGEST", 1_000_000)
    held.file(*talk("a", "one", "two"), *talk("b", "one", "two"))
    held.hold()
    planted, _ = sorted((held.history.root / "example.org/alice/.Conversation History/cur").iterdir())
    os.truncate(planted, 8 * 1024**3)
    tally = held.file(*talk("a", "three", begin=5), *talk("b", "three", begin=5))
    assert (tally.withheld, tally.parked, tally.failed) == (1, 0, 0)
    assert planted.exists() and planted.stat().st_size == 8 * 1024**3
    (kept,) = held.spool.withheld()
    assert "no item has" in kept.reason
    assert sum(b"three" in item for item in held.kept()) == 1


def test_a_hold_that_could_not_be_taken_whole_is_taken_again(held: Held) -> None:
    held.file(*talk("room", "one", "two"))
    hold = held.hold()
    (held.data / "archive").write_text("a file in its place")
    assert held.take(HOUR * SECOND) == 0
    assert held.spool.untaken_holds() == [hold]
    (held.data / "archive").unlink()
    assert held.take(HOUR * SECOND) == 1
    assert held.spool.untaken_holds() == []


def test_taking_stops_when_asked_and_goes_on_later(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preserving, "_AT_ONCE", 1)
    held.file(*talk("a", "one", "two"), *talk("b", "one", "two"))
    hold = held.hold()
    taken = take(held.spool, hold, held.history, held.keeper, lambda: True)
    assert (taken.kept, taken.whole) == (1, False)
    assert held.take(HOUR * SECOND) == 2
    assert len(held.kept()) == 2


def test_one_mailbox_that_cannot_be_looked_into_stops_no_other(held: Held) -> None:
    held.file(*talk("room", "one", "two"))
    broken = held.hold()
    held.hold(mailbox=BOB)
    folder = held.history.root / "example.org/alice/.Conversation History"
    rmtree(folder / "cur")
    (folder / "cur").write_text("a file in its place")
    held.take(HOUR * SECOND)
    assert len(held.kept(BOB)) == 1
    assert held.spool.untaken_holds() == [broken]


def test_what_its_owner_planted_keeps_nothing_beside_it_from_being_kept(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder whose `cur` is a link, and a giant under a name of ours: both are told, and the rest is taken."""
    monkeypatch.setattr(preserving, "LARGEST", 1_000_000)
    held.file(*talk("a", "one", "two"), *talk("b", "one", "two"))
    root = held.history.root / "example.org/alice"
    (root / ".A" / "new").mkdir(parents=True)
    (root / ".A" / "cur").symlink_to("/etc")
    planted, _ = sorted((root / ".Conversation History" / "cur").iterdir())
    os.truncate(planted, 8 * 1024**3)
    hold = held.hold()
    taken = take(held.spool, hold, held.history, held.keeper)
    assert (taken.kept, taken.failed) == (1, 2)
    assert len(held.kept()) == 1
    held.take(HOUR * SECOND)
    assert held.spool.untaken_holds() == [hold], "not all is kept yet"


def test_a_hold_on_somebody_who_has_no_mailbox_yet_stands(held: Held) -> None:
    held.hold(mailbox="new@example.org")
    assert held.take(HOUR * SECOND) == 0
    assert held.spool.untaken_holds() == []


def test_the_job_takes_new_holds_before_it_files(held: Held) -> None:
    held.file(*talk("room", "one", "two"))
    held.hold()
    job = Job(held.spool, CONFIG, held.data)
    job.file()
    assert len(held.kept()) == 1


def test_errors_of_a_full_archive_are_not_taken_for_another_file() -> None:
    assert not preserving._is_taken(OverQuota("full"))
    assert preserving._is_taken(ItemError("another file")) and not preserving._is_taken(None)
