"""Erasing one person: nothing they said is left in any file, others' items stay, and reading it again files nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from archive_builder import FOLDER, Archive
from builders import BASE, DAY, edit, event, react, say
from click.testing import CliRunner
from mishaps import Killer, in_child
from remains import remains

from archiver import config as configuration
from archiver.assembly import rules_of, terms_of
from archiver.cli import main
from archiver.compliance.erasure import Erasure, Report
from archiver.config import Config
from archiver.events import SECOND, Captured, Event, Rejected
from archiver.exceptions import EnvironmentFault, InUse, UsageError
from archiver.filing import sifting
from archiver.search import Searcher
from archiver.spool import Spool
from archiver.store import PURGES, ArchiveStore, MaildirStore
from archiver.types import DeliveryState, Destination

ALICE, BOB, CAROL = "alice@example.org", "zeb.bob@example.org", "carol@example.org"
SECRET = "zebra4711"
"""In everything that Bob says."""
HIS_FILE = f"{SECRET} in a file".encode() * 9
NAME, NICK = "zeb.bob", "zebnick"
"""Each stands in nothing else: the first is in his address and his name, the other one is his in a room."""
NOW = (BASE + 20 * DAY) * SECOND


def config() -> Config:
    return configuration.parse(
        {
            "archiving": {"archive": "im+conference", "to_mailbox": True},
            "policy": {"internal": True},
            "mailbox": [{"address": ALICE, "exchange_archiving": "mailbox"}],
            "directory": {"domains": ["example.org"], "people": {f"{NICK}@net": BOB}},
        }
    )


def shared(who: str, content: bytes, at: float, **more: Any) -> Captured:
    digest = hashlib.sha256(content).hexdigest()
    file = {"name": f"{who} shares.txt", "media_type": "text/plain", "sha256": digest, "size": len(content)}
    made = event("file.shared", at, who, id=f"file-{at}", attachments=[file], **more)
    return Captured(made.event, made.time, made.received, made.body, attached=((digest, content),))


def talk(room: str = "room", day: float = 0) -> list[Captured]:
    at, present = day * DAY, {"room": room, "present": [ALICE, BOB, CAROL]}
    return [
        say(ALICE, "alice says this", at, id=f"{room}1", **present),
        say(BOB, f"bob says {SECRET}", at + 1, id=f"{room}2", **present),
        edit(BOB, f"{room}2", f"bob means {SECRET}", at + 2, id=f"{room}3", **present),
        react(CAROL, f"{room}2", "+1", at + 3, id=f"{room}4", **present),
        event("strange.thing", at + 4, BOB, id=f"{room}5", extra={"deep": [SECRET]}, **present),
        shared(BOB, HIS_FILE, at + 5, **present),
        shared(ALICE, b"alice's own file", at + 6, **present),
        say(CAROL, "carol says that", at + 7, id=f"{room}6", **present),
    ]


def echo(room: str = "room", day: float = 0) -> Captured:
    """Carol's reaction repeats what Bob said."""
    message = {"id": f"{room}2", "text": f"bob says {SECRET}"}
    return event("message.reacted", day * DAY + 8, CAROL, id=f"{room}e", room=room, message=message, reaction="!")


def hidden(made: Captured) -> Captured:
    wire = msgspec.json.decode(made.body)
    wire["data"]["actor"]["hidden"] = True
    body = msgspec.json.encode(wire, order="sorted")
    return Captured(msgspec.json.decode(body, type=Event), made.time, made.received, body)


