"""The Maildir store against what can happen to a disk, a process and a tree that its users own."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from mailbox import Maildir
from pathlib import Path

import pytest
from contracts.store import ALICE, BOB, CHANGED, HISTORY, make_item
from mishaps import CALLS, Killer, in_child, noting, on_a_small_disk

from archiver import inspection
from archiver.exceptions import ArchiverError, EnvironmentFault
from archiver.store import MaildirStore, Ownership, Put, batch, draft, syncing, tree
from archiver.store.draft import Draft

CAROL = "carol@example.org"
PEOPLE = (ALICE, BOB, CAROL)
FOLDER = f".{HISTORY}"
TEMPLATE = "{data}/mail/{domain}/{local}"


@pytest.fixture
def data() -> Iterator[Path]:
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def store(data: Path) -> MaildirStore:
    return MaildirStore(TEMPLATE, data=data)


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system without O_TMPFILE: opening a directory for writing is EISDIR there as well."""
    monkeypatch.setattr(draft, "_NAMELESS", os.O_WRONLY)


def box(store: MaildirStore, mailbox: str) -> Path:
    local, domain = mailbox.split("@")
    return store.root / domain / local


def files(store: MaildirStore) -> list[Path]:
    return sorted(path for path in store.root.rglob("*") if path.is_file() and path.name != "maildirfolder")


def to_all(number: int = 1, folder: str = HISTORY) -> list[Put]:
    return [Put(mailbox, folder, make_item(number)) for mailbox in PEOPLE]


def test_what_python_reads(store: MaildirStore) -> None:
    store.put([Put(ALICE, HISTORY, make_item(1)), Put(ALICE, HISTORY, make_item(2), "")])
    folder = Maildir(box(store, ALICE), create=False).get_folder(HISTORY)
    assert sorted((message["Subject"], message.get_subdir(), message.get_flags()) for message in folder) == [
        ("1", "cur", "S"),
        ("2", "new", ""),
    ]


@pytest.mark.parametrize("encoding", ["utf-7", "utf-8"])
def test_layout(data: Path, encoding: str) -> None:
    store = MaildirStore(TEMPLATE, data=data, encoding=encoding)  # type: ignore[arg-type]
    store.put([Put(ALICE, "交談歷程記錄", make_item(1))])
    folder = {"utf-7": ".&TqSKx2t3eguKGJME-", "utf-8": ".交談歷程記錄"}[encoding]
    assert sorted(os.listdir(box(store, ALICE))) == sorted([folder, "cur", "new", "tmp"])
    assert sorted(os.listdir(box(store, ALICE) / folder)) == ["cur", "maildirfolder", "new", "tmp"]
    assert store.folders(ALICE) == ["INBOX", "交談歷程記錄"]


def test_owner_modes_and_time(data: Path) -> None:
    """As root all is given to another user, as a mail server's is; as anybody else it stays one's own."""
    uid, gid = (8, 12) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    store = MaildirStore(TEMPLATE, data=data, ownership=Ownership(uid, gid, 0o640, 0o750))
    mask = os.umask(0o077)
    try:
        store.put(to_all())
    finally:
        os.umask(mask)
    for path in (store.root, *store.root.rglob("*")):
        status = path.stat()
        assert (status.st_uid, status.st_gid) == (uid, gid)
        assert stat.S_IMODE(status.st_mode) == (0o750 if path.is_dir() else 0o640)
    assert {path.stat().st_mtime_ns for path in files(store)} == {CHANGED * 1000}


def test_equal_items_are_one_inode(store: MaildirStore) -> None:
    store.put(to_all(1) + to_all(2))
    assert {path.stat().st_nlink for path in files(store)} == {3}
    assert len({path.stat().st_ino for path in files(store)}) == 2


