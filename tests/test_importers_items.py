"""Our own items read back: the events are those they were made of, the files too."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from email import message_from_bytes
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from builders import say
from contracts.importer import RECEIVED, ImporterContract
from conversation_builder import everything, from_file, made_up
from golden import stored
from hypothesis import given, settings
from test_conversation import cut
from test_rebuilding import shown

from archiver.decisions.policy import is_archived
from archiver.events import Captured, Rejected
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.recognising import document_at, recognise
from archiver.types import Conversation, Presence, Roster

EXPECTED = Path(__file__).parent.parent / "fixtures" / "expected"
ITEMS = IMPORTERS["items"]


FOLDER = TemporaryDirectory(prefix="items-")
"""The golden items, called as an export calls them: by that they are known."""


def named(path: Path, number: int) -> Path:
    copy = Path(FOLDER.name) / f"{number}.K{number:032x}.conversation-archiver.eml"
    copy.write_bytes(path.read_bytes())
    return copy


class TestItems(ImporterContract):
    importer = ITEMS
    samples = tuple((named(path, n), Options()) for n, path in enumerate(sorted(EXPECTED.glob("*.eml"))))
    brings_marks = True


@pytest.mark.counted("items")
def test_every_line_of_an_items_attachment_is_there_once() -> None:
    for path, options in TestItems.samples:
        (packed,) = [
            part.get_payload(decode=True)
            for part in message_from_bytes(path.read_bytes()).walk()
            if (part.get_filename() or "").endswith(".ndjson.gz")
        ]
        lines = [json.loads(line) for line in gzip.decompress(packed).splitlines()]  # type: ignore[arg-type]
        ids = [each["id"] for each in lines if each["type"] != "archiver.roster"]
        found = list(ITEMS.read(document_at(path), options, Reading(RECEIVED)))
        assert [each.event.id for each in found if isinstance(each, Captured)] == ids and len(found) == len(ids) > 0


def test_a_header_field_makes_no_item(tmp_path: Path) -> None:
    """Anybody can send somebody a mail that has one, with events of others in it."""
    content = item(from_file("whisper"))
    start = b"From a Tue Mar  5 10:00:00 2024\n"
    (tmp_path / "forged.eml").write_bytes(content)
    (tmp_path / "forged.mbox").write_bytes(start + content)
    (tmp_path / "ours.mbox").write_bytes(start + content)
    (tmp_path / "ours.mbox.manifest.ndjson").write_bytes(b"{}\n")
    found = recognise((tmp_path,)).found
    assert {name: [each.name for each in documents] for name, documents in found.items() if name != "events"} == {
        "mail": ["forged.eml", "forged.mbox"],
        "items": ["ours.mbox"],
    }
    captured = list(ITEMS.read(document_at(tmp_path / "ours.mbox"), Options(), Reading(RECEIVED)))
    assert len(captured) == len(from_file("whisper").events)


def read(path: Path) -> tuple[list[Captured | Rejected], Counter[str]]:
    ignored: Counter[str] = Counter()
    return list(ITEMS.read(document_at(path), Options(), Reading(RECEIVED, ignored))), ignored


def item(conversation: Conversation) -> bytes:
    (made,) = shown(conversation, [everything(conversation)])
    return made.content


@settings(max_examples=50, deadline=None)
@given(made_up())
def test_a_complete_item_gives_its_events_back(
    tmp_path_factory: pytest.TempPathFactory, conversation: Conversation
) -> None:
    wanted = [c.body for c in conversation.events if is_archived(c.event.type)]
    if wanted:
        path = tmp_path_factory.mktemp("items") / "item.eml"
        path.write_bytes(item(conversation))
        assert [each.body for each in read(path)[0] if isinstance(each, Captured)] == wanted


def test_line_ends_of_the_wire_change_nothing(tmp_path: Path) -> None:
    conversation = from_file("whisper")
    (tmp_path / "a.eml").write_bytes(item(conversation).replace(b"\n", b"\r\n"))
    assert [e.body for e in read(tmp_path / "a.eml")[0] if isinstance(e, Captured)] == [
        c.body for c in conversation.events
    ]


def test_files_come_with_the_events_that_shared_them(tmp_path: Path) -> None:
    found, _ = read(EXPECTED / "file_and_inline_image.alice.eml")
    attached = [content for each in found if isinstance(each, Captured) for content in each.attached]
    assert len(attached) == 2
    for digest, content in attached:
        assert content == stored(digest)
        assert hashlib.sha256(content).hexdigest() == digest


def test_a_file_that_is_not_what_it_says_is_left_out(tmp_path: Path) -> None:
    content = (EXPECTED / "file_and_inline_image.alice.eml").read_bytes()
    digest = hashlib.sha256(
        stored("6b7fa434f92a8b80aab02d9bf1a12e49ffcae424e4013a1c4f68b67e3d2bbcd0") or b""
    ).hexdigest()
    forged = content.replace(f"Content-ID: <{digest}@".encode(), f"Content-ID: <{'a' * 64}@".encode())
    (tmp_path / "a.eml").write_bytes(forged)
    attached = [a for each in read(tmp_path / "a.eml")[0] if isinstance(each, Captured) for a in each.attached]
    assert digest not in dict(attached)
    assert len(attached) == 1


def test_the_roster_is_no_event(tmp_path: Path) -> None:
    (made,) = cut([say("a", "x", 0, id="1")], roster=Roster((Presence(("b",), "Bob"),), "Plans"))
    (tmp_path / "a.eml").write_bytes(item(made))
    assert [each.event.id for each in read(tmp_path / "a.eml")[0] if isinstance(each, Captured)] == ["1"]


@pytest.mark.parametrize("name", ["dovecot-uidlist", "dovecot.index.log", "subscriptions", "manifest.ndjson"])
def test_what_servers_keep_beside_messages_is_ignored(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"3 V1 N2\n")
    assert read(tmp_path / name) == ([], Counter({"mail server's file": 1}))


def test_other_messages_are_ignored_and_damaged_items_rejected(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"From: a@example.org\nSubject: hi\n\nX-Archiver-Key: not in the header\n")
    assert read(tmp_path / "other") == ([], Counter({"message that isn't ours": 1}))
    content = item(from_file("whisper"))
    (tmp_path / "cut.eml").write_bytes(content[: len(content) - 300])
    (rejected,), _ = read(tmp_path / "cut.eml")
    assert isinstance(rejected, Rejected)
    assert "damaged" in rejected.reason or "cut off" in rejected.reason or "no events" in rejected.reason