def everywhere(day: float = 0) -> list[Captured]:
    """Whatever else can be somebody's, or name them."""
    at, name = day * DAY, f"{day}"
    room, pair = {"room": f"topics{name}", "present": [ALICE, BOB, CAROL]}, f"{ALICE};{BOB};{name}"
    chat = {"source": "irc:net/#fans", "room": "#talk", "where": "group"}
    poll = {"id": "p", "question": f"which {SECRET}?", "options": [SECRET, "none"]}
    return [
        event("conversation.topic.changed", at + 60, BOB, id=f"t1{name}", **room, topic=f"about {SECRET}"),
        say(ALICE, "alice under his topic", at + 61, id=f"t2{name}", **room, topic=f"about {SECRET}"),
        say(ALICE, "alice to him alone", at + 62, id=f"t3{name}", **room, to=[BOB]),
        say(BOB, f"to carol alone {SECRET}", at + 63, id=f"t4{name}", **room, to=[CAROL]),
        event("poll.opened", at + 64, BOB, id=f"t5{name}", **room, poll=poll),
        event("poll.voted", at + 65, CAROL, id=f"t6{name}", **room, poll={**poll, "choice": "none"}),
        hidden(say(BOB, f"unseen {SECRET}", at + 66, id=f"t7{name}", **room)),
        event("participant.left", at + 67, ALICE, id=f"t8{name}", **room, subject={"address": BOB, "name": "Zeb.Bob"}),
        say(ALICE, "just us", at + 70, id=f"{BOB}-{name}-1", room=pair, where="im", session=f"call-{BOB}"),
        say(BOB, SECRET, at + 71, id=f"{BOB}-{name}-2", room=pair, where="im", session=f"call-{BOB}"),
        say(NICK, SECRET, at + 80, id=f"{NICK}-{name}", **chat),
        say(CAROL, "carol answers", at + 81, id=f"n{name}", **chat, to=[NICK]),
    ]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """A conversation whose events are forgotten, and one whose events are still in the spool."""
    made = Archive(tmp_path, config())
    made.take([*talk(), echo()], DAY)
    assert made.forget(15 * DAY)
    made.take([*talk("late", 15), echo("late", 15)], 16 * DAY)
    yield made
    made.spool.close()


def searchers(archive: Archive) -> list[Searcher]:
    stores = {Destination.HISTORY: archive.store, Destination.ARCHIVE: archive.archive}
    return [Searcher(archive.spool.data, store, to, archive.spool) for to, store in stores.items()]


def erase(archive: Archive, peer: str | None = None) -> Report:
    config = archive.config
    whose, limits = sifting.whose_of(config), terms_of(config).limits
    stores = archive.store, archive.archive
    indexes = [each.scrub for each in searchers(archive)]
    erasure = Erasure(archive.spool, *stores, rules_of(config), limits, whose, BOB, peer, indexes)
    return erasure.run(NOW, "Ann", "asked for it")


RECORD = ("audit", "chain")
"""Whom it was about is on record there, and stays."""


def traces(archive: Archive) -> list[str]:
    """Where something of Bob's stands: his words, his address, his names."""
    return remains(archive.spool.data, (SECRET, NAME, NICK), kept=RECORD)


def wal(archive: Archive) -> bytes:
    return (archive.spool.data / "spool.db-wal").read_bytes()


def journal_is_true(archive: Archive) -> bool:
    """Every item that the journal has as filed lies where it says."""
    stores = {Destination.HISTORY: archive.store, Destination.ARCHIVE: archive.archive}
    filed = [each for lot in archive.spool.journalled() for each in lot if each.state is DeliveryState.FILED]
    lying = [
        stores[each.destination].locate(each.mailbox, each.folder, each.name) is not None
        for each in filed
        if each.destination in stores
    ]
    return len(lying) > 2 and all(lying)


def test_the_search_for_traces_finds_what_is_there(archive: Archive) -> None:
    found = "\n".join(traces(archive))
    for where in (
        "spool.db",
        "event.body",
        "roster.body",
        "local_archive.content",
        "blobs/",
        "mail/example.org/alice",
        "archive/example.org/alice",
        "mail/example.org/zeb.bob",
    ):
        assert where in found


