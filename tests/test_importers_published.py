"""Formats of which no real export is at hand: samples made from the published layout, each line of them looked at."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from contracts.importer import FIXTURES, RECEIVED, ImporterContract
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import Captured, Event, Rejected
from archiver.exceptions import EventError
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.googlechat.message import time_of
from archiver.importers.recognising import document_at

DIRECT = FIXTURES / "googlechat" / "Groups" / "DM AbC"
SPACE = FIXTURES / "googlechat" / "Groups" / "Space XyZ"
MARKS = {"zulip": "realm.json", "googlechat": "messages.json", "skype": "messages.json"}


class TestZulip(ImporterContract):
    importer = IMPORTERS["zulip"]
    samples = ((FIXTURES / "zulip", Options()),)


class TestGoogleChat(ImporterContract):
    importer = IMPORTERS["googlechat"]
    samples = ((DIRECT, Options()), (SPACE, Options()))


class TestSkype(ImporterContract):
    importer = IMPORTERS["skype"]
    samples = ((FIXTURES / "skype" / "messages.json", Options()),)


def read(name: str, folder: Path) -> tuple[list[Event], list[Rejected], Reading, list[Captured]]:
    reading = Reading(RECEIVED)
    found = list(IMPORTERS[name].read(document_at(folder / MARKS[name]), Options(), reading))
    captured = [each for each in found if isinstance(each, Captured)]
    rejected = [each for each in found if isinstance(each, Rejected)]
    return [each.event for each in captured], rejected, reading, captured


def kinds(events: list[Event]) -> list[str]:
    return [each.type.partition(".")[2] for each in events]


def messages(path: Path, key: str) -> list[dict[str, Any]]:
    """Of one file of an export, however deep they lie in it."""
    found: list[dict[str, Any]] = []
    json.loads(path.read_text(), object_hook=lambda each: found.extend(each.get(key, ())) or each)
    return found


@pytest.mark.counted("zulip")
def test_every_message_of_zulips_is_there_once() -> None:
    files = sorted((FIXTURES / "zulip").glob("messages-*.json"))
    raw = [each for path in files for each in messages(path, "zerver_message")]
    reacted = [each for path in files for each in messages(path, "zerver_reaction")]
    reacted += messages(FIXTURES / "zulip" / "realm.json", "zerver_reaction")
    events, rejected, _, _ = read("zulip", FIXTURES / "zulip")
    types = Counter(kinds(events))
    assert types["sent"] + len(rejected) == len({each["id"] for each in raw}) == len(raw)
    assert types["edited"] == sum(each.get("edit_history", "").count("prev_content") for each in raw)
    assert types["reacted"] == len(reacted)


@pytest.mark.counted("googlechat")
@pytest.mark.parametrize("folder", [DIRECT, SPACE])
def test_every_message_of_google_chats_is_there_once(folder: Path) -> None:
    raw = messages(folder / "messages.json", "messages")
    events, rejected, _, _ = read("googlechat", folder)
    types = Counter(kinds(events))
    assert types["sent"] + len(rejected) == len({each["message_id"] for each in raw}) == len(raw)
    assert types["edited"] == sum("updated_date" in each for each in raw)
    assert types["retracted"] == sum(each.get("message_state") == "DELETED" for each in raw)
    given = (reaction["reactor_emails"] for each in raw for reaction in each.get("reactions", ()))
    assert types["reacted"] == sum(map(len, given))


@pytest.mark.counted("skype")
def test_every_message_of_skypes_is_there_once() -> None:
    raw = messages(FIXTURES / "skype" / "messages.json", "MessageList")
    events, rejected, reading, _ = read("skype", FIXTURES / "skype")
    types = Counter(kinds(events))
    told = [each for each in raw if each["messagetype"].startswith(("Text", "RichText"))]
    assert types["sent"] + len(rejected) == len(told)
    assert types["edited"] == sum("edittime" in (each.get("properties") or ()) for each in raw)
    assert types["retracted"] == sum("deletetime" in (each.get("properties") or ()) for each in raw)
    assert types["joined"] == sum(each["content"].count("<target>") for each in raw)
    assert types["ended"] == sum(each["messagetype"] == "Event/Call" for each in raw)
    assert types["topic.changed"] == sum(each["messagetype"].endswith("TopicUpdate") for each in raw)
    assert reading.ignored.total() == sum(each["messagetype"] == "Notice" for each in raw)


def test_zulip() -> None:
    events, rejected, reading, captured = read("zulip", FIXTURES / "zulip")
    assert kinds(events) == ["sent", "edited", "reacted", "sent", "sent", "sent", "sent"]
    first, edited, reacted, second, direct, answer, group = events
    assert (first.source, first.id) == ("zulip:acme", "5/logo/100")
    assert first.time.isoformat() == "2023-11-14T22:13:20.250000+00:00"
    assert first.data.message and first.data.message.text == "Fisrt try"
    assert edited.data.message and edited.data.message.text.startswith("Second try")  # type: ignore[union-attr]
    assert reacted.data.actor and reacted.data.actor.address == "bob@acme.example"
    assert captured[0].attached, "the uploaded file lies beside"
    assert first.data.conversation.topic == second.data.conversation.topic == "#design > logo"
    assert direct.data.conversation.id == answer.data.conversation.id == "10 11"
    assert [each.address for each in direct.data.conversation.participants or ()] == [
        "ann@acme.example",
        "bob@acme.example",
    ]
    assert group.data.conversation.kind == "group" and len(group.data.conversation.participants or ()) == 3
    assert [each.reason for each in rejected] == ["nothing says who recipient 99 is"]
    assert reading.nobody == {"ci-bot@acme.example"}


def test_google_chat() -> None:
    events, rejected, _, captured = read("googlechat", DIRECT)
    assert kinds(events) == ["sent", "sent", "edited", "reacted", "sent", "retracted"] and not rejected
    assert {each.data.conversation.kind for each in events} == {"im"}
    assert events[0].time.isoformat() == "2016-11-03T11:59:50+00:00" and events[1].time.hour == 12
    assert captured[0].attached, "a name that isn't written to disk as it was"
    events, rejected, reading, _ = read("googlechat", SPACE)
    assert kinds(events) == ["sent"] and events[0].data.conversation.topic == "Standup"
    assert reading.nobody == {"ci@acme.example"} and len(rejected) == 1


def test_google_chat_tells_every_version_and_all_a_message_links_to(tmp_path: Path) -> None:
    """Of an edited message only its first version has the date it was made."""

    def at(minute: int) -> str:
        return f"Friday, January 5, 2024 at 9:{minute:02}:00 AM UTC"

    meet = {"video_call_metadata": {"meeting_space": {"meeting_url": "https://meet.google.com/a"}}}
    drive = {"drive_metadata": {"id": "1x", "title": "Plan", "thumbnail_url": ""}}
    tube = {"youtube_metadata": {"id": "yt", "start_time": 0}}
    earlier = [{"created_date": at(1), "text": "frist"}, {"updated_date": at(2), "text": "first"}]
    messages: list[dict[str, Any]] = [
        {"updated_date": at(3), "text": "First", "previous_message_versions": earlier},
        {"created_date": at(4), "annotations": [meet, {"start_index": 0, "length": 1, "format_metadata": {}}]},
        {"created_date": at(5), "text": "see watch?v=yt", "annotations": [drive, tube]},
        {"created_date": at(6), "text": "yes", "quoted_message_metadata": {"creator": {"name": "Bo"}, "text": "a\nb"}},
        {"created_date": at(7), "deleted_date": at(8), "message_state": "DELETED"},
        {"text": "when?"},
    ]
    made = [{"creator": {"email": "ann@x.org"}, "message_id": f"S/t/{n}"} | each for n, each in enumerate(messages)]
    (tmp_path / "messages.json").write_text(json.dumps({"messages": made}))
    events, rejected, _, _ = read("googlechat", tmp_path)
    told = [(each.type.partition(".")[2], each.time.minute, each.data.message) for each in events]
    assert [(kind, minute, message and message.text) for kind, minute, message in told] == [
        *(("sent", 1, "frist"), ("edited", 2, "first"), ("edited", 3, "First")),
        ("sent", 4, "[video call: https://meet.google.com/a]"),
        ("sent", 5, "see watch?v=yt\nPlan (https://drive.google.com/open?id=1x)"),
        ("sent", 6, "> Bo: a\n> b\nyes"),
        *(("sent", 7, ""), ("retracted", 8, None)),
    ]
    assert [each.reason for each in rejected] == ["no date: ''"]
    assert events[-1].archiverguessed is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Friday, January 5, 2024 at 12:00:00 AM UTC", "2024-01-05T00:00:00+00:00"),
        ("January 5, 2024 at 1:07 PM UTC", "2024-01-05T13:07:00+00:00"),
        ("January 5, 2024 at 13:07 UTC", "2024-01-05T13:07:00+00:00"),
    ],
)
def test_google_dates(text: str, found: str) -> None:
    assert time_of(text).isoformat() == found


@given(st.text(max_size=60) | st.from_regex(r"\w+ \d{1,3}, \d{4} at \d{1,2}:\d\d [AP]M UTC", fullmatch=True))
def test_any_google_date_is_one_or_an_error(text: str) -> None:
    with suppress(EventError):
        time_of(text)


def test_skype() -> None:
    events, rejected, reading, _ = read("skype", FIXTURES / "skype")
    assert kinds(events) == [
        "sent",
        "edited",
        "sent",
        "ended",
        "sent",
        "sent",
        "retracted",
        "joined",
        "joined",
        "topic.changed",
    ]
    first, edited, file, _, hello = events[:5]
    assert first.data.message and (first.data.message.text, first.data.message.in_reply_to) == (
        "well :)",
        "1700000000000",
    )
    assert edited.time.isoformat() == "2023-11-14T22:13:25+00:00"
    assert file.data.attachments and file.data.attachments[0].name == "plan.pdf (not in the export)"
    assert hello.data.message and hello.data.message.text == "hi & hello"
    assert hello.data.conversation.id == "8:bob 8:live:ann", "the other side's export names the same pair"
    assert events[-1].data.topic == events[-1].data.conversation.topic == "Trip & travel"
    assert [each.data.subject and each.data.subject.address for each in events[7:9]] == ["8:carol", "8:bob"]
    assert reading.ignored == Counter({"Notice of Skype": 1}) and len(rejected) == 1


def test_skype_reactions_contacts_calls_and_what_is_encrypted(tmp_path: Path) -> None:
    at = "2023-11-14T22:13:23Z"
    emotions = [{"key": "heart", "users": [{"mri": "8:bob", "time": 1_700_000_009_000}, {"mri": "8:carol"}]}]
    messages = [
        {"messagetype": "RichText", "content": "hi", "properties": {"emotions": emotions}},
        {"messagetype": "RichText/Contacts", "content": '<contacts><c t="s" s="live:x" f="Zo&amp; X"/></contacts>'},
        {"messagetype": "Event/Call", "content": '<partlist type="missed" alt=""></partlist>'},
        {"messagetype": "EndToEndEncryption/EncryptedText", "content": "AAAA"},
    ]
    made = [{"id": str(n), "originalarrivaltime": at, "from": "8:ann"} | each for n, each in enumerate(messages)]
    conversation = {"id": "19:x@thread.skype", "MessageList": made}
    (tmp_path / "messages.json").write_text(json.dumps({"userId": "8:ann", "conversations": [conversation]}))
    events, rejected, reading, _ = read("skype", tmp_path)
    assert kinds(events) == ["sent", "reacted", "reacted", "sent", "started", "sent"]
    assert not rejected and not reading.ignored
    given = [(each.time.second, each.archiverguessed) for each in events[1:3]]
    assert given == [(29, None), (23, "reacted")]
    texts = [each.data.message.text for each in events if each.type == "message.sent" and each.data.message]
    assert texts == ["hi", "[contact: Zo& X]", "[encrypted, content not available]"]


KEYS = st.sampled_from(
    [
        *("id", "sender", "recipient", "date_sent", "content", "edit_history", "message_id", "created_date", "creator"),
        *("conversations", "MessageList", "messagetype", "originalarrivaltime", "from", "properties", "reactions"),
    ]
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=12,
)


@pytest.mark.parametrize("name", ["zulip", "googlechat", "skype"])
@given(messages=st.lists(ANY, max_size=3), head=ANY)
def test_any_json_is_events_or_rejected(
    name: str, messages: list[Any], head: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / name
    folder.mkdir(exist_ok=True)
    made = {"messages": messages, "zerver_message": messages, "conversations": [{"id": "8:a", "MessageList": messages}]}
    (folder / MARKS[name]).write_text(json.dumps(made if name != "zulip" else {"zerver_realm": head}))
    (folder / "messages-000001.json").write_text(json.dumps(made))
    (folder / "group_info.json").write_text(json.dumps(head))
    read(name, folder)
