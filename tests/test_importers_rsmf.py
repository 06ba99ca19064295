"""RSMF 2.0: packed in a mail and unpacked, what each event becomes, and our own export read again."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from contracts.importer import FIXTURES, RECEIVED, ImporterContract
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import Captured, Rejected
from archiver.exporting.records import Piece
from archiver.exporting.rsmf import rsmf_files
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.recognising import chosen, document_at, recognise

RSMF = IMPORTERS["rsmf"]
PACKED = FIXTURES / "rsmf" / "day.rsmf"
UNPACKED = FIXTURES / "rsmf" / "unpacked"
RAW = json.loads((UNPACKED / "rsmf_manifest.json").read_text())


class TestRsmf(ImporterContract):
    importer = RSMF
    samples = ((PACKED, Options()), (UNPACKED, Options(network="case")))


def read(path: Path) -> tuple[list[Captured], list[Rejected], Reading]:
    reading = Reading(RECEIVED)
    documents = chosen(RSMF, (path,)) if path.is_dir() else (document_at(path),)
    found = [each for document in documents for each in RSMF.read(document, Options(), reading)]
    captured = [each for each in found if isinstance(each, Captured)]
    return captured, [each for each in found if isinstance(each, Rejected)], reading


@pytest.mark.counted("rsmf")
@pytest.mark.parametrize("path", [PACKED, UNPACKED], ids=["packed", "unpacked"])
def test_every_event_of_the_manifest_is_there(path: Path) -> None:
    captured, rejected, reading = read(path)
    events = RAW["events"]
    types = Counter(each.event.type for each in captured)
    assert not rejected
    assert types == Counter(
        {
            "message.sent": sum(each.get("body") is not None for each in events),
            "message.edited": sum(len(each.get("edits", ())) for each in events),
            "message.reacted": sum(len(r["participants"]) for each in events for r in each.get("reactions", ())),
            "message.retracted": sum(each.get("deleted", False) for each in events),
            "participant.joined": sum(each["type"] == "join" for each in events),
            "participant.left": sum(each["type"] == "leave" for each in events),
        }
    )
    assert reading.ignored == Counter({"unknown of RSMF": 1})
    first = captured[0]
    assert first.event.data.message is not None and first.event.data.message.text == "Menu?"
    assert [each.sha256 for each in first.event.data.attachments or ()] == [digest for digest, _ in first.attached]
    assert first.event.data.conversation.participants is not None
    direct = next(each.event for each in captured if each.event.data.conversation.kind == "im")
    assert [each.address for each in direct.data.conversation.participants or ()] == ["ann@example.org", "U2"]


def test_packed_and_unpacked_are_the_same() -> None:
    assert [each.body for each in read(PACKED)[0]] == [each.body for each in read(UNPACKED)[0]]


def test_packed_ones_in_a_folder_are_found_looking_and_by_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/one.rsmf", "two.eml"):
        (tmp_path / name).write_bytes(PACKED.read_bytes())
    assert {key: len(each) for key, each in recognise((tmp_path,)).found.items()} == {"rsmf": 2}
    assert len(chosen(RSMF, (tmp_path,))) == 2


@pytest.mark.parametrize("name", ["reactions_and_replies.alice", "whisper.bob", "edit_and_retract.bob"])
def test_our_own_export_is_read(name: str, tmp_path: Path) -> None:
    content = (FIXTURES / "expected" / f"{name}.eml").read_bytes()
    files = rsmf_files(Piece((), "x", None), content)
    assert files is not None
    (tmp_path / "x.rsmf").write_bytes(bytes(files[0][1]))
    captured, rejected, _ = read(tmp_path / "x.rsmf")
    assert captured and not rejected
    if name == "whisper.bob":
        assert any(each.event.data.message.to for each in captured if each.event.data.message)


@pytest.mark.parametrize("content", [b"", b"--b\nContent-Type: application/zip\n\nPK\x03\x04garbage\n--b--\n"])
def test_a_mail_without_a_manifest_is_rejected(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.rsmf"
    path.write_bytes(b"X-RSMF-Version: 2.0.0\nContent-Type: multipart/mixed; boundary=b\n\n" + content)
    assert RSMF.sniff(document_at(path), path.read_bytes())
    captured, (rejected,), _ = read(path)
    assert not captured and rejected.reason


_VALUES = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.none(), max_size=1)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["type", "timestamp", "conversation", "body", "edits", "id"]), _VALUES),
        max_size=3,
    )
)
def test_any_event_is_read_or_rejected(tmp_path_factory: pytest.TempPathFactory, events: list[dict[str, Any]]) -> None:
    path = tmp_path_factory.getbasetemp() / "rsmf_manifest.json"
    known = {"type": "message", "timestamp": "2024-03-05T10:00:00Z", "conversation": "C1"}
    path.write_text(json.dumps(RAW | {"events": [known | each for each in events]}))
    captured, rejected, reading = read(path)
    assert len(captured) + len(rejected) + sum(reading.ignored.values()) >= len(events)