@pytest.fixture
def full(archive: Archive) -> Archive:
    """With everything else that can be somebody's, forgotten and not; in quarantine and in conflict too."""
    archive.take(everywhere(1), 2 * DAY)
    assert archive.forget(15 * DAY)
    archive.take(everywhere(15), 16 * DAY)
    feed = archive.spool.open_feed("import:more", "import", now=NOW).number
    bad = Rejected(f"{BOB} {SECRET}".encode(), "log:1", f"no JSON: {SECRET}", "test:one")
    nick = Rejected(f"<{NICK}> {SECRET}".encode(), "log:2", "no JSON", "irc:net/#fans")
    other = say(BOB, f"other {SECRET}", 15 * DAY + 1, id="late2", room="late")
    archive.spool.append([other, bad, nick], feed, now=NOW)
    archive.spool.close_feed(feed, NOW)
    archive.spool.note_nicks([(NICK, "net"), ("other", "net")])
    assert len(archive.spool.conflicts()) == 1
    for each in searchers(archive):
        each.keep_up(60)
    return archive


def test_nothing_is_left_in_any_file(full: Archive) -> None:
    """Not a word, not an address, not a name: in files, tables, indexes, free pages or the log."""
    before = "\n".join(traces(full))
    for where in (
        "quarantine/",
        "index/history.db",
        "index/archive.db",
        "conflict.other",
        "whisper.parties",
        "place.conversation",
        "quarantine.reason",
    ):
        assert where in before
    report = erase(full)
    assert traces(full) == []
    assert (full.spool.data / "spool.db-wal").stat().st_size == 0
    assert report.failed == [] and report.moved == []
    assert (report.conflicts, report.quarantined, report.blobs) == (1, 2, 1)
    assert journal_is_true(full)
    assert list(full.store.items(BOB, FOLDER)) == []
    assert full.spool.used_nicks() == {("other", "net")}


def test_what_the_spool_still_has_makes_the_items_that_stand_there(full: Archive) -> None:
    """Continued after the erasure, a conversation replaces its items; nothing comes back, nothing is filed twice."""
    erase(full)
    before = {who: len(full.texts(who)) for who in (ALICE, CAROL)}
    late = [
        say(ALICE, "one more", 15 * DAY + 20, id="more", room="late", present=[ALICE, CAROL]),
        say(ALICE, "and one", 15 * DAY + 75, id="more2", room="topics15", present=[ALICE, CAROL]),
    ]
    full.take(late, 22 * DAY)
    assert {who: len(full.texts(who)) for who in (ALICE, CAROL)} == before
    assert sum("one more" in text or "and one" in text for text in full.texts(ALICE)) == 2
    assert traces(full) == [] and journal_is_true(full)


def history_only(data: Path, *said: Captured) -> Archive:
    """Nobody is archived, and the events are forgotten: only items tell."""
    archive = Archive(data)
    archive.take(said, DAY)
    assert archive.forget(15 * DAY)
    return archive


def test_what_was_said_while_hidden_goes_where_only_others_items_tell_of_it(tmp_path: Path) -> None:
    present = {"present": [ALICE, CAROL]}
    archive = history_only(
        tmp_path,
        say(ALICE, "alice says this", 0, **present),
        hidden(say(BOB, f"unseen {SECRET}", 1, **present)),
        say(CAROL, "carol says that", 2, **present),
    )
    assert all(SECRET in text and BOB not in text for text in archive.texts(ALICE))
    report = erase(archive)
    assert traces(archive) == [] and report.guessed == 0
    (text,) = archive.texts(ALICE)
    assert "alice says this" in text and "carol says that" in text
    archive.spool.close()


def test_of_several_hidden_people_who_cannot_be_told_apart_all_words_go_and_it_is_said(tmp_path: Path) -> None:
    archive = history_only(
        tmp_path,
        say(ALICE, "alice says this", 0, present=[ALICE]),
        hidden(say(BOB, f"unseen {SECRET}", 1)),
        hidden(say(CAROL, "carol unseen", 2)),
    )
    report = erase(archive)
    assert traces(archive) == [] and report.guessed == 2
    assert "carol unseen" not in "".join(archive.texts(ALICE))
    archive.spool.close()


def test_the_hidden_who_were_not_there_keep_their_words(tmp_path: Path) -> None:
    archive = history_only(
        tmp_path,
        say(ALICE, "alice says this", 0, present=[ALICE]),
        hidden(say(CAROL, "carol unseen", 2)),
        say(BOB, SECRET, 3, room="other", present=[ALICE, BOB]),
    )
    erase(archive)
    assert sum("carol unseen" in text for text in archive.texts(ALICE)) == 1
    assert traces(archive) == []
    archive.spool.close()


