"""The compliance archive: what is recorded of it, and that nobody changes it unseen; killed, full, tampered with."""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from contracts.store import ALICE, BOB, HISTORY, make_item
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from mishaps import CALLS, Killer, in_child, noting, on_a_small_disk

from archiver.exceptions import EnvironmentFault, ItemError, OverQuota
from archiver.store import PURGES, ArchiveStore, Code, MaildirStore, Put, Receipt, Where, grouping, recording, syncing
from archiver.store import draft as drafts
from archiver.store.draft import Draft
from archiver.store.search import Search
from archiver.types import Head

CAROL = "carol@example.org"
NOW = 1_700_000_000_000_000
TEMPLATE = "{data}/archive/{domain}/{local}"
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


@pytest.fixture
def data() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        yield Path(directory)


@pytest.fixture
def archive(data: Path) -> ArchiveStore:
    return ArchiveStore(TEMPLATE, data=data)


def box(archive: ArchiveStore, mailbox: str = ALICE) -> Path:
    local, domain = mailbox.split("@")
    return archive.root / domain / local


def manifest(archive: ArchiveStore, mailbox: str = ALICE) -> Path:
    return box(archive, mailbox) / "manifest.ndjson"


def lines(archive: ArchiveStore, mailbox: str = ALICE) -> list[dict]:
    return [json.loads(line) for line in manifest(archive, mailbox).read_bytes().splitlines()]


def files(archive: ArchiveStore, mailbox: str = ALICE) -> list[Path]:
    return sorted(box(archive, mailbox).glob(".Recoverable Items.Purges/[cn]*/*"))


def file(archive: ArchiveStore, number: int, mailbox: str = ALICE) -> Path:
    return next(path for path in files(archive, mailbox) if path.name.startswith(make_item(number).name))


def puts(*numbers: int, mailbox: str = ALICE) -> list[Put]:
    return [Put(mailbox, PURGES, make_item(number)) for number in numbers]


def where(number: int, mailbox: str = ALICE) -> Where:
    return Where(mailbox, PURGES, make_item(number).name)


def done(receipt: Receipt) -> Receipt:
    assert set(receipt.outcomes) <= {None}, receipt.outcomes
    return receipt


def test_equal_items_of_two_mailboxes_are_two_files(archive: ArchiveStore) -> None:
    """One byte that goes wrong in one of them is no damage of the other."""
    done(archive.put([*puts(1, mailbox=ALICE), *puts(1, mailbox=BOB)], NOW))
    one, other = file(archive, 1, ALICE), file(archive, 1, BOB)
    assert one.read_bytes() == other.read_bytes()
    assert one.stat().st_ino != other.stat().st_ino
    assert one.stat().st_nlink == other.stat().st_nlink == 1
    one.chmod(0o600)
    one.write_bytes(b"?" + one.read_bytes()[1:])
    assert codes(archive, mailbox=ALICE) == [Code.CHANGED]
    assert codes(archive, mailbox=BOB) == []


def test_a_group_counts_each_file_of_an_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "_share", lambda of, most: 3)
    same = [put for n in range(5) for put in puts(1, mailbox=f"m{n}@example.org")]
    assert [len(each) for each in grouping.locked_groups(same)] == [3, 2]
    assert [len(each) for each in grouping.groups(same)] == [5]


def codes(archive: ArchiveStore, *heads: Head | None, mailbox: str = ALICE) -> list[Code]:
    return sorted(damage.code for damage in archive.verify(mailbox, [head for head in heads if head]))


# What is filed, and how


