"""Quarantine, blobs and forgetting: what the spool keeps in files, and what leaves it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from builders import BASE, event, say
from msgspec.structs import replace

from archiver.events import SECOND, Captured, Outcome, Rejected
from archiver.spool import Spool
from archiver.types import Delivery, DeliveryState, Filing, Roster

START = BASE * SECOND
DAY = 86_400 * SECOND


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool.open(tmp_path / "data", patience=1.0) as opened:
        yield opened


@pytest.fixture
def feed(spool: Spool) -> int:
    return spool.open_feed("f", "import", now=START).number


def files_below(path: Path) -> list[str]:
    return sorted(str(each.relative_to(path)) for each in path.rglob("*") if each.is_file())


# Quarantine


def test_nobody_else_may_read_what_is_spooled(tmp_path: Path) -> None:
    """Whatever the umask, and though others may pass through the data directory, as a mail server must."""
    before = os.umask(0o022)
    try:
        with Spool.open(tmp_path / "new"):
            found = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new").glob("spool.db*")}
    finally:
        os.umask(before)
    assert found["spool.db"] == 0o600 and set(found.values()) == {0o600}


def test_rejected_input_is_kept_whole_with_its_reason_beside_it(spool: Spool, feed: int) -> None:
    content = b"\xff\x00 not an event\r\n"
    result = spool.append([Rejected(content, "log:17", "no JSON", source="../../evil\n")], feed)
    assert (result.quarantined, result.outcomes) == (1, (Outcome.QUARANTINED,))
    row = spool.quarantined()[0]
    assert (row.feed, row.position, row.reason, row.size, row.cleaned) == ("f", "log:17", "no JSON", 17, False)
    assert spool.quarantined_content(row.file) == content
    digest = hashlib.sha256(content).hexdigest()
    folder = spool.data / "quarantine"
    assert files_below(folder) == [f"{digest[:2]}/{digest}", f"{digest[:2]}/{digest}.reason"]
    assert (folder / f"{row.file}.reason").read_text() == "log:17\nno JSON\n"


def test_the_same_bad_line_again_is_one_row_but_counts_each_time(spool: Spool, feed: int) -> None:
    bad = Rejected(b"bad", "log:17", "no JSON")
    assert spool.append([bad], feed).quarantined == 1
    assert spool.append([bad], feed).quarantined == 1
    spool.append([replace(bad, position="log:18")], feed)
    assert [row.position for row in spool.quarantined()] == ["log:18", "log:17"]


def test_many_bad_lines_at_once(spool: Spool, feed: int) -> None:
    bad: list[Captured | Rejected] = [Rejected(b"bad %d" % n, f"log:{n}", "no JSON") for n in range(100)]
    bad.insert(50, say("a@x", "good", 1))
    result = spool.append(bad, feed)
    assert (result.quarantined, result.accepted) == (100, 1)
    assert result.outcomes[50] is Outcome.ACCEPTED
    assert all(spool.quarantined_content(row.file) is not None for row in spool.quarantined())


def test_quarantine_opens_only_its_own_files(spool: Spool) -> None:
    (spool.data / "secret").write_text("x")
    assert spool.quarantined_content("../secret") is None
    assert spool.quarantined_content("../" + "a" * 64) is None


def test_a_cleaned_event_is_accepted_and_its_original_kept(spool: Spool, feed: int) -> None:
    cleaned = replace(say("a@x", "mended", 1), cleaned=("NUL in text",), original=b"as it came \x00")
    result = spool.append([say("b@x", "fine", 1), cleaned], feed)
    assert (result.accepted, result.cleaned, result.quarantined) == (2, 1, 0)
    assert result.outcomes == (Outcome.ACCEPTED, Outcome.CLEANED)
    row = spool.quarantined()[0]
    assert row.cleaned
    assert spool.quarantined_content(row.file) == b"as it came \x00"
    assert spool.append([cleaned], feed).outcomes == (Outcome.DUPLICATE,)
    assert (spool.totals().cleaned, spool.totals().quarantined) == (1, 0)


# Blobs


def shared(content: bytes, at: float = 1, source: bytes | Path | None = None, room: str = "room") -> Captured:
    digest = hashlib.sha256(content).hexdigest()
    captured = event("file.shared", at, "a@x", room=room, attachments=[{"name": "f", "sha256": digest}])
    return replace(captured, attached=((digest, content if source is None else source),))


def test_an_attachment_is_stored_once_by_its_digest(spool: Spool, feed: int) -> None:
    digest = hashlib.sha256(b"picture").hexdigest()
    spool.append([shared(b"picture", 1), shared(b"picture", 2)], feed)
    assert spool.blob(digest) == b"picture"
    assert files_below(spool.data / "blobs") == [f"{digest[:2]}/{digest}"]
    assert spool.blob("0" * 64) is None
    assert spool.blob("../../spool.db") is None


def test_an_attachment_beside_the_event_file(spool: Spool, feed: int, tmp_path: Path) -> None:
    (tmp_path / "beside").write_bytes(b"x" * 3_000_000)
    spool.append([shared(b"x" * 3_000_000, source=tmp_path / "beside")], feed)
    assert spool.blob(hashlib.sha256(b"x" * 3_000_000).hexdigest()) == b"x" * 3_000_000


@pytest.mark.parametrize("source", [b"other content", Path("/nonexistent/file")])
def test_an_attachment_that_isnt_what_it_says_leaves_the_event(spool: Spool, feed: int, source: bytes | Path) -> None:
    result = spool.append([shared(b"picture", source=source)], feed)
    assert result.accepted == 1
    assert spool.blob(hashlib.sha256(b"picture").hexdigest()) is None
    assert "attachment" in spool.quarantined()[0].reason


def test_a_content_goes_with_its_last_holder(spool: Spool, feed: int) -> None:
    digest = hashlib.sha256(b"picture").hexdigest()
    spool.append([shared(b"picture")], feed)
    spool.hold_blobs("delivery:1", [digest])
    spool._connections.db.execute("DELETE FROM blob_holder WHERE holder LIKE 'event:%'")
    assert spool.sweep_blobs() == 0
    spool.drop_blobs("delivery:1")
    assert spool.sweep_blobs() == 1
    assert spool.blob(digest) is None
    assert files_below(spool.data / "blobs") == []
    # It comes back with the next event that shares it.
    spool.append([shared(b"picture", 5)], feed)
    assert spool.blob(digest) == b"picture"


def test_a_content_swept_between_file_and_row_is_written_again(
    spool: Spool, feed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(b"picture").hexdigest()
    write = spool._blobs.write
    times = 0

    def write_then_lose(entries: object) -> None:
        nonlocal times
        times += 1
        write(entries)  # type: ignore[arg-type]
        if times == 1:
            spool._blobs.remove(f"{digest[:2]}/{digest}")

    monkeypatch.setattr(spool._blobs, "write", write_then_lose)
    assert spool.append([shared(b"picture")], feed).accepted == 1
    assert times == 2
    assert spool.blob(digest) == b"picture"


def test_unfinished_files_of_the_dead_are_removed_and_of_the_living_are_not(spool: Spool) -> None:
    dead = spool.data / "blobs" / ".0123456789abcdef.aa.tmp"
    alive = spool.data / "quarantine" / f".{spool.owner}.bb.tmp"
    dead.write_bytes(b"half")
    alive.write_bytes(b"half")
    assert spool.reap(START).files == 1
    assert not dead.exists()
    assert alive.exists()


# Forgetting


def fold(events: Iterable[Captured], roster: Roster, partial: bool) -> Roster:
    """For tests: the topic counts what was folded."""
    seen = [captured.event.id for captured in events]
    return replace(roster, topic=" ".join([*(roster.topic or "").split(), *seen]))


def file_all(spool: Spool, now: int, state: DeliveryState = DeliveryState.FILED) -> list[list[str]]:
    """File each claimed place's remaining events as one conversation; their ids."""
    filed = []
    for lease in spool.claim(now, 100):
        events = list(spool.events(lease.place, lease.upto))
        numbers = tuple(captured.number for captured in events)
        version = repr(numbers).encode()
        delivery = Delivery("a@x", "CH", "n", (1 << len(events)) - 1, state)
        begun = spool.begin(
            [Filing(lease.place, version, events[0].time, events[-1].time, 1, numbers, (delivery,))], now
        )
        spool.finish(begun, now)
        spool.finish_place(lease, None)
        filed.append([captured.event.id for captured in events])
    return filed


