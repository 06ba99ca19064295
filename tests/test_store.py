"""All stores keep the contract; disk and memory do the same whatever is done to them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from contracts.store import ALICE, BOB, CHANGED, HISTORY, FilingContract, StoreContract, World, make_item
from effort import examples
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from archiver.exceptions import EnvironmentFault
from archiver.store import ArchiveStore, MaildirStore, MemoryStore, Outcome, Put, Where
from archiver.store.names import folder_on_disk
from archiver.types import Head


class MemoryWorld(MemoryStore):
    @property
    def store(self) -> MemoryStore:
        return self


class MaildirWorld:
    """A client's renames, as the mail server makes them."""

    def __init__(self, store: MaildirStore) -> None:
        self.store = store

    def reflag(self, mailbox: str, folder: str, name: str, flags: str) -> None:
        file = self._file(mailbox, folder, name)
        file.rename(file.parent.parent / "cur" / f"{name}:2,{''.join(sorted(flags))}")

    def move(self, mailbox: str, folder: str, name: str, target: str, new_name: str) -> None:
        file = self._file(mailbox, folder, name)
        (self._folder(mailbox, target) / "cur").mkdir(parents=True, exist_ok=True)
        info = file.name.partition(":")[2] or "2,"
        file.rename(self._folder(mailbox, target) / "cur" / f"{new_name}:{info}")

    def expunge(self, mailbox: str, folder: str, name: str) -> None:
        self._file(mailbox, folder, name).unlink()

    def _folder(self, mailbox: str, folder: str) -> Path:
        local, domain = mailbox.split("@")
        return self.store.root / domain / local / folder_on_disk(folder)

    def _file(self, mailbox: str, folder: str, name: str) -> Path:
        at = self._folder(mailbox, folder)
        return next(file for file in (*at.glob("new/*"), *at.glob("cur/*")) if file.name.split(":")[0] == name)


class TestMemory(StoreContract):
    @pytest.fixture
    def world(self) -> World:
        return MemoryWorld()

    def test_refuses_as_told(self) -> None:
        full = EnvironmentFault("full")
        store = MemoryStore({ALICE: full})
        assert store.put([Put(ALICE, HISTORY, make_item(1)), Put(BOB, HISTORY, make_item(1))]) == [full, None]


MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where a sync costs nothing: what the contract says holds on any file system."""


class TestMaildir(StoreContract):
    @pytest.fixture
    def world(self) -> Iterator[World]:
        with tempfile.TemporaryDirectory(dir=MEMORY) as data:
            yield MaildirWorld(MaildirStore("{data}/mail/{domain}/{local}", data=Path(data)))


class Archive(ArchiveStore):
    """The archive as a mere store: what it records is noted, as the spool would."""

    def __init__(self, data: Path) -> None:
        super().__init__("{data}/archive/{domain}/{local}", data=data)
        self.noted: dict[str, Head] = {}

    def put(self, puts: Sequence[Put], *, careful: bool = False) -> list[Outcome]:  # type: ignore[override]
        receipt = super().put(puts, CHANGED, careful=careful, known=self.noted)
        self.noted |= receipt.heads
        assert receipt.damages == {}
        return receipt.outcomes


class TestArchive(FilingContract):
    @pytest.fixture
    def world(self) -> Iterator[World]:
        with tempfile.TemporaryDirectory(dir=MEMORY) as data:
            yield MaildirWorld(Archive(Path(data)))


MAILBOXES = st.sampled_from([ALICE, BOB])
FOLDERS = st.sampled_from([HISTORY, "交談歷程記錄"])
NUMBERS = st.integers(0, 5)
FLAGS = st.text("FRSTDPab", max_size=4).map(lambda flags: "".join(sorted(set(flags))))


class Lockstep(RuleBasedStateMachine):
    """The Maildir store against its twin. Puts are careful after the first, as the pipeline's are."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory(dir=MEMORY)
        self.disk = MaildirWorld(MaildirStore("{data}/mail/{domain}/{local}", data=Path(self._directory.name)))
        self.twin = MemoryWorld()
        self.attempted: set[Where] = set()
        self.moves = 0

    def teardown(self) -> None:
        self._directory.cleanup()

    def _both(self, name: str, *arguments: object, **options: object) -> object:
        answer = getattr(self.twin.store, name)(*arguments, **options)
        assert getattr(self.disk.store, name)(*arguments, **options) == answer
        return answer

    @rule(puts=st.lists(st.tuples(MAILBOXES, FOLDERS, NUMBERS, FLAGS), max_size=6))
    def put(self, puts: list[tuple[str, str, int, str]]) -> None:
        wanted = {
            Where(mailbox, folder, make_item(number).name): (number, flags) for mailbox, folder, number, flags in puts
        }
        for careful in (False, True):
            group = [
                Put(where.mailbox, where.folder, make_item(number), flags)
                for where, (number, flags) in wanted.items()
                if (where in self.attempted) == careful
            ]
            self._both("put", group, careful=careful)
        self.attempted |= set(wanted)

    @rule(mailbox=MAILBOXES, folder=FOLDERS, number=NUMBERS)
    def remove(self, mailbox: str, folder: str, number: int) -> None:
        self._both("remove", mailbox, folder, make_item(number).name)

    @rule(mailbox=MAILBOXES, folder=FOLDERS, choice=st.integers(0, 99), flags=FLAGS)
    def reflag(self, mailbox: str, folder: str, choice: int, flags: str) -> None:
        names = [found.name for found in self.twin.store.items(mailbox, folder)]
        if names:
            self.twin.reflag(mailbox, folder, names[choice % len(names)], flags)
            self.disk.reflag(mailbox, folder, names[choice % len(names)], flags)

    @rule(mailbox=MAILBOXES, folder=FOLDERS, destination=FOLDERS, choice=st.integers(0, 99))
    def move(self, mailbox: str, folder: str, destination: str, choice: int) -> None:
        names = [found.name for found in self.twin.store.items(mailbox, folder)]
        if names:
            self.moves += 1
            new_name = f"1700000000.M{self.moves}.host"
            self.twin.move(mailbox, folder, names[choice % len(names)], destination, new_name)
            self.disk.move(mailbox, folder, names[choice % len(names)], destination, new_name)

    @rule(mailbox=MAILBOXES, folder=FOLDERS, choice=st.integers(0, 99))
    def expunge(self, mailbox: str, folder: str, choice: int) -> None:
        names = [found.name for found in self.twin.store.items(mailbox, folder)]
        if names:
            self.twin.expunge(mailbox, folder, names[choice % len(names)])
            self.disk.expunge(mailbox, folder, names[choice % len(names)])

    @invariant()
    def same(self) -> None:
        assert self.disk.store.mailboxes() == self.twin.store.mailboxes()
        wheres = [
            Where(m, f, make_item(n).name) for m in (ALICE, BOB) for f in (HISTORY, "交談歷程記錄") for n in range(6)
        ]
        places = {(where.mailbox, where.folder) for where in wheres}
        for mailbox, folder in places:
            assert _facts(self.disk, mailbox, folder) == _facts(self.twin, mailbox, folder)
        disk, twin = self.disk.store.locate_all(wheres), self.twin.store.locate_all(wheres)
        assert [each and replace(each, is_new=False) for each in disk] == [
            each and replace(each, is_new=False) for each in twin
        ]


def _facts(world: MaildirWorld | MemoryWorld, mailbox: str, folder: str) -> list[tuple[str, str, bytes]]:
    found = world.store.items(mailbox, folder)
    return [(each.name, each.flags, world.store.read(mailbox, folder, each.name)) for each in found]


TestLockstep = Lockstep.TestCase
TestLockstep.settings = settings(max_examples=examples(40), stateful_step_count=15, deadline=None)
