"""`archiver inspect --verify` on Conversation History: each kind of damage on a real store found, named and mended."""

from __future__ import annotations

import gzip
import json
import os
import re
import tracemalloc
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, rmtree

import pytest
from builders import HOUR, say
from click.testing import CliRunner, Result

from archiver.cli import main, verify
from archiver.events import Captured, ndjson
from archiver.filing.reproducing import Proof, prove
from archiver.inspection import Ledger
from archiver.rendering import lines_of
from archiver.spool import Spool
from archiver.store.survey import Lying
from archiver.types import Delivery, DeliveryState

ALICE, BOB = "alice@example.org", "bob@example.org"
HISTORY = ".Conversation History"
OLD = 1_000_000_000


def talk(room: str, begin: float, *texts: str) -> list[Captured]:
    people = [ALICE, BOB]
    return [
        say(people[n % 2], text, begin + n, id=f"{room}-{begin}-{n}", room=room, present=people)
        for n, text in enumerate(texts)
    ]


class Scene:
    """A data directory with three items for each of two people, all of them sound."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.backfill(
            [*talk("one", 0, "hello", "hi"), *talk("two", HOUR, "what?", "that"), *talk("three", 9, "a", "b")]
        )
        self.items = sorted(self.cur.iterdir())

    def backfill(self, events: list[Captured]) -> None:
        path = self.data.parent / f"events-{len(list(self.data.parent.glob('events-*')))}.ndjson"
        path.write_bytes(ndjson(events))
        self.run("backfill", "events", str(path))

    def run(self, *arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(main, ["--data", str(self.data), *arguments])
        assert result.exit_code == status, f"{result.exit_code}\n{result.output}\n{result.exception!r}"
        return result

    def told(self, *arguments: str, status: int) -> list[dict[str, str]]:
        return json.loads(self.run("--json", "inspect", "--verify", *arguments, status=status).stdout)  # type: ignore[no-any-return]

    @property
    def mailbox(self) -> Path:
        return self.data / "mail/example.org/alice"

    @property
    def folder(self) -> Path:
        return self.mailbox / HISTORY

    @property
    def cur(self) -> Path:
        return self.folder / "cur"

    def alone(self, number: int = 0) -> Path:
        """An item with a file of its own: changing it changes nobody else's."""
        path = self.items[number]
        content, status = path.read_bytes(), path.stat()
        path.unlink()
        path.write_bytes(content)
        path.chmod(0o600)
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
        return path

    def rewrite(self, change: Callable[[bytes], bytes], number: int = 0) -> None:
        path = self.alone(number)
        when = path.stat().st_mtime_ns
        path.write_bytes(change(path.read_bytes()))
        os.utime(path, ns=(when, when))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("made") / "data")


@pytest.fixture
def scene(made: Scene, tmp_path: Path) -> Scene:
    copied = object.__new__(Scene)
    copied.data = tmp_path / "data"
    copytree(made.data, copied.data)
    copied.items = sorted(copied.cur.iterdir())
    return copied


def name(path: Path) -> str:
    return path.name.partition(":")[0]