def test_what_others_said_stays_as_it_was(archive: Archive) -> None:
    before = [archive.texts(who) for who in (ALICE, CAROL)]
    erase(archive)
    for who, old in zip((ALICE, CAROL), before, strict=True):
        for text, earlier in zip(archive.texts(who), old, strict=True):
            assert "alice says this" in text and "carol says that" in text and "erased(1)" in text
            assert [
                line
                for line in earlier.splitlines()
                if SECRET not in line and NAME not in line.lower() and line not in text
            ] == []
    assert list(archive.store.items(BOB, FOLDER)) == []
    (blob,) = [path for path in (archive.spool.data / "blobs").rglob("*") if path.is_file()]
    assert blob.read_bytes() == b"alice's own file"


def test_reading_it_again_files_nothing_and_brings_nothing_back(archive: Archive) -> None:
    erase(archive)
    lying = {who: archive.items(who).values() for who in (ALICE, BOB, CAROL)}
    before = {who: sorted(found) for who, found in lying.items()}
    tally = archive.take([*talk(), echo(), *talk("late", 15), echo("late", 15)], 21 * DAY)
    assert (tally.items, tally.copies, tally.archived) == (0, 0, 0)
    assert {who: sorted(archive.items(who).values()) for who in lying} == before
    archive.spool.sweep_blobs()
    archive.spool.checkpoint()
    assert [path for path in traces(archive) if not path.startswith("blobs")] == []


def test_the_chain_keeps_its_lines_and_says_what_was_erased(archive: Archive) -> None:
    root = archive.spool.data / "archive" / "example.org" / "alice"
    before = (root / "manifest.ndjson").read_bytes()
    erase(archive)
    after = (root / "manifest.ndjson").read_bytes()
    assert after.startswith(before)
    assert after.count(b'"kind":"erased"') == 2 and after.count(b'"instead"') == 2
    assert list(archive.archive.verify(ALICE, archive.spool.heads().values())) == []


@pytest.mark.parametrize("who", [ALICE, BOB, CAROL])
def test_it_is_refused_while_a_hold_stands_on_any_mailbox_concerned(archive: Archive, who: str) -> None:
    archive.spool.place_hold(who, by="counsel", reason="case", query="nothing of this", now=NOW)
    before = traces(archive)
    with pytest.raises(UsageError, match=f"hold 1 on {who}"):
        erase(archive)
    assert set(traces(archive)) == set(before)
    assert [each.action for each in archive.spool.audits()] == ["hold placed"]


def test_what_its_owner_moved_is_listed_and_not_touched(archive: Archive) -> None:
    root = archive.spool.data / "mail" / "example.org" / "carol"
    (root / ".Mine" / "cur").mkdir(parents=True)
    moved = min((root / f".{FOLDER}" / "cur").iterdir())
    moved.rename(root / ".Mine" / "cur" / moved.name)
    report = erase(archive)
    assert [(each.mailbox, each.folder) for each in report.moved] == [(CAROL, "Mine")]
    assert traces(archive) == [str(Path("mail/example.org/carol/.Mine/cur") / moved.name)]


def test_what_cannot_be_looked_at_is_named_before_anything_is_erased(archive: Archive) -> None:
    """A giant that its owner planted under a name of ours must not fill the memory either."""
    (planted, *_) = archive.store.root.glob("example.org/carol/.Conversation History/cur/*")
    planted.unlink()  # others' items may share its inode
    planted.touch()
    os.truncate(planted, 8 * 1024**3)
    before = len(archive.texts(ALICE)), archive.spool.totals()
    with pytest.raises(EnvironmentFault, match=planted.name.partition(":")[0]):
        erase(archive)
    assert (len(archive.texts(ALICE)), archive.spool.totals()) == before
    assert not [told for told in archive.spool.audits() if "erasure" in told.action]