def fill(spool: Spool, *events: Captured, name: str = "f", now: int = START) -> None:
    feed = spool.open_feed(name, "import", now=now).number
    spool.append(events, feed, now=now)
    spool.close_feed(feed, now)


def forget(spool: Spool, now: int) -> int:
    return spool.forget(now, 7 * DAY, fold).events


def test_what_was_filed_long_ago_leaves_and_its_roster_stays(spool: Spool) -> None:
    fill(spool, say("a@x", "one", 1, id="m1"), say("b@x", "two", 2, id="m2"))
    file_all(spool, START + DAY)
    assert forget(spool, START + 8 * DAY) == 0
    assert forget(spool, START + 8 * DAY + 1) == 2
    assert (spool.totals().spooled, spool.totals().forgotten) == (0, 2)
    assert [target for target, _ in spool.recalled(1, ["m1", "m2", "m3"])] == ["m1", "m2"]
    # Read again years later, the same export files nothing.
    feed = spool.open_feed("again", "import", now=START + 900 * DAY).number
    assert spool.append([say("a@x", "one", 1, id="m1")], feed).duplicates == 1
    spool.close_feed(feed, START + 900 * DAY)
    assert spool.claim(START + 900 * DAY, 9) == []


def test_a_late_event_before_the_floor_is_read_and_folded_later(spool: Spool) -> None:
    fill(spool, say("a@x", "one", 1, id="m1"), say("b@x", "two", 20, id="m2"))
    file_all(spool, START)
    forget(spool, START + 8 * DAY)
    fill(spool, say("c@x", "late", 10, id="m3", received=9 * 86_400), name="late", now=START + 9 * DAY)
    lease = spool.claim(START + 9 * DAY, 1)[0]
    assert (lease.roster.topic, lease.filed) == ("m1 m2", True)
    assert [captured.event.id for captured in spool.events(lease.place, lease.upto)] == ["m3"]
    spool.release([lease])
    assert file_all(spool, START + 9 * DAY) == [["m3"]]
    assert forget(spool, START + 17 * DAY) == 1
    spool._connections.db.execute("UPDATE place SET due_at = 0")
    assert spool.claim(START, 1)[0].roster.topic == "m1 m2 m3"


