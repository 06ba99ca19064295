"""A crash right after each recorded step: then what it left is reaped, and one run more ends as if undisturbed."""

from __future__ import annotations

import os
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from builders import BASE, DAY, HOUR, edit, event, join, leave, retract, say
from conversation_builder import text_of
from mishaps import in_child

from archiver import config as configuration
from archiver.assembly import archive_of, open_spool, store_of
from archiver.config import Config
from archiver.daemon.job import Job
from archiver.events import SECOND, Captured, capture
from archiver.filing import gathering
from archiver.filing.pipeline import Filer
from archiver.spool import Spool
from archiver.store import ArchiveStore, MaildirStore
from archiver.store.manifest import Manifest
from archiver.store.recording import Recording

ALICE, BOB, CAROL, DAVE = (f"{name}@example.org" for name in ("alice", "bob", "carol", "dave"))
STRANGER = "eve@elsewhere.net"
FOLDER = "Conversation History"
CRASHED = 9
UNDATED = {"maildirfolder", "manifest.ndjson"}
"""They bear the time of their making; a manifest is checked line by line."""
NEW = "15.2.2562.17"
OLD = "Version 14.3 (Build 123.4)"

STEPS: dict[str, tuple[type, str]] = {
    "claim": (Spool, "claim"),
    "begin": (Spool, "begin"),
    "render": (Filer, "_render"),
    "put": (MaildirStore, "put"),
    "archive: items": (Recording, "_file"),
    "archive: line": (Manifest, "append"),
    "archive: put": (ArchiveStore, "put"),
    "archive: head": (Spool, "note_heads"),
    "local archive": (Spool, "keep_local"),
    "blobs held": (Spool, "hold_blobs"),
    "remove_all": (MaildirStore, "remove_all"),
    "finish": (Spool, "finish"),
    "strangers": (Spool, "note_strangers"),
    "finish_places": (Spool, "finish_places"),
}
"""Whose method each is."""


def config(bob: str) -> Config:
    """Alice is archived in her mailbox, what goes on among our own also locally; Bob's store has this version."""
    return configuration.parse(
        {
            "archiving": {"archive": "im+conference", "to_mailbox": True},
            "directory": {"domains": ["example.org"]},
            "policy": {"internal": True},
            "transcript": {"max_attachment": "1KiB"},
            "mailbox": [
                {"address": ALICE, "exchange_archiving": "mailbox"},
                {"address": BOB, "version": bob},
            ],
        }
    )


OWN = [ALICE, BOB, CAROL, DAVE]
WITH_A_STRANGER = {"second", "third"}


def present(room: str) -> list[str]:
    return [*OWN, STRANGER] if room in WITH_A_STRANGER else OWN


def line(n: float, room: str) -> Captured:
    people = present(room)
    return say(people[int(n) % len(people)], f"{room} line {n}", n, id=f"{room}-{n}", room=room, present=people)


def upload(n: float, room: str) -> Captured:
    """A file too large for an item."""
    shared = {"name": f"{n}.bin", "content": b64encode(bytes([int(n)]) * 2000).decode()}
    made = event("file.shared", n, ALICE, room=room, present=present(room), attachments=[shared])
    return capture(made.body, received=made.received)


def lines(*rooms: str, at: Sequence[float]) -> list[Captured]:
    return [*(line(n, room) for room in rooms for n in at), *(upload(at[-1] + 1, room) for room in rooms)]


TURNS: list[tuple[str, list[Captured]]] = [
    (
        OLD,
        [
            *lines("first", "second", "other", at=range(5)),
            join(CAROL, 0, room="left"),
            say("frank@elsewhere.net", "left line 1", 1, id="left-1", room="left"),
            say(ALICE, "left line 2", HOUR, id="left-2", room="left"),
        ],
    ),
    (
        OLD,
        [
            *lines("first", "second", at=[2.5, 8]),
            *lines("third", "fourth", at=range(5)),
            retract(ALICE, "first-0", 20, room="first", present=OWN),
            leave(CAROL, 5, room="left"),
        ],
    ),
    (
        NEW,
        [
            *lines("first", "third", "fourth", at=[40, 41]),
            *lines("fifth", "sixth", at=range(5)),
            edit(BOB, "first-1", "first line 1", 50, room="first", present=OWN),
            join(CAROL, HOUR - 60, room="left"),
        ],
    ),
]
"""What comes in each turn, and Bob's store then: everything goes on, and in the end nothing is withheld any more.

Carol leaves a room too late to be told so before, and then it turns out that she came back.
"""


def file(data: Path, turn: int) -> None:
    """One turn: what comes in it, and all that is due by then."""
    now = (BASE + DAY * (turn + 1)) * SECOND
    bob, events = TURNS[turn]
    with open_spool(config(bob), data) as spool:
        feed = spool.open_feed(f"import:{turn}", "import", now=now).number
        spool.append(events, feed, now=now)
        spool.close_feed(feed, now)
        Job(spool, config(bob), data).file()