def test_only_what_was_said_with_one_other(archive: Archive) -> None:
    """Conflicts and quarantine too: what names both, or was said where both were."""
    archive.take([say(BOB, f"just us {SECRET}", 17 * DAY, id="p", room="pair", present=[BOB, CAROL])], 18 * DAY)
    feed = archive.spool.open_feed("import:more", "import", now=NOW).number
    more = [
        say(BOB, f"other {SECRET}", 15 * DAY + 1, id="late2", room="late"),
        say(BOB, f"other {SECRET}", 17 * DAY, id="p", room="pair"),
        Rejected(f"{BOB} to {ALICE}: {SECRET}".encode(), "log:1", "no JSON", "test:one"),
        Rejected(f"{BOB} to {CAROL}: {SECRET}".encode(), "log:2", "no JSON", "test:one"),
    ]
    archive.spool.append(more, feed, now=NOW)
    archive.spool.close_feed(feed, NOW)
    report = erase(archive, peer=ALICE)
    assert all("mail/example.org/alice" not in path for path in traces(archive))
    assert [SECRET in text for text in archive.texts(CAROL)] == [False, False, True]
    assert (report.conflicts, report.quarantined) == (1, 1)
    assert {each.id: SECRET.encode() in each.other for each in archive.spool.conflicts()} == {"late2": False, "p": True}


def test_what_somebody_planted_takes_nothing_of_others(archive: Archive) -> None:
    """An item put into an own folder, in which Bob says what Carol said: it must not cost her words."""
    forged = [say(BOB, "carol says that", 7, id="room6", present=[ALICE, BOB])]
    elsewhere = Archive(archive.spool.data.parent / "elsewhere")
    elsewhere.take(forged, DAY)
    (made,) = elsewhere.items(ALICE).values()
    elsewhere.spool.close()
    inbox = archive.spool.data / "mail" / "example.org" / "alice" / "cur"
    inbox.mkdir(exist_ok=True)
    (inbox / "1.forged:2,S").write_bytes(made)
    report = erase(archive)
    assert [(each.mailbox, each.folder) for each in report.moved] == [(ALICE, "INBOX")]
    assert all("carol says that" in text for text in [*archive.texts(ALICE), *archive.texts(CAROL)])