@pytest.mark.parametrize("state", [DeliveryState.WITHHELD, DeliveryState.PARKED, DeliveryState.ATTEMPTED])
def test_what_isnt_filed_stays(spool: Spool, state: DeliveryState) -> None:
    fill(spool, say("a@x", "one", 1))
    file_all(spool, START, state)
    assert forget(spool, START + 100 * DAY) == 0
    assert spool.totals().spooled == 1


@pytest.mark.parametrize(
    "hinder",
    [
        lambda spool: spool._connections.db.execute("UPDATE place SET due_at = 5"),
        lambda spool: spool._connections.db.execute("UPDATE place SET owner = 'x', lease_until = 5"),
        lambda spool: spool._connections.db.execute("UPDATE feed SET state = 'open'"),
    ],
    ids=["due", "leased", "open import"],
)
def test_nothing_leaves_a_place_with_work(spool: Spool, hinder: Callable[[Spool], object]) -> None:
    fill(spool, say("a@x", "one", 1))
    file_all(spool, START)
    hinder(spool)
    assert forget(spool, START + 100 * DAY) == 0


def test_forgetting_goes_on_after_a_crash(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    from archiver.spool import forgetting

    fill(spool, *[say("a@x", str(n), n, id=f"m{n}") for n in range(10)])
    file_all(spool, START)
    monkeypatch.setattr(forgetting, "remove", lambda connections, place: None)
    forget(spool, START + 8 * DAY)
    # The roster stands, the rows are still there: nobody may see them.
    assert list(spool.events(1, 99)) == []
    monkeypatch.undo()
    forget(spool, START + 8 * DAY)
    assert spool.totals().spooled == 0
    spool._connections.db.execute("UPDATE place SET due_at = 0")
    assert spool.claim(START, 1)[0].roster.topic == " ".join(f"m{n}" for n in range(10))


def test_forgetting_goes_place_by_place(spool: Spool) -> None:
    fill(spool, *[say("a@x", str(n), n, room=f"r{n}") for n in range(10)])
    file_all(spool, START)
    after: int | None = 0
    steps = []
    while after is not None:
        step = spool.forget(START + 8 * DAY, 7 * DAY, fold, after=after, limit=4)
        steps.append((step.events, step.places))
        after = step.after
    assert steps == [(4, 4), (4, 4), (2, 2)]


def test_contents_go_with_forgotten_events(spool: Spool) -> None:
    fill(spool, shared(b"picture"))
    file_all(spool, START)
    assert spool.sweep_blobs() == 0
    forget(spool, START + 8 * DAY)
    assert spool.sweep_blobs() == 1


def test_freed_memory_between_pieces_in_use_is_given_back() -> None:
    """As filing leaves it behind. In a process of its own: what others hold says nothing."""
    code = (
        "from pathlib import Path; from archiver.spool.heap import give_back\n"
        "def mib(): return int(Path('/proc/self/statm').read_text().split()[1]) * 4 // 1024\n"
        "pieces = [bytes([1]) * 2_000 for _ in range(50_000)]; pieces = pieces[::50]\n"
        "before = mib(); give_back(); print(before - mib())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 60