def recover(data: Path, turn: int) -> None:
    """As a restart does."""
    bob, _ = TURNS[turn]
    with open_spool(config(bob), data) as spool:
        job = Job(spool, config(bob), data)
        job.clean_up()
        job.file()


def touch(data: Path) -> None:
    """What owners do between two turns: Alice flags an item, Carol deletes one."""
    for mailbox, change in ((ALICE, lambda path: path.rename(f"{path}F")), (CAROL, Path.unlink)):
        local, domain = mailbox.split("@")
        found = sorted((data / "mail" / domain / local / f".{FOLDER}" / "cur").iterdir())
        change(found[0])


def ended_after(step: str, call: int, work: Callable[[], None]) -> int:
    """Do it in a process that ends right after the given call of a step; its exit status."""
    owner, name = STEPS[step]
    whole = getattr(owner, name)
    left = call

    def last(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        answer = whole(*arguments, **options)
        left -= 1
        if left == 0:
            os._exit(CRASHED)
        return answer

    def armed() -> None:
        setattr(owner, name, last)
        work()

    return os.waitstatus_to_exitcode(in_child(armed))


def files_below(root: Path) -> dict[str, tuple[int, bytes]]:
    found = (path for path in root.rglob("*") if path.is_file() and path.name not in UNDATED)
    return {str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def state(data: Path) -> dict[str, object]:
    """All that is filed, and what the spool says of it, without the times when it was done."""
    with open_spool(config(OLD), data) as spool:
        archive = archive_of(config(OLD), data)
        connection = spool._connections.db
        held = Counter(sha256 for (sha256,) in connection.execute("SELECT sha256 FROM blob_holder"))
        return {
            "mail": files_below(data / "mail"),
            "archive": files_below(data / "archive"),
            "damage": [list(archive.verify(mailbox, [head])) for mailbox, head in spool.heads().items()],
            "held": {mailbox: archive.usage(mailbox).held for mailbox in spool.heads()},
            "lines": {mailbox: head.length for mailbox, head in spool.heads().items()},
            "local": sorted((item.name, item.sha256, item.mailboxes) for item in spool.local_items()),
            "counts": sorted((c.mailbox, c.destination, c.state, c.deliveries, c.bytes) for c in spool.mailboxes()),
            "withheld": sorted((kept.mailbox, kept.deliveries, kept.reason) for kept in spool.withheld()),
            "strangers": sorted((each.source, each.address) for each in spool.strangers()),
            "waiting": spool.totals().waiting,
            "blobs": dict(held),
        }


@pytest.fixture(
    scope="module", params=[True, pytest.param(False, marks=pytest.mark.slow)], ids=["all at once", "one by one"]
)
def together(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether what is due is filed as one group, or each conversation in a group of its own."""
    with pytest.MonkeyPatch.context() as patch:
        if not request.param:
            patch.setattr(gathering, "BATCH_ITEMS", 1)
        yield request.param


@pytest.fixture(scope="module")
def undisturbed(together: bool, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """The state after each turn."""
    data, states = tmp_path_factory.mktemp("undisturbed"), []
    for turn in range(len(TURNS)):
        file(data, turn)
        states.append(state(data))
        touch(data)
    return states


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("turn", range(len(TURNS)))
def test_a_crash_after_any_step_changes_nothing(
    turn: int, step: str, together: bool, undisturbed: list[dict[str, object]], tmp_path: Path
) -> None:
    for each in range(len(TURNS)):
        if each == turn:
            assert ended_after(step, 1 if together else 2, lambda: file(tmp_path, turn)) == CRASHED
            recover(tmp_path, turn)
        else:
            file(tmp_path, each)
        found = state(tmp_path)
        for what, expected in undisturbed[each].items():
            assert found[what] == expected, f"{what} after turn {each}"
        assert [path for path in tmp_path.rglob("tmp/*") if path.parent.name == "tmp"] == []
        touch(tmp_path)


def test_undisturbed_every_line_is_filed_once_and_what_was_withheld_too(
    undisturbed: list[dict[str, object]], tmp_path: Path
) -> None:
    """Else all the others compare with nothing."""
    for turn in range(len(TURNS)):
        file(tmp_path, turn)
        assert bool(state(tmp_path)["withheld"]) is (turn < 2)
    assert state(tmp_path)["local"] and state(tmp_path)["archive"] and state(tmp_path)["blobs"]
    store = store_of(config(OLD), tmp_path)
    sent = {captured.event.id for _, events in TURNS for captured in events if captured.event.type == "message.sent"}
    for mailbox in OWN:
        texts = [text_of(store.read(mailbox, FOLDER, each.name)) for each in store.items(mailbox, FOLDER)]
        for identity in sent - {"first-0", "left-1", "left-2"}:
            said = identity.replace("-", " line ")
            assert sum(f": {said}\n" in text for text in texts) == 1, (mailbox, said)