def test_a_hold_that_is_placed_meanwhile_keeps_what_is_still_there(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite = Spool.rewrite_conflicts

    def meanwhile(self: Spool, *arguments: Any) -> int:
        self.place_hold(CAROL, by="counsel", reason="case", now=NOW)
        return rewrite(self, *arguments)

    monkeypatch.setattr(Spool, "rewrite_conflicts", meanwhile)
    before = archive.texts(CAROL)
    report = erase(archive)
    assert archive.texts(CAROL) == before
    assert [CAROL in each for each in report.failed].count(True) == 2
    assert "hold was placed" in report.failed[0]
    assert not any(SECRET in text for text in archive.texts(ALICE))


def test_flags_stay_and_the_journal_knows_the_new_item(archive: Archive) -> None:
    folder = archive.spool.data / "mail" / "example.org" / "alice" / f".{FOLDER}" / "cur"
    for path in folder.iterdir():
        path.rename(path.with_name(path.name.replace(":2,S", ":2,FSa")))
    erase(archive)
    assert all(path.name.endswith(":2,FSa") for path in folder.iterdir())
    archive.take([say(ALICE, "one more", 15 * DAY + 20, id="more", room="late", present=[ALICE, CAROL])], 22 * DAY)
    assert len(archive.texts(ALICE)) == 2
    assert traces(archive) == []


def test_the_original_of_a_mended_event_goes_by_its_id(archive: Archive) -> None:
    """In it its author may stand in another form than the address."""
    feed = archive.spool.open_feed("import:more", "import", now=NOW).number
    made = say(BOB, f"mended {SECRET}", 15 * DAY + 9, id="mended", room="late")
    mended = Captured(made.event, made.time, made.received, made.body, 0, ("odd bytes",), f"<b> {SECRET}".encode())
    archive.spool.append([mended], feed, now=NOW)
    archive.spool.close_feed(feed, NOW)
    assert any(name.startswith("quarantine") for name in traces(archive))
    erase(archive)
    assert traces(archive) == []


def test_again_it_finds_nothing(archive: Archive) -> None:
    erase(archive)
    again = erase(archive)
    assert (again.removed, again.replaced, again.archived, again.local, again.events) == (0, 0, 0, 0, 0)


def test_no_daemon_may_run(archive: Archive) -> None:
    with archive.spool.hold("daemon", "archiver run"), pytest.raises(InUse):
        erase(archive)
    assert traces(archive)


def test_the_command(archive: Archive, tmp_path: Path) -> None:
    def call(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["--data", str(tmp_path), "purge", *arguments])
        return result.exit_code, result.output

    assert call("--erase", BOB)[0] == 2
    assert call("--peer", BOB, "--dry-run")[0] == 2
    assert call("--erase", BOB, "--peer", BOB.upper(), "--by", "Ann", "--reason", "x")[0] == 2
    status, said = call("--erase", BOB, "--by", "Ann", "--reason", "asked for it")
    assert status == 0, said
    assert "2 items of their own taken out" in said
    assert traces(archive) == []
    begun, ended = archive.spool.audits()
    assert (begun.action, begun.subject, begun.by, ended.action) == ("erasure begun", BOB, "Ann", "erasure ended")
    assert ended.details["replaced"] == 4
    assert len(list(archive.archive.items(ALICE, PURGES))) == 2


@pytest.mark.slow
def test_a_large_store_takes_no_more_memory(tmp_path: Path) -> None:
    peaks = []
    for conversations in (100, 600):
        archive = Archive(tmp_path / str(conversations))
        said = [
            say(who, f"{SECRET} {number}", number * 3600 + second, room=f"r{number % 25}", present=[ALICE, BOB])
            for number in range(conversations)
            for second, who in enumerate((ALICE, BOB, ALICE))
        ]
        archive.take(said, 400 * DAY)
        tracemalloc.start()
        report = erase(archive)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert (report.replaced, report.removed, report.failed) == (conversations, conversations, [])
        archive.spool.close()
    assert peaks[1] - peaks[0] < 1.2 * 1024 * 1024


STEPS = {
    Spool: "audit drop_forgotten rewrite_events rewrite_place rewrite_whispers rewrite_conflicts drop_quarantined "
    "drop_withheld replace_local drop_local rename_deliveries hold_only forget_person sweep_blobs scrub checkpoint",
    MaildirStore: "put remove_all",
    ArchiveStore: "erase",
}


def killed_after(step: int, data: Path) -> int:
    """An erasure in a process of its own, which ends hard after so many steps; its wait status."""

    def work() -> None:
        killer = Killer(step)
        for owner, names in STEPS.items():
            for name in names.split():
                setattr(owner, name, killer.afterwards(getattr(owner, name), 2))
        erase(Archive(data, config()))

    return in_child(work)


@pytest.mark.slow
def test_killed_after_any_step_the_next_one_ends_it(full: Archive, tmp_path: Path) -> None:
    """Whatever it was doing, the journal then names no item that isn't there, and nothing of theirs is left."""
    kept = [len(full.texts(who)) for who in (ALICE, CAROL)]
    full.spool.close()
    step, status = 0, -1
    while status:
        step += 1
        data = tmp_path / f"killed after {step}"
        shutil.copytree(tmp_path, data, ignore=shutil.ignore_patterns("killed*", "run"))
        status = killed_after(step, data)
        assert status in (0, signal.SIGKILL)
        again = Archive(data, config())
        try:
            report = erase(again)
            assert report.failed == report.moved == [], step
            assert traces(again) == [], step
            assert journal_is_true(again), step
            assert list(again.archive.verify(ALICE, again.spool.heads().values())) == []
            assert [len(again.texts(who)) for who in (ALICE, CAROL, BOB)] == [*kept, 0]
        finally:
            again.spool.close()
        shutil.rmtree(data)
    assert step > 20
