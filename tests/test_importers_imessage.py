"""iMessage: made databases counted, Apple's times, texts in blobs, reactions, edits, hostile databases."""

from __future__ import annotations

import plistlib
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from contracts.importer import FIXTURES, RECEIVED, ImporterContract
from hypothesis import example, given
from hypothesis import strategies as st

from archiver.events import Captured, Event, Rejected
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.imessage.body import text_of
from archiver.importers.imessage.edits import PARTS, history_of
from archiver.importers.recognising import document_at

MADE = FIXTURES / "copyleft" / "imessage"
MAC = MADE / "macos" / "chat.db"
PHONE = MADE / "ios" / "sms.db"
START = 721_692_800
"""Seconds since 2001 of 2023-11-14 22:13:20 UTC."""


class TestIMessage(ImporterContract):
    importer = IMPORTERS["imessage"]
    samples = (
        (MAC.parent, Options(owner="me@example.com")),
        (PHONE.parent, Options()),
        (FIXTURES / "imessage" / "chat.db", Options()),
    )


Read = tuple[list[Captured], list[Rejected], Reading]


def read(path: Path, options: Options | None = None) -> Read:
    reading = Reading(RECEIVED)
    found = list(IMPORTERS["imessage"].read(document_at(path), options or Options(), reading))
    captured = [each for each in found if isinstance(each, Captured)]
    return captured, [each for each in found if isinstance(each, Rejected)], reading


@pytest.mark.counted("imessage")
@pytest.mark.parametrize("path", [MAC, PHONE])
def test_every_message_is_there_once(path: Path) -> None:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as base:
        (count,) = base.execute("SELECT count(*) FROM message WHERE associated_message_guid IS NULL").fetchone()
        (reacted,) = base.execute("SELECT count(*) FROM message WHERE associated_message_guid IS NOT NULL").fetchone()
        (files,) = base.execute("SELECT count(*) FROM message_attachment_join").fetchone()
        guids = {guid for (guid,) in base.execute("SELECT guid FROM message")}
    captured, rejected, reading = read(path)
    assert not rejected
    types = [each.event.type for each in captured]
    assert (types.count("message.sent"), types.count("message.reacted")) == (count, reacted)
    assert {each.event.id.rpartition("/")[2] for each in captured} == guids
    assert sum(len(each.attached) for each in captured) == files
    assert captured[0].event.time.isoformat() == "2025-01-01T00:00:00+00:00"
    assert {each.event.archiverguessed for each in captured} == {"owner=me; epoch"}
    assert sum(reading.marks.values()) == count + reacted


@pytest.mark.counted("imessage")
def test_every_part_of_a_message_is_there_once() -> None:
    path = FIXTURES / "imessage" / "chat.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as base:
        rows = base.execute("SELECT guid, date_edited, message_summary_info FROM message").fetchall()
    parts = [plistlib.loads(summary) for _, _, summary in rows if summary]
    edits = sum(
        len(texts) - 1 for each in parts for number, texts in each["ec"].items() if int(number) not in each["rp"]
    )
    whole = sum(len(each["rp"]) == len(each["otr"]) for each in parts)
    some = sum(len(each["rp"]) for each in parts if len(each["rp"]) < len(each["otr"]))
    captured, rejected, _ = read(path)
    types = Counter(each.event.type for each in captured)
    assert not rejected and min(edits, whole, some) > 0
    assert types == {"message.sent": len(rows) + some, "message.edited": edits, "message.retracted": some + whole}


def body(text: str) -> bytes:
    said = text.encode()
    length = bytes([len(said)]) if len(said) < 128 else b"\x81" + len(said).to_bytes(2, "little")
    head = b"\x04\x0bstreamtyped\x81\xe8\x03\x84\x01@\x84\x84\x84\x12NSAttributedString\x00\x84\x84\x08NSObject\x00\x85"
    return head + b"\x92\x84\x84\x84\x08NSString\x01\x94\x84\x01+" + length + said + b"\x86\x84\x02iI\x01\x01\x92"