@pytest.mark.usefixtures("named")
def test_without_nameless_files(store: MaildirStore) -> None:
    assert store.put(to_all(1) + to_all(2)) == [None] * 6
    assert len(files(store)) == 6
    assert {path.stat().st_nlink for path in files(store)} == {3}


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EACCES])
def test_a_copy_where_no_link_is_possible(store: MaildirStore, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    link, linked = Draft.link, set()

    def once(self: Draft, directory: int, name: str) -> None:
        if self in linked:
            raise OSError(number, os.strerror(number))
        linked.add(self)
        link(self, directory, name)

    monkeypatch.setattr(Draft, "link", once)
    assert store.put(to_all()) == [None] * 3
    assert [(path.stat().st_nlink, path.read_bytes()) for path in files(store)] == [(1, make_item(1).content)] * 3
    assert {path.stat().st_mtime_ns for path in files(store)} == {CHANGED * 1000}


@pytest.mark.parametrize("missing", ["cur", "new", "tmp", FOLDER, f"{FOLDER}/cur", f"{FOLDER}/new", f"{FOLDER}/tmp"])
def test_mends_what_is_half_made(store: MaildirStore, missing: str) -> None:
    store.put([Put(ALICE, HISTORY, make_item(1), "")])
    subprocess.run(["rm", "-r", str(box(store, ALICE) / missing)], check=True)
    assert store.put([Put(ALICE, HISTORY, make_item(2))]) == [None]
    assert (box(store, ALICE) / missing).is_dir()
    assert store.locate(ALICE, HISTORY, make_item(2).name)


def test_a_renamed_folder_is_made_anew(store: MaildirStore) -> None:
    store.put([Put(ALICE, HISTORY, make_item(1))])
    (box(store, ALICE) / FOLDER).rename(box(store, ALICE) / ".Old")
    assert store.put([Put(ALICE, HISTORY, make_item(2))]) == [None]
    assert [found.name for found in store.items(ALICE, "Old")] == [make_item(1).name]
    assert [found.name for found in store.items(ALICE, HISTORY)] == [make_item(2).name]


def test_a_folder_removed_in_the_middle_of_a_put_is_made_anew(
    store: MaildirStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(to_all(1))
    link, removed = Draft.link, []

    def gone(self: Draft, directory: int, name: str) -> None:
        if not removed:
            removed.append(subprocess.run(["rm", "-r", str(box(store, ALICE) / FOLDER)], check=True))
        link(self, directory, name)

    monkeypatch.setattr(Draft, "link", gone)
    assert store.put(to_all(2)) == [None] * 3
    assert store.locate(ALICE, HISTORY, make_item(2).name)


def test_the_servers_own_files_stay(store: MaildirStore) -> None:
    store.put([Put(ALICE, HISTORY, make_item(1))])
    theirs = [box(store, ALICE) / "subscriptions", box(store, ALICE) / FOLDER / "dovecot-uidlist"]
    for path in theirs:
        path.write_text("theirs")
    before = [path.stat() for path in theirs]
    store.put([Put(ALICE, HISTORY, make_item(2))], careful=True)
    store.remove(ALICE, HISTORY, make_item(1).name)
    store.sweep()
    assert [path.stat()[:9] for path in theirs] == [status[:9] for status in before]


def _plant(store: MaildirStore, where: str, outside: Path) -> None:
    path = box(store, BOB) / where if where != "domain" else store.root / "example.com"
    subprocess.run(["rm", "-rf", str(path)], check=True)
    path.symlink_to(outside)


@pytest.mark.parametrize("where", [".", FOLDER, f"{FOLDER}/cur", f"{FOLDER}/new", f"{FOLDER}/tmp", "cur", "domain"])
@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize("fallback", [False, True])
def test_a_planted_link_leads_nowhere(
    store: MaildirStore, data: Path, monkeypatch: pytest.MonkeyPatch, where: str, careful: bool, fallback: bool
) -> None:
    if fallback:
        monkeypatch.setattr(draft, "_NAMELESS", os.O_WRONLY)
    store.put([Put(ALICE, HISTORY, make_item(1)), Put(BOB, HISTORY, make_item(1))])
    outside = data / "outside"
    for name in ("cur", "new", "tmp", FOLDER, f"{FOLDER}/cur", "bob"):
        (outside / name).mkdir(parents=True)
    kept = sorted(outside.rglob("*"))
    _plant(store, where if where != "." else "", outside)
    bob = BOB if where != "domain" else "bob@example.com"
    puts = [Put(ALICE, HISTORY, make_item(2)), Put(bob, HISTORY, make_item(2)), Put(bob, HISTORY, make_item(3), "")]
    outcomes = store.put(puts, careful=careful)
    assert outcomes[0] is None
    if where in {".", FOLDER, "domain"}:
        assert isinstance(outcomes[1], EnvironmentFault) and outcomes[1].hint
    store.locate(bob, HISTORY, make_item(2).name)
    store.remove(bob, HISTORY, make_item(2).name)
    store.sweep()
    assert sorted(outside.rglob("*")) == kept


@pytest.mark.parametrize("subdirectory", ["cur", "new"])
def test_a_folder_with_something_in_the_way_hides_no_other(store: MaildirStore, data: Path, subdirectory: str) -> None:
    """Else one link of its owner's would keep a mailbox, and the list of all, from being inspected."""
    store.put([Put(ALICE, HISTORY, make_item(1)), Put(BOB, HISTORY, make_item(2))])
    for name, put_there in (
        ("link", lambda path: path.symlink_to(box(store, BOB) / FOLDER / "cur")),
        ("file", Path.touch),
    ):
        folder = box(store, ALICE) / f".{name}"
        for each in {"cur", "new", "tmp"} - {subdirectory}:
            (folder / each).mkdir(parents=True)
        put_there(folder / subdirectory)
    listed = [(each.mailbox, each.folder, each.items) for each in inspection.folders(store)]
    assert listed == [(ALICE, HISTORY, 1), (BOB, HISTORY, 1)]
    assert [each.name for each in inspection.items(store, ALICE)] == [make_item(1).name]
    assert list(store.unsorted(ALICE, "link")) == [] and store.stamp(ALICE, "file") == ""


def test_planted_names_are_neither_followed_nor_waited_for(store: MaildirStore, data: Path) -> None:
    outside = data / "secret"
    outside.write_bytes(make_item(1).content)
    store.put([Put(ALICE, HISTORY, make_item(9))])
    cur = box(store, ALICE) / FOLDER / "cur"
    (cur / f"{make_item(1).name}:2,S").symlink_to(outside)
    os.mkfifo(cur / "1.fifo:2,")
    (cur / "1.link:2,").symlink_to(outside)
    (cur / "1.directory:2,").mkdir()
    assert store.locate(ALICE, HISTORY, make_item(1).name) is None
    with pytest.raises(ArchiverError):
        store.read(ALICE, HISTORY, make_item(1).name)
    assert [found.name for found in store.items(ALICE, HISTORY)] == [make_item(9).name]
    assert store.put([Put(ALICE, HISTORY, make_item(2))], careful=True) == [None]
    assert store.locate(ALICE, HISTORY, make_item(2).name)
    assert outside.stat().st_nlink == 1


@pytest.mark.parametrize("place", ["", FOLDER, f"{FOLDER}/cur"])
def test_a_file_in_place_of_a_directory_fails_alone(store: MaildirStore, place: str) -> None:
    store.put(to_all(1))
    subprocess.run(["rm", "-r", str(box(store, BOB) / place)], check=True)
    (box(store, BOB) / place).write_text("in the way")
    outcomes = store.put(to_all(2))
    assert [outcome is None for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1], EnvironmentFault) and outcomes[1].hint
    assert store.locate(BOB, HISTORY, make_item(2).name) is None
    assert store.locate(CAROL, HISTORY, make_item(2).name)


def test_where_nothing_may_be_written_others_go_on(data: Path) -> None:
    """In a process without a right to everything, which root has."""
    (data / "mail").mkdir()
    user = 65534 if os.geteuid() == 0 else os.geteuid()
    os.chown(data / "mail", user, -1)

    def work() -> None:
        if os.geteuid() == 0:
            os.setuid(user)
        store = MaildirStore(TEMPLATE, data=data)
        assert store.put(to_all(1)) == [None] * 3
        (box(store, BOB) / FOLDER / "cur").chmod(0o500)
        outcomes = store.put(to_all(2))
        assert [outcome is None for outcome in outcomes] == [True, False, True]
        assert isinstance(outcomes[1], EnvironmentFault) and "Permission denied" in str(outcomes[1])
        box(store, CAROL).chmod(0)
        outcomes = store.put(to_all(3), careful=True)
        assert [outcome is None for outcome in outcomes] == [True, False, False]
        assert store.locate(CAROL, HISTORY, make_item(1).name) is None
        (data / "mail").chmod(0o500)
        outcomes = store.put([Put("dan@example.net", HISTORY, make_item(4)), Put(ALICE, HISTORY, make_item(4))])
        assert [outcome is None for outcome in outcomes] == [False, True]
        box(store, CAROL).chmod(0o700)

    assert in_child(work) == 0


def test_a_mail_root_that_cannot_be_made_is_a_fault_for_all(data: Path) -> None:
    (data / "mail").write_text("in the way")
    outcomes = MaildirStore(TEMPLATE, data=data).put(to_all())
    assert all(isinstance(outcome, EnvironmentFault) for outcome in outcomes)


FULL = """
import sys
from pathlib import Path
from contracts.store import ALICE, BOB, HISTORY, make_item
from archiver.exceptions import EnvironmentFault
from archiver.store import MaildirStore, Put
store = MaildirStore("{data}/mail/{domain}/{local}", data=Path(sys.argv[1]))
big = [make_item(number, "x" * 50_000) for number in range(40)]
outcomes = store.put([Put(mailbox, HISTORY, item) for item in big for mailbox in (ALICE, BOB)])
filed = [item for item, outcome in zip(big, outcomes[::2]) if outcome is None]
failed = [outcome for outcome in outcomes if outcome is not None]
assert 0 < len(filed) < 40, len(filed)
assert all(isinstance(each, EnvironmentFault) and "No space" in str(each) and each.hint for each in failed), failed
for mailbox in (ALICE, BOB):
    assert [found.name for found in store.items(mailbox, HISTORY)] == [item.name for item in filed]
    assert all(store.read(mailbox, HISTORY, item.name) == item.content for item in filed)
assert not [path for path in store.root.rglob("tmp/*")]
removed = [item for item in filed if store.remove(ALICE, HISTORY, item.name) and store.remove(BOB, HISTORY, item.name)]
assert removed == filed
late = [item for item in big if item not in filed][: len(filed)]
assert store.put([Put(ALICE, HISTORY, item) for item in late], careful=True) == [None] * len(late)
"""


def test_a_full_disk() -> None:
    on_a_small_disk(FULL, "mount -t tmpfs -o size=1m tmpfs .")


TWO_SYSTEMS = """
import sys
from pathlib import Path
from contracts.store import ALICE, BOB, HISTORY, make_item
from archiver.store import MaildirStore, Put
store = MaildirStore("{data}/mail/{domain}/{local}", data=Path(sys.argv[1]))
puts = [Put(mailbox, HISTORY, make_item(number)) for number in range(20) for mailbox in (ALICE, BOB)]
assert store.put(puts) == [None] * 40
assert all(store.read(put.mailbox, put.folder, put.item.name) == put.item.content for put in puts)
assert {path.stat().st_nlink for path in store.root.rglob("cur/*")} == {1}
assert len({path.stat().st_dev for path in store.root.rglob("cur/*")}) == 2
"""


def test_mailboxes_on_two_file_systems() -> None:
    on_a_small_disk(TWO_SYSTEMS, "mkdir -p mail/example.org/bob; mount -t tmpfs tmpfs mail/example.org/bob")


def test_a_read_only_disk() -> None:
    script = """
import sys
from pathlib import Path
from contracts.store import ALICE, HISTORY, make_item
from archiver.store import MaildirStore, Put
store = MaildirStore("{data}/mail/{domain}/{local}", data=Path(sys.argv[1]) / "d")
for _ in range(2):
    outcome, = store.put([Put(ALICE, HISTORY, make_item(1))])
    assert "Read-only" in str(outcome) and outcome.hint, outcome
assert store.mailboxes() == []
"""
    on_a_small_disk(script, "mkdir d; mount -t tmpfs tmpfs d; mkdir d/mail; mount -o remount,bind,ro d; cd /")


def test_a_file_size_limit(store: MaildirStore) -> None:
    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        outcomes = store.put([Put(ALICE, HISTORY, make_item(1, "x" * 5000)), Put(ALICE, HISTORY, make_item(2))])
        assert isinstance(outcomes[0], EnvironmentFault) and "File too large" in str(outcomes[0])
        assert outcomes[1] is None

    assert in_child(work) == 0
    assert [found.name for found in store.items(ALICE, HISTORY)] == [make_item(2).name]


@pytest.mark.parametrize("nameless", [True, False])
def test_few_descriptors_are_enough(store: MaildirStore, nameless: bool) -> None:
    def work() -> None:
        if not nameless:
            draft._NAMELESS = os.O_WRONLY
        os.closerange(3, 4096)  # what other tests of this process hold open is not the store's
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        puts = [Put(f"user{number}@example.org", HISTORY, make_item(number)) for number in range(300)]
        assert store.put(puts) == [None] * 300

    assert in_child(work) == 0
    assert len(store.mailboxes()) == 300


def test_no_descriptor_is_left_open(store: MaildirStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(to_all(1))
    (box(store, BOB) / "tmp").rmdir()
    (box(store, BOB) / FOLDER / "new").rmdir()
    (box(store, BOB) / FOLDER / "new").write_text("in the way")
    before = len(os.listdir("/proc/self/fd"))
    for nameless in (draft._NAMELESS, os.O_WRONLY):
        monkeypatch.setattr(draft, "_NAMELESS", nameless)
        store.put([*to_all(2), Put(BOB, HISTORY, make_item(3), ""), Put("x", "y", make_item(4))], careful=True)
        store.locate(BOB, HISTORY, make_item(7).name)
        list(store.items(ALICE, HISTORY))
        store.sweep()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("people", [1, 40])
@pytest.mark.parametrize("grouped", [True, False])
def test_nothing_is_visible_before_it_is_durable(
    store: MaildirStore, monkeypatch: pytest.MonkeyPatch, people: int, grouped: bool
) -> None:
    """Contents, sync, links, sync; every directory made before the last one."""
    happened: list[str] = []
    note = noting(happened)
    monkeypatch.setattr(syncing, "GROUPED", grouped)
    monkeypatch.setattr(tree, "GROUPED", grouped)
    monkeypatch.setattr(draft, "_write", note("write", draft._write))
    monkeypatch.setattr(Draft, "link", note("link", Draft.link))
    monkeypatch.setattr(os, "mkdir", note("mkdir", os.mkdir))
    monkeypatch.setattr(os, "fsync", note("sync", os.fsync))
    monkeypatch.setattr(syncing, "sync_file_system", note("sync", syncing.sync_file_system))
    puts = [Put(f"user{number}@example.org", HISTORY, make_item(number)) for number in range(people)]
    assert store.put(puts) == [None] * people
    steps = [name for index, name in enumerate(happened) if name != happened[index - 1] or index == 0]
    first_link = steps.index("link")
    assert steps[-3:] == ["sync", "link", "sync"] and "write" in steps[:first_link]
    assert "write" not in steps[first_link:] and "mkdir" not in steps[first_link:]
    if grouped and people > 8:
        assert happened.count("sync") <= 3  # contents, directories; and the mail root, made on the way


@pytest.mark.parametrize("after", ["contents", "links"])
def test_what_cannot_be_synced_is_not_filed(store: MaildirStore, monkeypatch: pytest.MonkeyPatch, after: str) -> None:
    store.put(to_all(1))
    sync, calls = batch.make_durable, []

    def failing(*arguments: object, **options: object) -> None:
        calls.append(1)
        if len(calls) == (1 if after == "contents" else 2):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(batch, "make_durable", failing)
    assert all(isinstance(outcome, EnvironmentFault) for outcome in store.put(to_all(2)))
    if after == "contents":
        assert len(files(store)) == 3
    assert store.put(to_all(2), careful=True) == [None] * 3
    assert len(files(store)) == 6


@pytest.mark.slow
@pytest.mark.parametrize("nameless", [True, False])
def test_killed_at_every_step_and_run_again(data: Path, nameless: bool) -> None:
    """Whatever is visible is whole; the next run files each item once and leaves nothing in tmp."""
    steps = 0
    while True:
        store = MaildirStore(TEMPLATE, data=data / str(steps))
        puts = [*to_all(1), Put(ALICE, HISTORY, make_item(2), ""), Put(BOB, "交談歷程記錄", make_item(3), "FS")]

        def work(store: MaildirStore = store, puts: list[Put] = puts, steps: int = steps) -> None:
            if not nameless:
                draft._NAMELESS = os.O_WRONLY
            Killer(steps).arm(CALLS)
            store.put(puts)

        status = in_child(work)
        assert os.WIFEXITED(status) or os.WTERMSIG(status) == signal.SIGKILL
        for path in files(store):
            if path.parent.name in {"cur", "new"}:
                number = int(path.name.split(":")[0].split(".")[1], 16)
                assert (path.read_bytes(), path.stat().st_mtime_ns) == (make_item(number).content, CHANGED * 1000)
        store.sweep()
        assert store.put(puts, careful=True) == [None] * 5
        assert len(files(store)) == 5 and not list(store.root.rglob("tmp/*"))
        assert store.remove(ALICE, HISTORY, make_item(2).name)
        if os.WIFEXITED(status):
            break
        steps += 1
    assert steps > 50


def test_directories_of_a_killed_writer_are_given_away_later(data: Path) -> None:
    uid = 8 if os.geteuid() == 0 else os.geteuid()
    store = MaildirStore(TEMPLATE, data=data, ownership=Ownership(uid))
    assert store.put(to_all(1)) == [None] * 3
    (box(store, ALICE) / ".New").mkdir()
    (store.root / "example.net").mkdir()
    (store.root / "example.com").mkdir(mode=0o755)
    (store.root / "example.com" / "notes").write_text("an administrator's own")
    store.put([Put(ALICE, "New", make_item(2)), Put("dan@example.net", HISTORY, make_item(2))])
    store.put([Put("dan@example.com", HISTORY, make_item(2))])
    assert (box(store, ALICE) / ".New").stat().st_uid == uid
    assert (store.root / "example.net").stat().st_uid == uid
    assert (store.root / "example.com").stat().st_uid == os.geteuid()


@pytest.mark.usefixtures("named")
def test_sweep_spares_what_a_living_writer_holds_and_what_is_not_ours(store: MaildirStore) -> None:
    store.put([Put(ALICE, HISTORY, make_item(1))])
    cur, tmp = box(store, ALICE) / FOLDER / "cur", box(store, ALICE) / FOLDER / "tmp"
    (tmp / "1700000000.M1.host").touch()
    (tmp / f"archiver.{'0' * 32}.part").touch()
    with tree.opened(cur) as directory:
        living = Draft(directory, make_item(2), Ownership())
        assert store.sweep() == 1
        assert len(os.listdir(tmp)) == 2
        living.close()
    assert os.listdir(tmp) == ["1700000000.M1.host"]


def test_a_folder_of_many_items(store: MaildirStore) -> None:
    store.put([Put(ALICE, HISTORY, make_item(1))])
    cur = box(store, ALICE) / FOLDER / "cur"
    for number in range(2, 5001):
        os.link(cur / f"{make_item(1).name}:2,S", cur / f"{make_item(number).name}:2,FS")
    found = list(store.items(ALICE, HISTORY))
    assert [each.name for each in found] == [make_item(number).name for number in range(1, 5001)]
    assert store.locate(ALICE, HISTORY, make_item(4999).name) == found[4998]


def test_a_rename_that_outruns_the_search_is_followed(store: MaildirStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner flags the item while its folder is being listed, again and again."""
    from archiver.store.search import Search

    name = make_item(1).name
    store.put([Put(ALICE, HISTORY, make_item(1), "FS")])
    cur = box(store, ALICE) / FOLDER / "cur"
    states, listing = iter(["RS", "PS"]), Search._list

    def renaming(self: Search, place: tree.Place) -> object:
        listed = listing(self, place)
        flags = next(states, None)
        if flags:
            next(cur.iterdir()).rename(cur / f"{name}:2,{flags}")
            os.utime(cur, ns=(1, ord(flags[0])))  # as a clock of finer ticks would show it
        return listed

    monkeypatch.setattr(Search, "_list", renaming)
    found = store.locate(ALICE, HISTORY, name)
    assert found and found.flags == "PS"
