"""Rocket.Chat's dumps: a real one counted, its people, rooms and files; damaged BSON."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from contracts.importer import FIXTURES, RECEIVED, ImporterContract
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import Captured, Rejected
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.recognising import document_at

DUMP = FIXTURES / "rocketchat"
MESSAGES = "rocketchat_message.bson"


class TestRocketChat(ImporterContract):
    importer = IMPORTERS["rocketchat"]
    samples = ((DUMP, Options()),)


def read(folder: Path) -> tuple[list[Captured], list[Rejected], Reading]:
    reading = Reading(RECEIVED)
    found = list(IMPORTERS["rocketchat"].read(document_at(folder / MESSAGES), Options(), reading))
    captured = [each for each in found if isinstance(each, Captured)]
    return captured, [each for each in found if isinstance(each, Rejected)], reading


def collection(name: str) -> list[dict[str, Any]]:
    return bson.decode_all((DUMP / name).read_bytes())


@pytest.mark.counted("rocketchat")
def test_every_message_of_a_real_dump_is_there_once() -> None:
    raw = collection(MESSAGES)
    captured, rejected, reading = read(DUMP)
    kinds = Counter(each.get("t") for each in raw)
    types = Counter(each.event.type for each in captured)
    assert not rejected
    assert types["message.sent"] == kinds[None] + kinds["discussion-created"] + kinds["command"]
    assert types["participant.joined"] == kinds["uj"] + kinds["ut"] + kinds["au"]
    assert types["participant.left"] == kinds["ul"]
    given = sum(len(one["usernames"]) for each in raw for one in each.get("reactions", {}).values())
    assert types["message.reacted"] == given
    told = sum(types.values()) - given
    assert told + sum(reading.ignored.values()) == len(raw)
    assert {each.event.time for each in captured} <= {
        each["ts"].replace(tzinfo=captured[0].event.time.tzinfo) for each in raw
    }


def test_shared_files_are_put_together_from_their_chunks() -> None:
    sums = {each["_id"]: each["md5"] for each in collection("rocketchat_uploads.files.bson")}
    captured, _, _ = read(DUMP)
    found = [data for each in captured for _, data in each.attached]
    assert {hashlib.md5(data).hexdigest() for data in found if isinstance(data, bytes)} <= set(sums.values())
    assert len(found) == len([each for each in collection(MESSAGES) if each.get("file")])


def test_people_are_known_by_mail_and_bots_are_nobody() -> None:
    captured, _, reading = read(DUMP)
    emails = {each["address"] for user in collection("users.bson") for each in user.get("emails") or ()}
    assert {each.event.data.actor.address for each in captured if each.event.data.actor} & emails
    assert reading.nobody == {"rocket.cat"}
    direct = [each.event.data.conversation for each in captured if each.event.data.conversation.kind == "im"]
    assert direct and all(len(each.participants or ()) == 2 for each in direct)


def dump(tmp_path: Path, *messages: dict[str, Any]) -> Path:
    made = [
        {"_id": str(n), "rid": "R", "ts": datetime(2024, 1, 1, 0, 0, n), "u": {"username": "ann"}, "msg": f"m{n}"}
        | each
        for n, each in enumerate(messages)
    ]
    (tmp_path / MESSAGES).write_bytes(b"".join(map(bson.encode, made)))
    return tmp_path


def test_edits_removals_and_threads(tmp_path: Path) -> None:
    captured, rejected, _ = read(
        dump(
            tmp_path,
            {"editedAt": datetime(2024, 1, 2), "editedBy": {"username": "bob"}},
            {"t": "rm"},
            {"tmid": "0"},
            {"u": {}, "t": "uj"},
            {"ts": "never"},
        )
    )
    assert [each.event.type.partition(".")[2] for each in captured] == [
        "sent",
        "edited",
        "sent",
        "retracted",
        "sent",
        "joined",
    ]
    assert captured[1].event.data.actor is not None and captured[1].event.data.actor.address == "bob"
    assert captured[4].event.data.message is not None and captured[4].event.data.message.thread == "0"
    assert len(rejected) == 1


def test_what_an_app_says_in_a_card_and_what_is_quoted_is_told(tmp_path: Path) -> None:
    card = {
        "pretext": "Deploy",
        "title": "#7",
        "title_link": "https://ci/7",
        "fields": [{"title": "Failed", "value": "3"}],
    }
    named = {"type": "file", "title": "a.pdf", "title_link": "/file-upload/a.pdf", "description": "the plan"}
    captured, rejected, _ = read(
        dump(
            tmp_path,
            {"msg": "", "attachments": [card]},
            {"attachments": [{"text": "quoted"}]},
            {"attachments": [named]},
        )
    )
    assert not rejected
    texts = [each.event.data.message and each.event.data.message.text for each in captured]
    assert texts == ["Deploy\n#7 (https://ci/7)\nFailed: 3", "m1\nquoted", "m2\nthe plan"]


def test_a_dump_that_breaks_off_keeps_what_came_before(tmp_path: Path) -> None:
    shutil.copytree(DUMP, tmp_path, dirs_exist_ok=True)
    path = tmp_path / MESSAGES
    path.write_bytes(path.read_bytes()[:-100])
    for name in ("users.bson", "rocketchat_uploads.chunks.bson"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:50])
    captured, rejected, _ = read(tmp_path)
    assert len(captured) > 50 and [each.reason for each in rejected] == ["the file breaks off inside a record"]
    names = [each.name for e in captured for each in e.event.data.attachments or ()]
    assert names and all(name is not None and name.endswith("(not in the dump)") for name in names)


@given(st.binary(max_size=300))
def test_any_bytes_end_as_rejected(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / MESSAGES
    path.write_bytes(
        bson.encode({"_id": "1", "rid": "R", "ts": datetime(2024, 1, 1), "u": {"username": "a"}}) + content
    )
    captured, rejected, _ = read(path.parent)
    assert captured and (rejected or not content or len(captured) > 1)