def database(path: Path, *rows: dict[str, Any]) -> Path:
    """As a Mac's is today, with the columns that are read."""
    base = sqlite3.connect(path)
    base.executescript(
        """
        CREATE TABLE handle (ROWID INTEGER PRIMARY KEY, id TEXT, service TEXT);
        CREATE TABLE chat (ROWID INTEGER PRIMARY KEY, guid TEXT, display_name TEXT, style INTEGER);
        CREATE TABLE chat_handle_join (chat_id INTEGER, handle_id INTEGER);
        CREATE TABLE chat_message_join (chat_id INTEGER, message_id INTEGER, PRIMARY KEY (chat_id, message_id));
        CREATE TABLE attachment (ROWID INTEGER PRIMARY KEY, filename TEXT, mime_type TEXT, transfer_name TEXT);
        CREATE TABLE message_attachment_join (message_id INTEGER, attachment_id INTEGER);
        CREATE TABLE message (ROWID INTEGER PRIMARY KEY, guid TEXT, text TEXT, attributedBody BLOB, handle_id INTEGER,
            is_from_me INTEGER, account TEXT, date INTEGER, date_edited INTEGER, date_retracted INTEGER,
            associated_message_guid TEXT, associated_message_type INTEGER, associated_message_emoji TEXT,
            thread_originator_guid TEXT, item_type INTEGER, group_action_type INTEGER, group_title TEXT,
            other_handle INTEGER, subject TEXT, message_summary_info BLOB);
        INSERT INTO handle VALUES (1, 'bob@x.org', 'iMessage'), (2, '+4930555', 'iMessage');
        INSERT INTO chat VALUES (1, 'iMessage;-;bob@x.org', '', 45), (2, 'iMessage;+;chat1', 'Team', 43);
        INSERT INTO chat_handle_join VALUES (1, 1), (2, 1), (2, 2);
        """
    )
    for number, row in enumerate(rows, 1):
        made = {"guid": f"G{number}", "handle_id": 1, "is_from_me": 0, "item_type": 0, "account": "E:ann@x.org"}
        made |= {"date": (START + number) * 10**9, "associated_message_type": 0, "date_edited": 0} | row
        chat = made.pop("chat", 1)
        marks = ", ".join("?" for _ in made)
        base.execute(f"INSERT INTO message ({', '.join(made)}) VALUES ({marks})", tuple(made.values()))
        base.execute("INSERT INTO chat_message_join VALUES (?, ?)", (chat, number))
    base.commit()
    base.close()
    return path


def events(path: Path) -> list[Event]:
    captured, rejected, _ = read(path)
    assert not rejected
    return [each.event for each in captured]


def test_a_mac_of_today(tmp_path: Path) -> None:
    path = database(
        tmp_path / "chat.db",
        {"attributedBody": body("Grüße")},
        {"attributedBody": body("long " * 100), "is_from_me": 1},
        {"text": "\ufffc", "thread_originator_guid": "G1"},
        {"associated_message_guid": "p:0/G1", "associated_message_type": 2000},
        {"associated_message_guid": "bp:G1", "associated_message_type": 3000},
        {"associated_message_guid": "p:0/G1", "associated_message_type": 2006, "associated_message_emoji": "🦆"},
        {"text": "better", "date_edited": (START + 90) * 10**9},
        {"text": None, "date_edited": (START + 91) * 10**9},
        {"text": "gone", "date_retracted": (START + 92) * 10**9},
        {"chat": 2, "item_type": 1, "group_action_type": 0, "other_handle": 2},
        {"chat": 2, "item_type": 2, "group_title": "Crew", "is_from_me": 1},
        {"chat": 2, "item_type": 3, "handle_id": 2},
        {"chat": 2, "text": "old", "date": START},
        {"attributedBody": b"\x04\x0bstreamtyped broken"},
    )
    told = events(path)
    assert [each.type.partition(".")[2] for each in told] == [
        *("sent", "sent", "sent", "reacted", "reacted", "reacted", "sent", "edited", "sent", "retracted"),
        *("sent", "retracted", "joined", "topic.changed", "left", "sent", "sent"),
    ]
    texts = [each.data.message.text for each in told if each.type == "message.sent" and each.data.message]
    assert texts == ["Grüße", ("long " * 100), "", "better", "", "gone", "old", "[text that can't be read]"]
    assert told[0].time.isoformat() == "2023-11-14T22:13:21+00:00" and told[-2].time.isoformat()[:19] == (
        "2023-11-14T22:13:20"
    )
    reactions = [(each.data.message.id, each.data.reaction, each.data.removed) for each in told[3:6]]  # type: ignore[union-attr]
    assert reactions == [("G1", "❤️", False), ("G1", "❤️", True), ("G1", "🦆", False)]
    places = {(each.data.conversation.id, each.data.conversation.kind) for each in told}
    assert places == {("ann@x.org iMessage;-;bob@x.org", "im"), ("ann@x.org iMessage;+;chat1", "group")}
    assert told[1].data.actor.address == "ann@x.org" and told[2].data.message.in_reply_to == "G1"  # type: ignore[union-attr]


