"""A real Synapse and people with plain HTTP clients: everything they do, once, as it was."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from contracts.source import Spooled
from servers.synapse import SERVER, Person, Synapse, free_port, synapse

from archiver.cli import main
from archiver.events import Captured, Event
from archiver.exceptions import EnvironmentFault
from archiver.importers import IMPORTERS, Document, Options, Reading
from archiver.importers.folder import Folder
from archiver.importers.recognising import document_at
from archiver.sources.listening import Address
from archiver.sources.matrix import history, registration
from archiver.sources.matrix.source import MatrixSource
from archiver.spool.batch import seal

pytestmark = [pytest.mark.server, pytest.mark.slow]

NAMES = count(1)
DOCUMENT = b"a document\n" * 500


class Lab:
    """A Synapse, and a source that hears all of it."""

    def __init__(self, directory: Path, server: Synapse, port: int) -> None:
        self.server = server
        self.spooled = Spooled()
        self.folder = directory / "own"
        self._port = port
        self.file = directory / "as.yaml"
        self.source = self.make()

    def make(self) -> MatrixSource:
        return MatrixSource("t", Address(port=self._port), self.server.url, self.file, self.folder, most=1_000_000)

    def restart(self) -> None:
        self.source.stop()
        self.source = self.make()
        self.source.start(self.spooled)

    def people(self, *names: str) -> list[Person]:
        """Whoever has a name of their own in this test, and in no other."""
        return [self.server.person(f"{name.lower()}{next(NAMES)}", name) for name in names]

    def told(self, room: str) -> list[Event]:
        found = [each.event for each in self.spooled.records if isinstance(each, Captured)]
        return [each for each in found if each.data.conversation.id == room]

    def until(self, room: str, last: str) -> list[Event]:
        """What is told of a room, once the event with this id is."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if any(each.id == last for each in self.told(room)):
                return self.told(room)
            time.sleep(0.02)
        raise AssertionError(f"{last} didn't come: {self.told(room)}")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    directory = tmp_path_factory.mktemp("synapse")
    port = free_port()
    file = directory / "as.yaml"
    registration.save(file, registration.written(registration.make("t", f"http://127.0.0.1:{port}"), SERVER))
    with synapse(directory, free_port(), file) as server:
        made = Lab(directory, server, port)
        made.source.start(made.spooled)
        yield made
        made.source.stop()


def messages(events: list[Event]) -> list[tuple[str, str]]:
    return [
        (each.data.actor.name or "", each.data.message.text or "")
        for each in events
        if each.type == "message.sent" and each.data.actor and each.data.message
    ]


def test_the_whole_of_a_direct_talk(lab: Lab) -> None:
    ann, bob = lab.people("Ann", "Bob")
    room = ann.direct(bob)
    first = ann.says(room, "hi bob")
    bob.joins(room)
    answer = bob.says(room, "hi", **{"m.relates_to": {"m.in_reply_to": {"event_id": first}}})
    ann.edits(room, first, "hello bob")
    reaction = bob.reacts(room, first, "👍")
    bob.redacts(room, reaction)
    oops = bob.says(room, "oops")
    gone = bob.redacts(room, oops, "wrong")
    last = ann.says(room, "in a thread", **{"m.relates_to": {"rel_type": "m.thread", "event_id": first}})
    events = lab.until(room, last)
    assert len({each.id for each in events}) == len(events)
    assert messages(events) == [("Ann", "hi bob"), ("Bob", "hi"), ("Bob", "oops"), ("Ann", "in a thread")]
    by_id = {each.id: each for each in events}
    assert by_id[answer].data.message.in_reply_to == first  # type: ignore[union-attr]
    assert by_id[last].data.message.thread == first  # type: ignore[union-attr]
    assert (by_id[gone].type, by_id[gone].data.reason) == ("message.retracted", "wrong")
    assert Counter(each.type for each in events)["message.reacted"] == 2
    (edited,) = [each for each in events if each.type == "message.edited"]
    assert edited.data.message and (edited.data.message.id, edited.data.message.text) == (first, "hello bob")
    said = [each for each in events if each.type.startswith("message.")]
    assert {each.data.conversation.kind for each in said} == {"im"}
    for each in said:
        assert [who.address for who in each.data.conversation.participants or ()] == sorted([ann.id, bob.id])