def repacked(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Changes the events an item carries, and keeps it as long at least."""

    def changed(content: bytes) -> bytes:
        lines = b"".join(line + b"\n" for line in lines_of(content))
        (old,) = re.findall(rb'conversation.ndjson.gz"\n\n([A-Za-z0-9+/=\n]+)\n--', content)
        return content.replace(old, b64encode(gzip.compress(change(lines), mtime=0)) + b"\n") + b" " * 999

    return changed


def swap(scene: Scene) -> None:
    one, two = scene.alone(0), scene.alone(1)
    first, second = one.stat().st_mtime_ns, two.stat().st_mtime_ns
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    os.utime(one, ns=(first, first))
    os.utime(two, ns=(second, second))


def folder(scene: Scene, directory: str, *parts: str) -> None:
    for part in ("", *parts):
        (scene.mailbox / directory / part).mkdir(mode=0o700, exist_ok=True)


def aside(scene: Scene, where: str, file: str = "") -> Path:
    if where.startswith(".") and where != HISTORY:
        folder(scene, where.split("/")[0], "cur", "new", "tmp")
    return scene.mailbox / where / (file or scene.items[0].name)


def move(scene: Scene, where: str, file: str = "") -> None:
    scene.items[0].rename(aside(scene, where, file))


def copy(scene: Scene, where: str, file: str = "", content: bytes | None = None) -> None:
    target = aside(scene, where, file)
    target.write_bytes(scene.items[0].read_bytes() if content is None else content)
    target.chmod(0o600)
    when = scene.items[0].stat().st_mtime_ns
    os.utime(target, ns=(when, when))


def replace(path: Path, made: Callable[[Path], object]) -> None:
    rmtree(path) if path.is_dir() else path.unlink()
    made(path)


def plant(scene: Scene, file: str, where: str = "tmp", *, age: int = OLD) -> None:
    path = scene.folder / where / file
    path.write_bytes(b"From: x\n\nx")
    path.chmod(0o600)
    os.utime(path, (age, age))


def of_another(scene: Scene) -> None:
    people = ["carol@example.org", "dave@example.org"]
    scene.backfill([say(who, "ours", n, id=who, room="theirs", present=people) for n, who in enumerate(people)])
    (theirs,) = (scene.data / "mail/example.org/carol" / HISTORY / "cur").iterdir()
    os.link(theirs, scene.cur / theirs.name)


def outdated(scene: Scene) -> None:
    before = {path: path.read_bytes() for path in scene.items}
    times = {path: path.stat().st_mtime_ns for path in scene.items}
    scene.backfill(talk("one", 20, "more"))
    (gone,) = [path for path in before if not path.exists()]
    gone.write_bytes(before[gone])
    gone.chmod(0o600)
    os.utime(gone, ns=(times[gone], times[gone]))


def unlisted(scene: Scene) -> None:
    """Made by the archiver, of nothing this journal knows."""
    (scene.data.parent / "other").mkdir()
    other = Scene(scene.data.parent / "other" / "data")
    other.backfill(talk("elsewhere", 0, "x", "y"))
    (path,) = [path for path in other.cur.iterdir() if path.name not in {each.name for each in scene.items}]
    os.link(path, scene.cur / path.name)


X = "conversation-archiver"
MENDED, STAYS = True, False

DAMAGES: dict[str, tuple[Callable[[Scene], object], list[str], bool]] = {
    "an item deleted": (lambda s: s.items[0].unlink(), ["item-missing"], MENDED),
    "all items deleted": (lambda s: [path.unlink() for path in s.items], ["item-missing"] * 3, MENDED),
    "a folder removed": (lambda s: rmtree(s.folder), ["item-missing"] * 3, MENDED),
    "a mailbox removed": (lambda s: rmtree(s.mailbox), ["item-missing"] * 3 + ["mailbox-missing"], MENDED),
    "an item emptied": (lambda s: s.rewrite(lambda c: b""), ["item-cut"], STAYS),
    "an item cut short": (lambda s: s.rewrite(lambda c: c[:-200]), ["item-cut"], STAYS),
    "a word of the text": (lambda s: s.rewrite(lambda c: c.replace(b"hello", b"hullo", 1)), ["item-changed"], STAYS),
    "a header": (
        lambda s: s.rewrite(lambda c: c.replace(b"\nFrom: ", b"\nFrom: Mallory ", 1)),
        ["item-changed"],
        STAYS,
    ),
    "something behind": (lambda s: s.rewrite(lambda c: c + b"more\n"), ["item-changed"], STAYS),
    "an event's text": (
        lambda s: s.rewrite(repacked(lambda e: e.replace(b"hello", b"hullo"))),
        ["events-changed"],
        STAYS,
    ),
    "an event taken out": (
        lambda s: s.rewrite(repacked(lambda e: e.partition(b"\n")[2])),
        ["events-changed"],
        STAYS,
    ),
    "events that are none": (
        lambda s: s.rewrite(repacked(lambda e: b"{}\n" + e)),
        ["events-unreadable"],
        STAYS,
    ),
    "events not packed": (lambda s: s.rewrite(lambda c: c.replace(b"H4sI", b"AAAA")), ["events-unreadable"], STAYS),
    "no events": (
        lambda s: s.rewrite(lambda c: c.replace(b"conversation.ndjson.gz", b"conversation.ndjson.xx")),
        ["events-missing"],
        STAYS,
    ),
    "something else instead": (lambda s: s.rewrite(lambda c: b"\xff\x00" * len(c)), ["events-missing"], STAYS),
    "two items swapped": (swap, ["item-swapped"] * 2, STAYS),
    "an item of nobody": (unlisted, ["item-unlisted"], STAYS),
    "an item of another mailbox": (of_another, ["item-of-another-mailbox"], STAYS),
    "an item that was replaced": (outdated, ["item-outdated"], MENDED),
    "in another folder": (lambda s: move(s, ".Else/cur"), ["item-in-wrong-folder"], STAYS),
    "in INBOX": (lambda s: move(s, "cur"), ["item-in-wrong-folder"], STAYS),
    "also in another folder": (lambda s: copy(s, ".Else/cur"), ["item-doubled"], MENDED),
    "in new and cur": (lambda s: copy(s, f"{HISTORY}/new", name(s.items[0])), ["item-doubled"], MENDED),
    "twice under other flags": (
        lambda s: copy(s, f"{HISTORY}/cur", f"{name(s.items[0])}:2,"),
        ["item-doubled"],
        MENDED,
    ),
    "twice, one changed": (
        lambda s: copy(s, f"{HISTORY}/new", name(s.items[0]), s.items[0].read_bytes() + b"x"),
        ["item-changed", "item-doubled"],
        STAYS,
    ),
    "left in tmp": (lambda s: move(s, f"{HISTORY}/tmp"), ["item-misplaced"], MENDED),
    "left in the folder itself": (lambda s: move(s, HISTORY), ["item-misplaced"], MENDED),
    "a colon lost": (lambda s: move(s, f"{HISTORY}/cur", f"{name(s.items[0])};2,S"), ["item-misnamed"], MENDED),
    "flags lost": (lambda s: move(s, f"{HISTORY}/cur", name(s.items[0])), ["item-misnamed"], MENDED),
    "experimental flags": (lambda s: move(s, f"{HISTORY}/cur", f"{name(s.items[0])}:1,x"), ["item-misnamed"], MENDED),
    "another date": (lambda s: os.utime(s.alone(), (OLD, OLD)), ["item-misdated"], MENDED),
    "a link for an item": (
        lambda s: replace(s.items[0], lambda p: p.symlink_to(s.items[1])),
        ["item-not-a-file"],
        STAYS,
    ),
    "a directory for an item": (lambda s: replace(s.items[0], Path.mkdir), ["item-not-a-file"], STAYS),
    "a FIFO for an item": (lambda s: replace(s.items[0], os.mkfifo), ["item-not-a-file"], STAYS),
    "no tmp": (lambda s: (s.folder / "tmp").rmdir(), ["folder-half-made"], MENDED),
    "no new": (lambda s: (s.folder / "new").rmdir(), ["folder-half-made"], MENDED),
    "no mark": (lambda s: (s.folder / "maildirfolder").unlink(), ["folder-half-made"], MENDED),
    "no new in INBOX": (lambda s: (s.mailbox / "new").rmdir(), ["folder-half-made"], MENDED),
    "only cur in another folder": (lambda s: folder(s, ".Else", "cur"), ["folder-half-made"], MENDED),
    "a file for new": (lambda s: replace(s.folder / "new", lambda p: p.write_bytes(b"")), ["folder-blocked"], STAYS),
    "a link for tmp": (lambda s: replace(s.folder / "tmp", lambda p: p.symlink_to("/")), ["folder-blocked"], STAYS),
    "a folder in raw bytes": (lambda s: folder(s, ".Gespräche", "cur", "new", "tmp"), ["folder-without-name"], STAYS),
    "a killed writer's draft": (lambda s: plant(s, f"archiver.{'0' * 32}.part"), ["tmp-leftover"], MENDED),
    "somebody's old draft": (lambda s: plant(s, "1.2.host"), ["tmp-stuck"], STAYS),
    "an item for all to read": (lambda s: s.alone().chmod(0o644), ["mode-wrong"], MENDED),
    "an item for nobody": (lambda s: s.alone().chmod(0o000), ["mode-wrong"], MENDED),
    "a folder for all to read": (lambda s: s.folder.chmod(0o755), ["mode-wrong"], MENDED),
    "a directory for all to write": (lambda s: s.cur.chmod(0o777), ["mode-wrong"], MENDED),
    "a mailbox for all to read": (lambda s: s.mailbox.chmod(0o755), ["mode-wrong"], MENDED),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_named_and_where_possible_mended(scene: Scene, damage: str) -> None:
    make, codes, is_mended = DAMAGES[damage]
    before = {name(path): path.read_bytes() for path in scene.items}
    make(scene)
    found = scene.told(ALICE, status=1)
    assert sorted(each["code"] for each in found) == codes
    assert all(each["kind"] == "problem" and each["mailbox"] == ALICE for each in found)
    assert all(each["place"] and each["found"] and each["advice"] and not each["mended"] for each in found)
    if damage == "an item of another mailbox":
        assert found[0]["found"] == "it was filed for carol@example.org"
    assert scene.told(ALICE, status=1) == found, "looking changes nothing"
    assert scene.told(BOB, status=0) == []
    mended = scene.told(ALICE, "--repair", status=1)
    assert sorted(each["code"] for each in mended) == codes
    if not is_mended:
        assert scene.told(ALICE, status=1) == found and mended == found
        return
    assert all(each["mended"] for each in mended)
    assert scene.told(ALICE, status=0) == []
    if damage != "an item that was replaced":
        lying = {name(path): path.read_bytes() for path in [*scene.cur.iterdir(), *(scene.folder / "new").iterdir()]}
        assert lying == before


def test_there_are_many_kinds() -> None:
    assert len(DAMAGES) >= 25
    assert len({code for _, codes, _ in DAMAGES.values() for code in codes}) >= 20


# What isn't damage, and what can't be mended


def kinds(told: list[dict[str, str]]) -> set[tuple[str, str]]:
    return {(each["kind"], each["code"]) for each in told}


@pytest.mark.slow
def test_all_that_the_samples_come_to_is_as_filed(tmp_path: Path, fixtures: Path) -> None:
    scene = object.__new__(Scene)
    scene.data = tmp_path / "data"
    samples = [path for path in sorted((fixtures / "events").glob("*.ndjson")) if "bad" not in path.stem]
    for path in samples:
        scene.run("backfill", "events", str(path))
    scene.run("backfill", "bigbluebutton", str(fixtures / "copyleft/bbb/events-2.5-polls.xml"))
    assert len(list((scene.data / "mail").glob(f"*/*/{HISTORY}/cur/*"))) > 12
    assert [each for each in scene.told(status=0) if each["kind"] == "problem"] == []
    for mailbox in sorted((scene.data / "mail").glob("*/*")):
        assert scene.told("--maildir", str(mailbox), status=0) == []


def test_an_item_of_another_renderer_says_which_made_it(scene: Scene) -> None:
    older = (b" babel/", b" babel/0."), (b"hello", b"hallo!")
    scene.rewrite(lambda content: content.replace(*older[0], 1).replace(*older[1], 1))
    (told,) = scene.told(ALICE, status=0)
    assert (told["kind"], told["code"]) == ("information", "other-renderer") and "babel/0." in told["found"]
    scene.rewrite(repacked(lambda events: events.replace(b"hello", b"hullo")))
    assert ("problem", "events-changed") in kinds(scene.told(ALICE, status=1)), "its key still binds its events"


def test_an_item_whose_events_are_forgotten_is_not_filed_again(scene: Scene) -> None:
    scene.items[0].unlink()
    with Spool.open(scene.data) as spool:
        spool._connections.db.execute("DELETE FROM event")
    (problem,) = scene.told(ALICE, "--repair", status=1)
    assert problem["code"] == "item-missing" and not problem["mended"] and "backup" in problem["advice"]


def test_while_a_daemon_runs_it_is_the_one_that_files_again(scene: Scene) -> None:
    scene.items[0].unlink()
    with Spool.open(scene.data) as spool, spool.hold("daemon", "archiver run"):
        said = scene.run("inspect", "--verify", "--repair", ALICE, status=1).stdout
        assert "mended: it is to be filed anew" in said and "The daemon files 1 missing item at its next run." in said
        assert not scene.items[0].exists()
    scene.run("run", "--once")
    assert scene.items[0].exists() and scene.told(ALICE, status=0) == []


def test_what_is_said_to_people_is_one_line_a_problem(scene: Scene) -> None:
    scene.items[0].unlink()
    (scene.folder / "tmp" / "\x1b[2J\nx").write_bytes(b"")
    os.utime(scene.folder / "tmp" / "\x1b[2J\nx", (OLD, OLD))
    said = scene.run("inspect", "--verify", ALICE, status=1).stdout
    assert "\x1b" not in said and len(said.splitlines()) == 5
    assert said.endswith("1 mailbox and 0 archives checked, 2 problems found.\n")
    assert "\x1b" not in scene.run("--json", "inspect", "--verify", ALICE, status=1).stdout


def test_mail_of_others_is_theirs(scene: Scene) -> None:
    for number, content in enumerate((b"", b"\xff\x00", b"From: a@b\n\nhello", b"Message-ID: <[\n\nx")):
        plant(scene, f"{number}.host:2,S", "cur")
        (scene.cur / f"{number}.host:2,S").write_bytes(content)
    (scene.cur / "9.host:2,").symlink_to("/nowhere")
    assert scene.told(ALICE, status=0) == []


def test_an_earlier_version_that_its_owner_kept_stays(scene: Scene) -> None:
    outdated(scene)
    (scene.folder / "dovecot-uidlist").write_bytes(b"3 V1 N9\n")
    files = sorted(scene.cur.iterdir())
    assert kinds(scene.told(ALICE, "--repair", status=0)) == {("information", "copied")}
    assert sorted(scene.cur.iterdir()) == files


def test_what_a_mail_server_s_user_took_away_is_told_as_theirs(scene: Scene) -> None:
    (scene.folder / "dovecot-uidlist").write_bytes(b"3 V1 N9\n")
    scene.items[0].unlink()
    scene.items[1].rename(scene.cur / f"{name(scene.items[1])}:2,FST")
    told = kinds(scene.told(ALICE, "--repair", status=0))
    assert told == {("information", "deleted"), ("information", "flagged")}
    assert not scene.items[0].exists()


def test_a_copy_needs_no_spool_and_leaves_none(scene: Scene, tmp_path: Path) -> None:
    elsewhere = object.__new__(Scene)
    elsewhere.data = tmp_path / "nothing"
    copy = tmp_path / "copy"
    copytree(scene.mailbox, copy)
    assert elsewhere.told("--maildir", str(copy), status=0) == []
    item = sorted((copy / HISTORY / "cur").iterdir())[0]
    item.write_bytes(item.read_bytes().replace(b"hello", b"hullo", 1))
    (copy / HISTORY / "tmp").rmdir()
    (problem, other) = elsewhere.told("--maildir", str(copy), "--repair", status=1)
    assert {problem["code"], other["code"]} == {"folder-half-made", "item-changed"}
    assert (copy / HISTORY / "tmp").is_dir() and not elsewhere.data.exists()


def test_a_store_whose_spool_is_lost_is_checked_as_a_copy(scene: Scene) -> None:
    for path in scene.data.glob("spool.db*"):
        path.unlink()
    assert scene.told(status=0) == []
    scene.rewrite(lambda content: content.replace(b"hello", b"hullo", 1))
    assert kinds(scene.told(ALICE, status=1)) == {("problem", "item-changed")}


def test_what_is_not_its_owners_is_found_and_given_to_them(scene: Scene) -> None:
    """Filed as one user, and the configuration says another: as after a backfill by root beside a daemon that isn't."""
    config = scene.data.parent / "archiver.toml"
    config.write_text('[store]\nowner = "65534"\ngroup = "65533"\n')
    command = ["--config", str(config), "--json", "inspect", "--verify", ALICE]

    def told(*more: str, status: int) -> list[dict[str, str]]:
        return json.loads(scene.run(*command, *more, status=status).stdout)  # type: ignore[no-any-return]

    def wrong(found: list[dict[str, str]]) -> list[str]:
        return [each["place"] for each in found if each["code"] == "owner-wrong"]

    found = told(status=1)
    directories = 2 * 4  # of INBOX and Conversation History, each with three in it
    assert len(wrong(found)) == len(found) == directories + len(scene.items)
    assert str(os.getuid()) in found[0]["found"] and "65534" in found[0]["found"]
    mended = told("--repair", status=1)
    assert wrong(mended) == wrong(found)
    if os.geteuid() == 0:
        assert all(each["mended"] for each in mended) and told(status=0) == []
        assert scene.items[0].stat().st_uid == 65534
    else:
        assert not any(each["mended"] for each in mended) and wrong(told(status=1)) == wrong(found)


@pytest.mark.slow
def test_memory_is_the_same_for_more_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the renderer needs aside: Python keeps up to 512 patterns of the boundaries of messages it has read."""
    monkeypatch.setattr(verify, "prove", lambda *_: Proof(None, renderer="another"))
    peaks = []
    for count in (100, 100, 400):  # the first loads what there is to load
        scene = object.__new__(Scene)
        scene.data = tmp_path / f"{len(peaks)}" / "data"
        scene.data.parent.mkdir()
        scene.backfill([event for n in range(count) for event in talk("one", n * HOUR, "hello", "hi")])
        tracemalloc.start()
        scene.run("inspect", "--verify")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] + 100_000, peaks


def test_an_item_of_several_mailboxes_is_made_again_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []
    monkeypatch.setattr(verify, "prove", lambda content, *rest: made.append(content) or prove(content, *rest))
    assert scene.told(status=0) == []
    assert len(made) == len(set(made)) == 3


def test_asking_about_an_item_costs_the_same_in_a_larger_mailbox() -> None:
    costs = []
    for count in (50, 500):
        with Ledger() as ledger:
            filed = (Delivery(ALICE, HISTORY, f"{n}.K", 0, DeliveryState.FILED, "", 1, (), n) for n in range(count))
            ledger.expect((each, HISTORY) for each in filed)
            for n in range(count):
                ledger.see(ALICE, Lying(HISTORY, "cur", f"{n}.K:2,S", 1, 0o600, 0), b"")
                ledger.see_copy(ALICE, f"{n}", Lying(HISTORY, "cur", f"copy-{n}", 1, 0o600, 0))
            steps: list[int] = []
            ledger._database.set_progress_handler(lambda steps=steps: steps.append(1), 1)
            assert len(ledger.lying(ALICE, "7.K")) == len(ledger.known(ALICE, "7.K")) == 1
            assert ledger.copies(ALICE, "7") == [HISTORY] and ledger.others(BOB, "7.K") == ALICE
            costs.append(len(steps))
    assert costs[1] <= costs[0] + 10, costs


def test_of_one_mailbox_no_other_s_deliveries_are_read(scene: Scene) -> None:
    with Spool.open(scene.data, readonly=True) as spool:
        everybody = list(spool.deliveries())
        assert {each.mailbox for each in everybody} == {ALICE, BOB}
        assert list(spool.deliveries(ALICE)) == [each for each in everybody if each.mailbox == ALICE]
        after = everybody[2].number
        assert list(spool.deliveries(BOB, after=after)) == [
            each for each in everybody if each.mailbox == BOB and each.number > after
        ]
        assert list(spool.deliveries("nobody@example.org")) == []