def summary(*texts: str, parts: int = 1, **more: Any) -> bytes:
    """As Messages keeps it of a message that was edited, ten seconds after another."""
    said = [{"d": float(START + 10 * n), "t": body(text)} for n, text in enumerate(texts)]
    ranges = {str(n): {"lo": 0, "le": 5} for n in range(parts)}
    return plistlib.dumps({"ec": {"0": said}, "otr": ranges, "ust": True} | more, fmt=plistlib.FMT_BINARY)


def test_what_an_edited_message_said_before(tmp_path: Path) -> None:
    edited = (START + 90) * 10**9
    path = database(
        tmp_path / "chat.db",
        {"text": "third", "date_edited": edited, "message_summary_info": summary("first", "second", "third")},
        {"text": "whole", "date_edited": edited, "message_summary_info": summary("a", "b", parts=2)},
        {"text": "only", "date_edited": edited, "message_summary_info": b"bplist00 broken"},
        {"text": "same", "message_summary_info": summary()},
        {"text": "odd", "date_edited": edited, "message_summary_info": summary(ec={"0": [{"d": float("inf")}]})},
    )
    told = [(each.type.partition(".")[2], each.time.second, each.data.message) for each in events(path)]
    assert [(kind, message and message.text) for kind, _, message in told] == [
        *(("sent", "first"), ("edited", "second"), ("edited", "third")),
        *(("sent", "whole"), ("edited", "whole"), ("sent", "only"), ("edited", "only"), ("sent", "same")),
        *(("sent", "odd"), ("edited", "odd")),
    ]
    assert [second for _, second, _ in told[:3]] == [21, 30, 40]
    assert {message and message.id for _, _, message in told[:3]} == {"G1"}


def parted(lengths: list[int], unsent: list[int] | None = None, **edits: list[tuple[int, str]]) -> bytes:
    """A summary of several parts, as long as `lengths` say; `p1` has the texts of part 1, by seconds."""
    told = {key[1:]: [{"d": float(START + at), "t": body(text)} for at, text in said] for key, said in edits.items()}
    ranges = {str(n): {"lo": sum(lengths[:n]), "le": length} for n, length in enumerate(lengths)}
    return plistlib.dumps({"ec": told, "otr": ranges, "rp": unsent or []}, fmt=plistlib.FMT_BINARY)