def test_who_comes_and_goes_and_how(lab: Lab) -> None:
    ann, bob, cy = lab.people("Ann", "Bob", "Cy")
    room = ann.room(name="Team", topic="work", invite=[bob.id])
    bob.joins(room)
    ann.invites(room, cy)
    cy.joins(room)
    ann.sends_away(room, cy, "bye")
    ann.sends_away(room, cy, "spam", how="ban")
    bob.asks("PUT", f"/profile/{bob.id}/displayname", {"displayname": "Robert"})
    bob.leaves(room, "late")
    ann.state(room, "m.room.name", {"name": "Crew"})
    last = ann.says(room, "alone")
    events = lab.until(room, last)
    called = {ann.id: "Ann", bob.id: "Bob", cy.id: "Cy"}
    moves = [
        (each.type.partition(".")[2], called[(each.data.subject or each.data.actor).address], each.data.reason)  # type: ignore[union-attr]
        for each in events
        if each.type.startswith("participant.")
    ]
    assert moves == [
        ("joined", "Ann", None),
        ("invited", "Bob", None),
        ("joined", "Bob", None),
        ("invited", "Cy", None),
        ("joined", "Cy", None),
        ("left", "Cy", "bye"),
        ("left", "Cy", "banned: spam"),
        ("left", "Bob", "late"),
    ]
    assert events[-1].data.conversation.topic == "Crew"
    assert {each.data.conversation.kind for each in events} == {"group"}


def test_files_are_in_their_messages(lab: Lab) -> None:
    ann, bob = lab.people("Ann", "Bob")
    room = ann.room(name="Files", invite=[bob.id])
    shared = ann.shares(room, DOCUMENT, "notes.txt", "text/plain")
    large = ann.shares(room, b"x" * 1_000_001, "large.bin")
    lab.until(room, large)
    captured = {each.event.id: each for each in lab.spooled.records if isinstance(each, Captured)}
    (file,) = captured[shared].event.data.attachments or ()
    assert (file.name, file.media_type, file.size) == ("notes.txt", "text/plain", len(DOCUMENT))
    assert [digest for digest, _ in captured[shared].attached] == [file.sha256]
    (described,) = captured[large].event.data.attachments or ()
    assert (described.sha256, described.size) == (None, 1_000_001)