def test_the_tree_is_the_daemons_alone(archive: ArchiveStore) -> None:
    mask = os.umask(0)
    try:
        done(archive.put([*puts(1), *puts(1, mailbox=BOB)], NOW))
    finally:
        os.umask(mask)
    for path in (archive.root, *archive.root.rglob("*")):
        status = path.stat()
        assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())
        assert stat.S_IMODE(status.st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_archives_share_no_inode_with_conversation_history(data: Path, archive: ArchiveStore) -> None:
    history = MaildirStore("{data}/mail/{domain}/{local}", data=data)
    history.put([Put(mailbox, HISTORY, make_item(1)) for mailbox in (ALICE, BOB)])
    done(archive.put([*puts(1), *puts(1, mailbox=BOB)], NOW))
    kept = {path.stat().st_ino for mailbox in (ALICE, BOB) for path in files(archive, mailbox)}
    assert not kept & {path.stat().st_ino for path in history.root.rglob("*")}


def test_the_layout(archive: ArchiveStore) -> None:
    done(archive.put(puts(1), NOW))
    assert sorted(os.listdir(box(archive))) == [".Recoverable Items.Purges", "cur", "manifest.ndjson", "new", "tmp"]
    assert archive.mailboxes() == [ALICE] and archive.folders(ALICE) == ["INBOX", PURGES]


def test_each_line_is_bound_to_the_one_before(archive: ArchiveStore) -> None:
    first = done(archive.put(puts(1, 2), NOW))
    second = done(archive.put(puts(3), NOW + 5))
    raw = manifest(archive).read_bytes().splitlines()
    said = lines(archive)
    assert [line["n"] for line in said] == [1, 2, 3]
    assert [line["at"] for line in said] == [NOW, NOW, NOW + 5]
    assert {line["kind"] for line in said} == {"filed"} and {line["folder"] for line in said} == {PURGES}
    for number, line in enumerate(said, 1):
        content = make_item(number).content
        assert (line["name"], line["size"]) == (make_item(number).name, len(content))
        assert line["sha256"] == sha256(content).hexdigest()
    assert [line["prev"] for line in said[1:]] == [sha256(line).hexdigest() for line in raw[:2]]
    assert first.heads == {ALICE: Head(2, sha256(raw[1]).hexdigest())}
    assert second.heads == {ALICE: Head(3, sha256(raw[2]).hexdigest())} == {ALICE: archive.head(ALICE)}
    assert codes(archive, first.heads[ALICE], second.heads[ALICE]) == []


def test_every_version_stays(archive: ArchiveStore) -> None:
    for number in range(1, 4):
        done(archive.put(puts(number), NOW))
    assert len(files(archive)) == 3


@pytest.mark.parametrize("careful", [False, True])
def test_the_same_again_gets_no_second_line(archive: ArchiveStore, careful: bool) -> None:
    done(archive.put([*puts(1), *puts(1)], NOW))
    done(archive.put(puts(1), NOW + 9, careful=careful))
    assert len(lines(archive)) == 1 and codes(archive) == []


def test_what_lies_under_its_name_must_be_the_item(archive: ArchiveStore) -> None:
    done(archive.put(puts(2), NOW))
    (file(archive, 2).parent / f"{make_item(1).name}:2,S").write_bytes(b"another's")
    outcomes = archive.put([*puts(1), *puts(3)], NOW).outcomes
    assert isinstance(outcomes[0], ItemError) and "another file" in str(outcomes[0]) and outcomes[1] is None
    assert codes(archive) == [Code.UNLISTED]


def test_more_archives_than_may_be_open_at_once(archive: ArchiveStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "_MOST", 7)
    people = [f"user{number}@example.org" for number in range(30)]
    before = len(os.listdir("/proc/self/fd"))
    receipt = done(archive.put([put for person in people for put in puts(1, 2, mailbox=person)], NOW))
    assert len(os.listdir("/proc/self/fd")) == before
    assert sorted(receipt.heads) == sorted(people) and {head.length for head in receipt.heads.values()} == {2}
    assert all(codes(archive, receipt.heads[person], mailbox=person) == [] for person in people)


def test_one_archive_however_its_address_is_written(archive: ArchiveStore) -> None:
    one, other = "Jürgen@Bücher.Example", "JU\u0308RGEN@xn--bcher-kva.example"
    receipt = done(archive.put([*puts(1, mailbox=one), *puts(2, mailbox=other)], NOW))
    assert receipt.heads[one] == receipt.heads[other] == archive.head(one)
    assert codes(archive, receipt.heads[one], mailbox=other) == []


def test_a_mailbox_whose_name_is_cut_on_disk_is_verified_by_it(archive: ArchiveStore) -> None:
    done(archive.put(puts(1, mailbox="x" * 300 + "@example.org"), NOW))
    (listed,) = archive.mailboxes()
    assert codes(archive, mailbox=listed) == []


# What goes leaves a line


def test_a_purge_leaves_a_line_and_reads_no_item(archive: ArchiveStore, monkeypatch: pytest.MonkeyPatch) -> None:
    done(archive.put(puts(1, 2, 3), NOW))
    monkeypatch.setattr(Search, "content", lambda *_: pytest.fail("an item was read"))
    for _ in range(2):
        done(archive.purge([where(1), where(3)], NOW + 1, "older than 30 days"))
    monkeypatch.undo()
    assert [path.name.split(":")[0] for path in files(archive)] == [make_item(2).name]
    assert [(line["kind"], line["name"], line["why"]) for line in lines(archive)[3:]] == [
        ("purged", make_item(number).name, "older than 30 days") for number in (1, 3)
    ]
    assert codes(archive) == [] and archive.usage(ALICE).held == len(make_item(2).content)


def test_a_flagged_item_is_purged_too(archive: ArchiveStore) -> None:
    done(archive.put(puts(1), NOW))
    flagged(archive, 1)
    done(archive.purge([where(1)], NOW, "old"))
    assert files(archive) == [] and codes(archive) == []


def test_what_no_line_knows_is_not_taken_out(archive: ArchiveStore) -> None:
    done(archive.put(puts(1), NOW))
    (file(archive, 1).parent / "1.M2.host:2,").write_bytes(b"a stranger's")
    unwanted = [Where(ALICE, PURGES, "1.M2.host"), where(1), where(1, BOB), Where("nobody", PURGES, "x")]
    outcomes = archive.purge(unwanted, NOW, "old").outcomes
    assert [isinstance(outcome, ItemError) for outcome in outcomes] == [True, False, True, True]
    assert [path.name for path in files(archive)] == ["1.M2.host:2,"] and archive.mailboxes() == [ALICE]


def test_an_erased_item_leaves_both_digests(archive: ArchiveStore) -> None:
    done(archive.put(puts(1, 2), NOW))
    for _ in range(2):
        done(archive.erase([(where(1), puts(7)[0]), (where(2), None)], NOW + 1, "person 12"))
    one, two = lines(archive)[2:]
    assert (one["kind"], one["sha256"]) == ("erased", sha256(make_item(1).content).hexdigest())
    assert one["instead"]["sha256"] == sha256(make_item(7).content).hexdigest() and "instead" not in two
    assert [path.name.split(":")[0] for path in files(archive)] == [make_item(7).name]
    assert codes(archive) == [] and archive.usage(ALICE).held == len(make_item(7).content)


def test_a_version_without_a_persons_words_bears_another_name(archive: ArchiveStore) -> None:
    with pytest.raises(ValueError, match="another name"):
        archive.erase([(where(1), puts(1)[0])], NOW, "x")


def test_what_was_purged_can_be_filed_again(archive: ArchiveStore) -> None:
    done(archive.put(puts(1), NOW))
    done(archive.purge([where(1)], NOW, "old"))
    done(archive.put(puts(1), NOW, careful=True))
    assert len(lines(archive)) == 3 and codes(archive) == [] and len(files(archive)) == 1


def test_a_long_purge_reads_each_manifest_once(
    data: Path, archive: ArchiveStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(archive.put(puts(*range(20)), NOW))
    reads: list[object] = []
    whole = recording.Manifest.contents
    monkeypatch.setattr(recording.Manifest, "contents", lambda self: reads.append(self) or whole(self))
    for number in range(20):
        done(archive.purge([where(number)], NOW, "old"))
    assert len(reads) == 1 and codes(archive) == []
    done(ArchiveStore(TEMPLATE, data=data).put(puts(50), NOW))
    done(archive.purge([where(50)], NOW, "old"))
    assert len(reads) == 2  # another hand may have been at it meanwhile


# Quota


def test_over_the_limit_nothing_more_is_archived(data: Path) -> None:
    size = len(make_item(1).content)
    archive = ArchiveStore(TEMPLATE, data=data, warning=size, limit=2 * size)
    assert done(archive.put(puts(1), NOW)).nearly_full == {}
    receipt = archive.put([*puts(2), *puts(3), *puts(1, mailbox=BOB)], NOW)
    full = receipt.outcomes[1]
    assert receipt.outcomes[0] is None and receipt.outcomes[2] is None
    assert isinstance(full, OverQuota) and full.hint and ALICE in str(full)
    assert receipt.nearly_full == {ALICE: 2 * size} and archive.usage(ALICE).is_nearly_full
    assert len(files(archive)) == len(lines(archive)) == 2
    done(archive.put(puts(1, 2), NOW, careful=True))  # they are there already
    done(archive.purge([where(1)], NOW, "old"))
    done(archive.put(puts(3), NOW))
    assert codes(archive) == []


def test_the_limits_of_the_original_are_the_defaults(archive: ArchiveStore) -> None:
    usage = archive.usage(ALICE)
    assert (usage.held, usage.warning, usage.limit) == (0, 20 * 1024**3, 30 * 1024**3)


# Whoever changes it is found


def flagged(archive: ArchiveStore, number: int) -> None:
    at = file(archive, number)
    at.rename(at.parent.parent / "cur" / f"{make_item(number).name}:2,FRSa")


def flip(path: Path, position: int = 10) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def swap(one: Path, other: Path) -> None:
    one_content, other_content = one.read_bytes(), other.read_bytes()
    one.write_bytes(other_content)
    other.write_bytes(one_content)


def edit(archive: ArchiveStore, change: Callable[[list[bytes]], object]) -> None:
    content = manifest(archive).read_bytes().splitlines(keepends=True)
    change(content)
    manifest(archive).write_bytes(b"".join(content))


def reword(number: int, old: bytes, new: bytes) -> Callable[[list[bytes]], object]:
    def change(content: list[bytes]) -> None:
        assert old in content[number - 1]
        content[number - 1] = content[number - 1].replace(old, new)

    return change


def hexadecimal(content: bytes) -> bytes:
    return sha256(content).hexdigest().encode()


def stranger(archive: ArchiveStore, name: str) -> None:
    (file(archive, 1).parent / name).write_bytes(b"Subject: planted\n\n")


ITEM = f"{PURGES}/{make_item(2).name}"
OTHER = f"{PURGES}/{make_item(3).name}"
FIVE = list(range(1, 6))
TAMPERING: dict[str, tuple[Callable[[ArchiveStore], object], list[tuple[Code, str]]]] = {
    "a byte of an item": (lambda a: flip(file(a, 2)), [(Code.CHANGED, ITEM)]),
    "an item cut short": (lambda a: os.truncate(file(a, 2), 5), [(Code.CHANGED, ITEM)]),
    "an item emptied": (lambda a: os.truncate(file(a, 2), 0), [(Code.CHANGED, ITEM)]),
    "an item deleted": (lambda a: file(a, 2).unlink(), [(Code.MISSING, ITEM)]),
    "an item moved out": (lambda a: file(a, 2).rename(box(a) / "x"), [(Code.MISSING, ITEM)]),
    "an item moved to another folder": (
        lambda a: file(a, 2).rename(box(a) / "cur" / file(a, 2).name),
        [(Code.MISSING, ITEM), (Code.UNLISTED, f"INBOX/{make_item(2).name}")],
    ),
    "two items swapped": (
        lambda a: swap(file(a, 2), file(a, 3)),
        [(Code.SWAPPED, ITEM), (Code.SWAPPED, OTHER)],
    ),
    "a link in an item's place": (
        lambda a: (file(a, 2).rename(box(a) / "x"), (box(a) / files(a)[0].parent / file_of(2)).symlink_to("/x")),
        [(Code.CHANGED, ITEM)],
    ),
    "a file added": (lambda a: stranger(a, "1.M2.host:2,S"), [(Code.UNLISTED, f"{PURGES}/1.M2.host")]),
    "a hidden file added": (lambda a: stranger(a, ".x"), [(Code.UNLISTED, f"{PURGES}/.x")]),
    "a file added under a name of ours": (
        lambda a: stranger(a, f"{make_item(9).name}:2,S"),
        [(Code.UNLISTED, f"{PURGES}/{make_item(9).name}")],
    ),
    "a second file of one name": (lambda a: stranger(a, f"{make_item(2).name}:2,F"), [(Code.DOUBLED, ITEM)]),
    "a purged item put back": (
        lambda a: (done(a.purge([where(2)], NOW, "old")), (files(a)[0].parent / file_of(2)).write_bytes(CONTENT)),
        [(Code.NOT_REMOVED, ITEM)],
    ),
    "a line taken out": (lambda a: edit(a, lambda c: c.pop(1)), [(Code.UNLISTED, ITEM), (Code.LINE_MISSING, "line 2")]),
    "the first line taken out": (
        lambda a: edit(a, lambda c: c.pop(0)),
        [(Code.UNLISTED, f"{PURGES}/{make_item(1).name}"), (Code.LINE_MISSING, "line 1")],
    ),
    "a line and its item taken out": (
        lambda a: (edit(a, lambda c: c.pop(1)), file(a, 2).unlink()),
        [(Code.LINE_MISSING, "line 2")],
    ),
    "two lines exchanged": (lambda a: edit(a, lambda c: c.insert(1, c.pop(2))), [(Code.LINE_MOVED, "line 2")]),
    "a line twice": (lambda a: edit(a, lambda c: c.insert(3, c[1])), [(Code.LINE_MOVED, "line 2")]),
    "a line's time": (lambda a: edit(a, reword(2, b'"at":17', b'"at":16')), [(Code.LINE_CHANGED, "line 2")]),
    "a line's digest": (
        lambda a: edit(a, reword(2, hexadecimal(CONTENT), b"0" * 64)),
        [(Code.CHANGED, ITEM), (Code.LINE_CHANGED, "line 2")],
    ),
    "an item and its line": (
        lambda a: (
            flip(file(a, 2)),
            edit(a, reword(2, hexadecimal(CONTENT), hexadecimal(file(a, 2).read_bytes()))),
        ),
        [(Code.LINE_CHANGED, "line 2")],
    ),
    "a line spoilt": (
        lambda a: edit(a, reword(2, b'{"n"', b'["n"')),
        [(Code.UNLISTED, ITEM), (Code.UNREADABLE, "line 2")],
    ),
    "an empty line": (lambda a: edit(a, lambda c: c.insert(2, b"\n")), [(Code.UNREADABLE, "line 3")]),
    "the manifest of another": (
        lambda a: (done(a.put(puts(*FIVE, mailbox=BOB), NOW)), swap(manifest(a), manifest(a, BOB))),
        [(Code.NOT_ITS_OWN, "line 1")],
    ),
    "the manifest deleted": (
        lambda a: manifest(a).unlink(),
        [(Code.NO_MANIFEST, "manifest.ndjson"), *((Code.UNLISTED, f"{PURGES}/{make_item(n).name}") for n in FIVE)],
    ),
    "a line's end": (
        lambda a: os.truncate(manifest(a), manifest(a).stat().st_size - 5),
        [(Code.UNLISTED, f"{PURGES}/{make_item(5).name}"), (Code.TORN, "end")],
    ),
}  # fmt: skip
CONTENT = make_item(2).content


def file_of(number: int) -> str:
    return f"{make_item(number).name}:2,S"


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_found_and_named(archive: ArchiveStore, name: str) -> None:
    """With no head on record, one damage for each thing that was done, and advice with each."""
    tamper, expected = TAMPERING[name]
    done(archive.put(puts(*FIVE), NOW))
    assert codes(archive) == []
    tamper(archive)
    found = list(archive.verify(ALICE))
    told = sorted((damage.code, damage.place.removeprefix("manifest.ndjson: ")) for damage in found)
    assert told == sorted(expected)
    assert all(damage.advice and damage.found and damage.mailbox == ALICE for damage in found)


CUTTING: dict[str, Callable[[ArchiveStore], object]] = {
    "the last line": lambda a: edit(a, lambda c: c.pop()),
    "three lines": lambda a: edit(a, lambda c: c.__delitem__(slice(2, None))),
    "all lines": lambda a: os.truncate(manifest(a), 0),
    "within a line": lambda a: os.truncate(manifest(a), manifest(a).stat().st_size - 5),
    "the manifest": lambda a: manifest(a).unlink(),
    "everything": lambda a: box(a).rename(archive_root_beside(a)),
}


def archive_root_beside(archive: ArchiveStore) -> Path:
    return archive.root.parent / "gone"


@pytest.mark.parametrize("name", CUTTING)
@pytest.mark.parametrize("items_too", [False, True])
def test_a_cut_tail_is_found_by_the_head_on_record(archive: ArchiveStore, name: str, items_too: bool) -> None:
    head = done(archive.put(puts(*FIVE), NOW)).heads[ALICE]
    CUTTING[name](archive)
    if items_too and box(archive).exists():
        said = {line["name"] for line in lines(archive)} if name in ("the last line", "three lines") else set()
        for path in files(archive):
            if path.name.split(":")[0] not in said:
                path.unlink()
    assert Code.CUT in codes(archive, head)
    if items_too and name in ("the last line", "three lines", "all lines", "everything"):
        assert codes(archive) == []  # only the head tells


def test_the_last_line_changed_is_found_by_the_head_on_record(archive: ArchiveStore) -> None:
    head = done(archive.put(puts(*FIVE), NOW)).heads[ALICE]
    edit(archive, reword(5, b'"at":17', b'"at":16'))
    assert codes(archive, head) == [Code.REWRITTEN]


@pytest.mark.parametrize("number", FIVE)
def test_flags_are_no_damage(archive: ArchiveStore, number: int) -> None:
    head = done(archive.put(puts(*FIVE), NOW)).heads[ALICE]
    flagged(archive, number)
    assert codes(archive, head) == []
    at = file(archive, number)
    at.rename(at.parent.parent / "new" / make_item(number).name)
    assert codes(archive, head) == []


def test_the_servers_own_files_are_no_damage(archive: ArchiveStore) -> None:
    done(archive.put(puts(1), NOW))
    for path in (box(archive) / "subscriptions", files(archive)[0].parent.parent / "dovecot-uidlist"):
        path.write_text("theirs")
    assert codes(archive) == []


def test_filing_goes_on_and_the_evidence_stays(archive: ArchiveStore) -> None:
    """A head is not replaced once the manifest has been found shorter than it says, or other than it says."""
    noted = done(archive.put(puts(*FIVE), NOW)).heads
    edit(archive, lambda content: content.pop())
    receipt = done(archive.put(puts(6), NOW, known=noted))
    assert receipt.heads == {} and receipt.damages[ALICE].code is Code.CUT
    for number in (7, 8):
        receipt = done(archive.put(puts(number), NOW, known=noted))
        assert receipt.heads == {} and receipt.damages[ALICE].code is Code.REWRITTEN
    assert Code.REWRITTEN in codes(archive, noted[ALICE])


def test_a_head_on_record_that_lags_behind_is_no_damage(archive: ArchiveStore) -> None:
    """As when the process was killed between the manifest and the journal; however long ago."""
    noted = done(archive.put(puts(1), NOW)).heads
    done(archive.put(puts(*range(2, 120)), NOW))
    receipt = done(archive.put(puts(200), NOW, known=noted))
    assert receipt.damages == {} and receipt.heads[ALICE].length == 120
    assert codes(archive, noted[ALICE]) == []


def test_nothing_can_be_bound_to_a_spoilt_line(archive: ArchiveStore) -> None:
    done(archive.put(puts(*FIVE), NOW))
    edit(archive, reword(5, b'{"n"', b'["n"'))
    alice, bob = archive.put([*puts(6), *puts(6, mailbox=BOB)], NOW).outcomes
    assert isinstance(alice, ItemError) and alice.hint and bob is None
    assert len(files(archive)) == 5


@pytest.mark.parametrize("what", ["directory", "link", "pipe"])
def test_what_is_no_manifest_stops_that_archive_alone(archive: ArchiveStore, what: str) -> None:
    done(archive.put(puts(1), NOW))
    at = manifest(archive)
    at.unlink()
    {"directory": at.mkdir, "link": lambda: at.symlink_to("/etc/passwd"), "pipe": lambda: os.mkfifo(at)}[what]()
    alice, bob = archive.put([*puts(2), *puts(2, mailbox=BOB)], NOW).outcomes
    assert isinstance(alice, EnvironmentFault) and alice.hint and bob is None
    with pytest.raises(EnvironmentFault):
        list(archive.verify(ALICE))


def test_what_is_purged_during_a_verification_is_not_missing(
    archive: ArchiveStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(archive.put(puts(*FIVE), NOW))
    content = Search.content

    def purging(self: Search, *arguments: object) -> bytes | None:
        monkeypatch.undo()
        done(archive.purge([where(2), where(3)], NOW, "old"))
        file(archive, 4).unlink()
        return content(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Search, "content", purging)
    assert [(damage.code, damage.place) for damage in archive.verify(ALICE)] == [
        (Code.MISSING, f"{PURGES}/{make_item(4).name}")
    ]


# Whatever happens in between


def acts(archive: ArchiveStore) -> Receipt:
    """One of each; made again after a kill."""
    done(archive.put([*puts(1, 2, 3), *puts(2, mailbox=BOB)], NOW, careful=True))
    done(archive.purge([where(1)], NOW, "old"))
    done(archive.erase([(where(2), puts(7)[0])], NOW, "person"))
    return done(archive.put(puts(4), NOW, careful=True))


STEPS = (*CALLS, "pwrite", "ftruncate")
CRASHED = {Code.UNLISTED, Code.TORN, Code.NOT_REMOVED}
"""What a kill may leave behind: never a line without its file."""


@pytest.mark.slow
@pytest.mark.parametrize("nameless", [True, False])
def test_killed_at_every_step(data: Path, nameless: bool) -> None:
    """What the journal has on record is there; finishing or making the same again ends as once would have."""
    steps = 0
    while True:
        archive = ArchiveStore(TEMPLATE, data=data / str(steps))

        def work(archive: ArchiveStore = archive, steps: int = steps) -> None:
            if not nameless:
                drafts._NAMELESS = os.O_WRONLY
            Killer(steps).arm(STEPS)
            acts(archive)

        status = in_child(work)
        for mailbox in (ALICE, BOB):
            assert set(codes(archive, mailbox=mailbox)) <= CRASHED
        archive.sweep()
        attempted = [where(number) for number in (1, 2, 3, 4)] + [where(2, BOB)]
        gone = (
            {line["name"] for line in lines(archive) if line["kind"] != "filed"} if manifest(archive).exists() else {}
        )
        done(archive.finish([each for each in attempted if each.name not in gone], NOW))
        for mailbox in (ALICE, BOB):
            assert set(codes(archive, mailbox=mailbox)) <= CRASHED - {Code.TORN}
        if not gone:
            assert codes(archive) == codes(archive, mailbox=BOB) == []
            head = acts(archive).heads[ALICE]
        else:
            done(archive.purge([where(1)], NOW, "old"))
            done(archive.erase([(where(2), puts(7)[0])], NOW, "person"))
            head = done(archive.put([*puts(3, 4)], NOW, careful=True)).heads[ALICE]
        assert codes(archive, head) == codes(archive, mailbox=BOB) == []
        assert sorted(path.name.split(":")[0] for path in files(archive)) == [make_item(n).name for n in (3, 4, 7)]
        assert len(lines(archive)) == 6 and len(lines(archive, BOB)) == 1
        if os.WIFEXITED(status):
            break
        steps += 1
    assert steps > 60


def test_finish_gives_a_file_its_line_and_nothing_else(archive: ArchiveStore) -> None:
    done(archive.put(puts(1, 2), NOW))
    edit(archive, lambda content: content.pop())
    stranger(archive, "1.M2.host:2,S")
    receipt = done(archive.finish([where(1), where(2), where(3), where(1, BOB)], NOW))
    assert [line["name"] for line in lines(archive)] == [make_item(1).name, make_item(2).name]
    assert codes(archive, receipt.heads[ALICE]) == [Code.UNLISTED]
    assert archive.mailboxes() == [ALICE] and not box(archive, BOB).exists()


@pytest.mark.parametrize("cut", [1, 5, 200])
def test_a_torn_line_is_written_again(archive: ArchiveStore, cut: int) -> None:
    """Killed, or the power went, in the middle of a line that nobody was told of."""
    noted = done(archive.put(puts(1, 2), NOW)).heads
    done(archive.put(puts(3), NOW))
    os.truncate(manifest(archive), manifest(archive).stat().st_size - cut)
    assert codes(archive, noted[ALICE]) == [Code.UNLISTED, Code.TORN]
    receipt = done(archive.put(puts(3), NOW, careful=True, known=noted))
    assert receipt.damages == {} and codes(archive, *noted.values(), *receipt.heads.values()) == []


@pytest.mark.parametrize("people", [1, 40])
@pytest.mark.parametrize("grouped", [True, False])
def test_files_are_durable_before_their_lines(
    archive: ArchiveStore, monkeypatch: pytest.MonkeyPatch, people: int, grouped: bool
) -> None:
    happened: list[str] = []
    note = noting(happened)
    monkeypatch.setattr(syncing, "GROUPED", grouped)
    monkeypatch.setattr(Draft, "link", note("link", Draft.link))
    monkeypatch.setattr(os, "pwrite", note("line", os.pwrite))
    monkeypatch.setattr(os, "unlink", note("unlink", os.unlink))
    monkeypatch.setattr(os, "fsync", note("sync", os.fsync))
    monkeypatch.setattr(syncing, "sync_file_system", note("sync", syncing.sync_file_system))
    boxes = [f"user{number}@example.org" for number in range(people)]
    done(archive.put([put for mailbox in boxes for put in puts(1, 2, mailbox=mailbox)], NOW))
    assert squeezed(happened)[-5:] == ["sync", "link", "sync", "line", "sync"]
    if grouped and people > 8:
        assert happened.count("sync") <= 5  # both contents, directories, manifests; and the mail root, made on the way
    happened.clear()
    done(archive.erase([(where(1, mailbox), puts(7, mailbox=mailbox)[0]) for mailbox in boxes], NOW, "person"))
    assert squeezed(happened) == ["sync", "link", "sync", "line", "sync", "unlink", "sync"]


def squeezed(happened: Sequence[str]) -> list[str]:
    return [name for index, name in enumerate(happened) if index == 0 or name != happened[index - 1]]


@pytest.mark.parametrize("call", ["pwrite", "make_durable"])
def test_what_cannot_be_recorded_is_not_filed(
    archive: ArchiveStore, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    done(archive.put(puts(1), NOW))
    where_it_is = os if call == "pwrite" else recording

    def failing(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(where_it_is, call, failing)
    receipt = archive.put([*puts(2), *puts(2, mailbox=BOB)], NOW)
    assert all(isinstance(outcome, EnvironmentFault) and outcome.hint for outcome in receipt.outcomes)
    assert all(head.length == 1 for head in receipt.heads.values()) and BOB not in receipt.heads
    monkeypatch.undo()
    assert set(codes(archive)) <= {Code.UNLISTED}
    done(archive.put([*puts(2), *puts(2, mailbox=BOB)], NOW, careful=True))
    assert codes(archive) == codes(archive, mailbox=BOB) == [] and len(lines(archive)) == 2


FULL = """
import sys
from pathlib import Path
from contracts.store import ALICE, BOB, make_item
from archiver.exceptions import EnvironmentFault
from archiver.store import PURGES, ArchiveStore, Put, Where
archive = ArchiveStore("{data}/archive/{domain}/{local}", data=Path(sys.argv[1]))
items = [make_item(number, "x" * 20_000) for number in range(80)]
puts = [Put(mailbox, PURGES, item) for item in items for mailbox in (ALICE, BOB)]
failed = 0
for number in range(0, 160, 10):
    outcomes = archive.put(puts[number : number + 10], 1).outcomes
    failed += sum(outcome is not None for outcome in outcomes)
    assert all(outcome is None or "No space" in str(outcome) for outcome in outcomes), outcomes
assert 0 < failed < 160
found = [damage.code for mailbox in (ALICE, BOB) for damage in archive.verify(mailbox)]
assert set(found) <= {"item-unlisted"}, found
archive.finish([Where(put.mailbox, put.folder, put.item.name) for put in puts], 2)
assert not [damage for mailbox in (ALICE, BOB) for damage in archive.verify(mailbox)]
"""


def test_a_full_disk() -> None:
    on_a_small_disk(FULL, "mount -t tmpfs -o size=1m tmpfs .")


@pytest.mark.slow
def test_several_processes_file_in_the_same_archives(archive: ArchiveStore) -> None:
    def work(number: int) -> Callable[[], None]:
        def filing() -> None:
            for step in range(40):
                mine = puts(number * 1000 + step, step)
                done(archive.put([*mine, *(Put(BOB, put.folder, put.item) for put in reversed(mine))], NOW))

        return filing

    children = []
    for number in range(1, 5):
        child = os.fork()
        if child == 0:
            os._exit(in_child(work(number)) and 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    for mailbox in (ALICE, BOB):
        assert codes(archive, mailbox=mailbox) == [] and len(lines(archive, mailbox)) == 200


@settings(max_examples=examples(60))
@given(
    st.lists(st.tuples(st.sampled_from(["put", "careful", "purge", "erase", "flag"]), st.integers(1, 6)), max_size=25)
)
def test_whatever_is_done_by_its_own_hand_is_sound(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        archive = ArchiveStore(TEMPLATE, data=Path(directory))
        noted: dict[str, Head] = {}
        heads: list[Head] = []
        there: set[int] = set()
        for act, number in steps:
            if act in ("put", "careful"):
                receipt = done(archive.put(puts(number), NOW, careful=number in there or act == "careful", known=noted))
                there.add(number)
            elif act == "flag" and number in there:
                flagged(archive, number)
                continue
            elif act == "purge" and number in there:
                receipt = done(archive.purge([where(number)], NOW, "old", known=noted))
                there.discard(number)
            elif act == "erase" and number in there:
                receipt = done(archive.erase([(where(number), puts(number + 100)[0])], NOW, "person", known=noted))
                there = there - {number} | {number + 100}
            else:
                continue
            assert receipt.damages == {}
            noted |= receipt.heads
            heads += receipt.heads.values()
        assert codes(archive, *heads) == []
        assert {path.name.split(":")[0] for path in files(archive)} == {make_item(number).name for number in there}
        assert archive.usage(ALICE).held == sum(path.stat().st_size for path in files(archive))
        assert len(lines(archive)) == heads[-1].length if heads else not archive.mailboxes()


@settings(max_examples=examples(150))
@given(st.data())
def test_no_byte_can_be_changed_unseen(drawn: st.DataObject) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        archive = ArchiveStore(TEMPLATE, data=Path(directory))
        done(archive.put(puts(1, 2, 3), NOW))
        done(archive.purge([where(2)], NOW, "old"))
        head = done(archive.erase([(where(3), puts(4)[0])], NOW, "person")).heads[ALICE]
        path = drawn.draw(st.sampled_from([manifest(archive), *files(archive)]))
        content = path.read_bytes()
        at = drawn.draw(st.integers(0, len(content)))
        taken = drawn.draw(st.integers(0, len(content) - at))
        changed = content[:at] + drawn.draw(st.binary(max_size=3)) + content[at + taken :]
        path.write_bytes(changed)
        assert (codes(archive, head) == []) == (changed == content)