EDITED = (START + 90) * 10**9
SEVERAL = (
    # Between two pictures: the second text was edited, then the first, and the second again.
    (
        "one!\r\ufffcthree\ufffc",
        parted([4, 1, 3, 1], p0=[(1, "one"), (30, "one!")], p2=[(1, "two"), (20, "too"), (40, "three")]),
        ["sent one|two", "edited one|too", "edited one!|too", "edited one!|three"],
    ),
    # Texts beside each other, the one between was unsent; units are UTF-16's.
    ("🦆 hi\rho", parted([6, 1, 2], [1]), ["sent 🦆 hi|ho", "sent/1 ", "retracted/1"]),
    (
        "now\rho",
        parted([4, 9, 2], [1], p0=[(1, "then"), (20, "now")], p1=[(1, "secret"), (15, "known")]),
        ["sent then|ho", "sent/1 known", "retracted/1", "edited now|ho"],
    ),
    # All of it was unsent.
    ("", parted([4, 1], [0, 1], p0=[(1, "gone"), (9, "went")]), ["sent went", "retracted"]),
    # What doesn't fit says only what stands there now.
    ("else", parted([4, 3], p0=[(1, "a"), (9, "b")]), ["sent else", "edited else"]),
    # A preview is a part without a text.
    ("\ufffcb", parted([1, 4], p1=[(1, "a"), (9, "b")]), ["sent a", "edited b"]),
    ("one", parted([3] * (PARTS + 1), p0=[(1, "a"), (9, "b")]), ["sent a", "edited one"]),
)


@pytest.mark.parametrize(("text", "packed", "expected"), SEVERAL)
def test_a_message_of_several_parts(text: str, packed: bytes, expected: list[str], tmp_path: Path) -> None:
    row = {"date_edited": EDITED, "message_summary_info": packed}
    for number, said in enumerate(({"text": text}, {"text": None, "attributedBody": body(text) if text else None})):
        found = []
        for each in events(database(tmp_path / f"{number}.db", row | said)):
            message = each.data.message
            assert message is not None
            words = f" {message.text}".replace("\n", "|") if message.text is not None else ""
            found.append(f"{each.type.partition('.')[2]}{message.id.removeprefix('G1')}{words}")
        assert found == expected


def test_all_parts_of_a_text_are_there_in_their_order(tmp_path: Path) -> None:
    (told,) = events(database(tmp_path / "chat.db", {"attributedBody": body("\ufffca\r\r\nb\ufffc\ufffcc\n\ufffc")}))
    assert told.data.message is not None and told.data.message.text == "a\n\nb\nc"


KEYS = st.sampled_from(["0", "1", "le", "d", "t"])
LEAVES = st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3)
TREES = st.recursive(LEAVES, lambda some: st.lists(some, max_size=2) | st.dictionaries(KEYS, some, max_size=3))


@given(st.dictionaries(st.sampled_from(["ec", "otr", "rp"]), TREES), st.text(max_size=5))
def test_any_list_is_a_history_or_none(tree: dict[str, Any], text: str) -> None:
    try:
        packed = plistlib.dumps(tree, fmt=plistlib.FMT_BINARY)
    except (OverflowError, UnicodeEncodeError):
        return
    found = history_of(packed, text)
    assert found is None or found.edits or found.unsent or found.first is not None


@given(st.binary(max_size=120) | st.binary(max_size=40).map(lambda tail: summary("a", "b")[:60] + tail))
def test_any_summary_is_a_history_or_none(blob: bytes) -> None:
    found = history_of(blob, "b")
    assert found is None or found.first in ("a", "b")


def test_what_was_unsent_whole_is_gone_whatever_is_left_of_it(tmp_path: Path) -> None:
    gone: dict[str, Any] = {"text": "", "date_edited": EDITED, "message_summary_info": parted([1], [0])}
    path = database(tmp_path / "chat.db", gone, gone | {"subject": "Hi"})
    with sqlite3.connect(path) as base:
        base.execute("INSERT INTO attachment VALUES (1, '~/Library/Messages/Attachments/p.heic', NULL, NULL)")
        base.execute("INSERT INTO message_attachment_join VALUES (1, 1)")
    base.close()
    assert [each.type for each in events(path)] == ["message.sent", "message.retracted"] * 2


def test_an_edit_at_no_time_spoils_nothing_else(tmp_path: Path) -> None:
    said = {"0": [{"d": at, "t": b"x"} for at in (1e305, -1e305)]}
    path = database(
        tmp_path / "chat.db",
        {"text": "now", "date_edited": EDITED, "message_summary_info": summary(ec=said)},
        {"text": "next"},
    )
    assert [each.data.message and each.data.message.text for each in events(path)] == ["now", "now", "next"]