def test_an_encrypted_room_is_said_to_be_so(lab: Lab) -> None:
    ann, bob = lab.people("Ann", "Bob")
    room = ann.direct(bob)
    ann.state(room, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    secret = {
        "algorithm": "m.megolm.v1.aes-sha2",
        "ciphertext": "AwgA",
        "session_id": "s",
        "sender_key": "k",
        "device_id": "D",
    }
    last = ann.send(room, secret, "m.room.encrypted")
    assert messages(lab.until(room, last)) == [("Ann", "[encrypted, content not available]")]


def test_an_upgraded_room_goes_on_in_another(lab: Lab) -> None:
    ann, bob = lab.people("Ann", "Bob")
    room = ann.room(room_version="10", preset="trusted_private_chat", is_direct=True, invite=[bob.id], name="Us")
    bob.joins(room)
    ann.says(room, "before")
    new = ann.upgrades(room, "12")
    ann.invites(new, bob)
    bob.joins(new)
    events = lab.until(new, bob.says(new, "after"))
    ended = [each for each in lab.told(room) if each.type == "conversation.ended"]
    assert [each.data.reason for each in ended] == [f"This room has been replaced; continued in {new}"]
    assert events[0].type == "conversation.started" and events[0].data.reason == f"continues {room}"
    assert events[-1].data.conversation.kind == "im", "as it was before"
    assert {each.source for each in (*events, *ended)} == {f"matrix:{SERVER}"}


def test_a_restart_in_the_middle_changes_nothing(lab: Lab) -> None:
    ann, bob = lab.people("Ann", "Bob")
    room = ann.direct(bob)
    bob.joins(room)
    texts = [f"text {number}" for number in range(30)]
    for number, text in enumerate(texts):
        last = (ann, bob)[number % 2].says(room, text)
        if number in (10, 20):
            lab.restart()
    assert [text for _, text in messages(lab.until(room, last))] == texts


def test_a_live_capture_and_a_history_read_later_agree(lab: Lab, tmp_path: Path) -> None:
    ann, bob = lab.people("Ann", "Bob")
    room = ann.room(name="Both", invite=[bob.id])
    bob.joins(room)
    first = ann.says(room, "one")
    bob.reacts(room, first, "+")
    ann.edits(room, first, "two")
    last = bob.says(room, "end")
    live = lab.until(room, last)
    page = ann.asks("GET", f"/rooms/{room}/messages?dir=b&limit=100")
    path = tmp_path / "page.json"
    path.write_bytes(msgspec.json.encode(page))
    found = IMPORTERS["matrix"].read(document_at(path), Options(), Reading(time.time_ns() // 1000))
    read = {each.event.id: each.event for each in found if isinstance(each, Captured)}
    assert read.keys() == {each.id for each in live}
    for each in live:
        other = read[each.id]
        assert (each.source, each.type, each.time) == (other.source, other.type, other.time)
        assert each.data.message == other.data.message
        assert each.data.actor and other.data.actor and each.data.actor.address == other.data.actor.address


def configured(lab: Lab, tmp_path: Path) -> list[str]:
    """The command's first arguments, for a data directory of its own."""
    path = tmp_path / "archiver.toml"
    table = {"type": "matrix", "name": "t", "homeserver": lab.server.url, "registration": str(lab.file)}
    path.write_text("[[source]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items()))
    return ["--config", str(path), "--data", str(tmp_path / "data")]


def saved(folder: Path) -> dict[str, list[Captured]]:
    """What a backfill would take of a saved history, by event id."""
    found: dict[str, list[Captured]] = {}
    for path in sorted(folder.glob("*.ndjson")):
        document = Document(Folder(folder), path.name)
        for each in IMPORTERS["matrix"].read(document, Options(), Reading(time.time_ns() // 1000)):
            assert isinstance(each, Captured), each
            found.setdefault(each.event.id, []).append(each)
    return found


def test_a_history_is_saved_with_its_files_and_says_what_the_live_capture_said(lab: Lab, tmp_path: Path) -> None:
    ann, bob = lab.people("Ann", "Bob")
    room = ann.room(name="Long", invite=[bob.id])
    bob.joins(room)
    for number in range(120):
        ann.says(room, f"text {number}")
    ann.shares(room, DOCUMENT, "notes.txt", "text/plain")
    reaction = bob.reacts(room, ann.says(room, "well"), "+")
    live = lab.until(room, bob.redacts(room, reaction))
    folder = tmp_path / "history"
    call = [*configured(lab, tmp_path), "matrix", "history", "t", str(folder), "--user", ann.id, "--room", room]
    first = CliRunner().invoke(main, [*call, "--rate", "1000"])
    assert first.exit_code == 0 and "1 room" in first.output and "1 new file" in first.output, first.output
    read = saved(folder)
    # Of a reaction that was taken back the homeserver has nothing any more.
    assert {each.id for each in live} - read.keys() <= {live[-1].id, reaction}
    live_pieces = {e.event.id: e for e in lab.spooled.records if isinstance(e, Captured)}
    for each in live:
        for other in read.get(each.id, ()):
            if each.type != "message.reacted":
                assert seal(other).digest == seal(live_pieces[each.id]).digest, each.type
    # Later there is one thing more, and only that is fetched.
    last = ann.says(room, "later")
    again = CliRunner().invoke(main, ["--json", *call])
    assert json.loads(again.output)["events"] == 1
    assert CliRunner().invoke(main, ["--json", *call]).output.count('"events": 0') == 1
    assert saved(folder).keys() - read.keys() == {last}


def test_a_history_that_was_broken_off_goes_on(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (ann,) = lab.people("Ann")
    room = ann.room(name="Broken")
    for number in range(30):
        last = ann.says(room, f"text {number}")
    ids = {each.id for each in lab.until(room, last)}
    folder = tmp_path / "history"
    monkeypatch.setattr(history, "PAGE", 10)
    call = [*configured(lab, tmp_path), "matrix", "history", "t", str(folder), "--room", room, "--user", ann.id]
    monkeypatch.setattr(history, "append", dying := Dying(history.append))
    while dying.count:
        dying.left = 1
        CliRunner().invoke(main, [*call, "--rate", "1000"])
    found = saved(folder)
    assert found.keys() == ids
    assert all(len(each) == 1 for each in found.values())
    assert len(list(folder.glob("*.ndjson"))) == 1


class Dying:
    """`append` that ends after one page, in the middle of the next; as long as it was needed."""

    def __init__(self, append: Any) -> None:
        self._append = append
        self.left = 1
        self.count = 1

    def __call__(self, path: Path, saved: history.Saved) -> None:
        if not self.left:
            with path.open("ab") as stream:
                stream.write(b'{"room_id": "')
            raise KeyboardInterrupt
        self.left -= 1
        self._append(path, saved)
        self.count = not saved.whole


def test_an_administrator_finds_all_rooms(lab: Lab, tmp_path: Path) -> None:
    ann, bob = lab.people("Ann", "Bob")
    rooms = {ann.room(name="One"), bob.room(name="Two")}
    root = lab.server.person(f"root{next(NAMES)}", rank="admin")
    token = tmp_path / "token"
    token.write_text(root.token)
    folder = tmp_path / "all"
    call = ["matrix", "history", "t", str(folder), "--admin-token", str(token), "--rate", "1000"]
    done = CliRunner().invoke(main, [*configured(lab, tmp_path), *call])
    assert {each.data.conversation.id for found in saved(folder).values() for each in [found[0].event]} >= rooms
    assert done.exit_code in (0, 1), "1 where a room of another test has nobody left to be asked for"


def test_doctor_tries_both_ways(lab: Lab, tmp_path: Path) -> None:
    lab.source.probe()
    stranger = tmp_path / "as.yaml"
    registration.save(stranger, registration.written(registration.make("t", lab.server.url), SERVER))
    other = MatrixSource("x", Address(), lab.server.url, stranger, tmp_path / "own", most=1)
    with pytest.raises(EnvironmentFault, match="doesn't know this registration"):
        other.probe()
    # As where somebody else listens at the registration's place: the homeserver reaches them, and they say no.
    lab.source.stop()
    alone = lab.make()
    alone.probe()
    impostor = MatrixSource("y", lab.source.address, lab.server.url, stranger, tmp_path / "own", most=1)
    impostor.start(lab.spooled)
    with pytest.raises(EnvironmentFault):
        lab.source.probe()
    impostor.stop()
    lab.source = lab.make()
    lab.source.start(lab.spooled)


def test_a_room_from_before_the_service_is_met_with_who_is_in_it(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "as.yaml"
    registration.save(file, registration.written(registration.make("t", f"http://127.0.0.1:{port}"), SERVER))
    # A homeserver's first service gets everything there ever was, so there is another before.
    other = tmp_path / "other.yaml"
    other.write_text(registration.written(registration.make("o", ""), SERVER).replace("url: ''", "url: null"))
    server = Synapse(tmp_path, free_port())
    try:
        server.start(other)
        ann, bob, cy = (server.person(name.lower(), name) for name in ("Ann", "Bob", "Cy"))
        old = ann.room(name="Old", topic="t", invite=[bob.id, cy.id])
        bob.joins(old)
        pair = ann.direct(bob)
        bob.joins(pair)
        ann.says(old, "before the service")
        server.has_told()
        server.stop()
        server.start(other, file)
        lab = Lab(tmp_path, server, port)
        lab.source.start(lab.spooled)
        try:
            events = lab.until(old, ann.says(old, "now"))
            one = lab.until(pair, bob.says(pair, "us two"))
        finally:
            lab.source.stop()
    finally:
        server.stop()
    here = {each.data.actor.name for each in events if each.type == "participant.joined" and each.data.actor}
    assert here == {"Ann", "Bob"}
    assert [each.type for each in events].count("participant.invited") == 1
    assert messages(events) == [("Ann", "now")]
    assert events[-1].data.conversation.topic == "Old"
    assert one[-1].data.conversation.kind == "im"


def test_a_history_of_a_room_that_goes_back_only_so_far_tells_who_was_there(lab: Lab, tmp_path: Path) -> None:
    ann, bob = lab.people("Ann", "Bob")
    room = ann.room(name="Past", invite=[bob.id])
    bob.joins(room)
    ann.says(room, "old")
    folder = tmp_path / "history"
    call = [*configured(lab, tmp_path), "matrix", "history", "t", str(folder), "--room", room, "--user", bob.id]
    day = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    CliRunner().invoke(main, [*call, "--since", day])
    assert not list(folder.glob("*")), "nothing is that new"
    CliRunner().invoke(main, call)
    last = ann.says(room, "new")
    CliRunner().invoke(main, call)
    (second,) = folder.glob("*.2.ndjson")
    reading = Reading(time.time_ns() // 1000)
    found = list(IMPORTERS["matrix"].read(document_at(second), Options(), reading))
    events = [each.event for each in found if isinstance(each, Captured)]
    assert {each.data.actor.address for each in events if each.type == "participant.joined" and each.data.actor} == {
        ann.id,
        bob.id,
    }
    assert [each.data.conversation.topic for each in events if each.id == last] == ["Past"]


def test_a_history_has_the_names_that_changed_while_who_is_asked_was_away(lab: Lab, tmp_path: Path) -> None:
    ann, bob = lab.people("Ann", "Bob")
    hidden = {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}}
    room = ann.room(preset="public_chat", name="Names", initial_state=[hidden])
    bob.joins(room)
    ann.says(room, "as Ann")
    bob.leaves(room)
    for name in ("Anna", "Annie"):
        ann.shows(room, name)
    bob.joins(room)
    ann.says(room, "as Annie")
    ann.shows(room, "Annette")
    last = ann.says(room, "as Annette")
    folder = tmp_path / "history"
    call = [*configured(lab, tmp_path), "matrix", "history", "t", str(folder), "--room", room, "--user", bob.id]
    assert CliRunner().invoke(main, call).exit_code == 0
    events = [found[0].event for found in saved(folder).values()]
    said = {("Ann", "as Ann"), ("Annie", "as Annie"), ("Annette", "as Annette")}
    assert set(messages(events)) == said == set(messages(lab.until(room, last)))