def test_a_text_that_a_summary_names_often_is_not_told_as_often() -> None:
    entry = {"d": float(START), "t": b"x" * 100_000}
    often = plistlib.dumps({"ec": {"0": [entry] * 2_000}, "otr": {"0": {"le": 1}}}, fmt=plistlib.FMT_BINARY)
    assert len(often) < 400_000 and history_of(often, "x") is None


def test_attachments_lie_beside_it_and_nowhere_else(tmp_path: Path) -> None:
    path = database(tmp_path / "chat.db", {"text": "a"}, {"text": "b"})
    (tmp_path / "Attachments" / "0a").mkdir(parents=True)
    (tmp_path / "Attachments" / "0a" / "p.heic").write_bytes(b"pic")
    with sqlite3.connect(path) as base:
        base.execute(
            "INSERT INTO attachment VALUES (1, '~/Library/Messages/Attachments/0a/p.heic', 'image/heic', 'IMG.heic'), "
            "(2, '~/Library/Messages/Attachments/../../../etc/passwd', NULL, NULL)"
        )
        base.execute("INSERT INTO message_attachment_join VALUES (1, 1), (2, 2), (2, 1)")
    base.close()
    captured, _, _ = read(path)
    files = [each for captured_ in captured for each in captured_.event.data.attachments or ()]
    assert [(each.name, each.size, each.media_type) for each in files] == [
        ("IMG.heic", 3, "image/heic"),
        ("passwd", None, None),
        ("IMG.heic", 3, "image/heic"),
    ]


def test_what_belongs_to_nobody_or_no_chat_is_rejected_alone(tmp_path: Path) -> None:
    path = database(
        tmp_path / "chat.db",
        {"text": "a", "handle_id": 9},
        {"text": "b", "date": "soon"},
        {"text": "c", "chat": 9},
        {"text": "d", "date": 2**62},
        {"text": "e"},
    )
    captured, rejected, _ = read(path)
    assert [each.reason.split(":")[0] for each in rejected] == [
        "nothing says who wrote it",
        "no time",
        "it belongs to no chat",
    ]
    assert [bool(each.cleaned) for each in captured] == [True, False], "a time nobody can mean is replaced, and said"


@given(st.text(max_size=300))
def test_any_text_in_a_blob_is_found(text: str) -> None:
    if len(text.encode("utf-8", "replace")) < 2**16:
        text = text.encode("utf-8", "replace").decode()
        assert text_of(body(text)) == text


@given(st.binary(max_size=80), st.integers(0, 120))
def test_any_blob_is_a_text_or_none(tail: bytes, cut: int) -> None:
    for blob in (tail, body("x")[:cut] + tail):
        assert text_of(blob) is None or isinstance(text_of(blob), str)


@example([(MAC.read_bytes().index(b"tablehandle") + 5, 255), (MAC.read_bytes().index(b"CREATE TABLE handle"), 88)])
@given(st.lists(st.tuples(st.integers(0, 32_767), st.integers(0, 255)), min_size=1, max_size=30))
def test_a_damaged_database_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]
) -> None:
    content = bytearray(MAC.read_bytes())
    for at, byte in damage:
        content[at] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.db"
    path.write_bytes(content)
    read(path)


def test_a_view_or_a_trigger_in_it_does_nothing(tmp_path: Path) -> None:
    path = database(tmp_path / "chat.db", {"text": "a"})
    with sqlite3.connect(path) as base:
        base.execute("CREATE TRIGGER t AFTER INSERT ON message BEGIN DELETE FROM message; END")
        base.execute("ALTER TABLE handle RENAME TO handles")
        base.execute("CREATE VIEW handle AS SELECT ROWID, hex(id) AS id FROM handles")
    base.close()
    before = path.read_bytes()
    captured, rejected, _ = read(path)
    assert not captured and len(rejected) == 1 and path.read_bytes() == before
