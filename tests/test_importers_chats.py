"""JSON downloads of chats with one file a chat or account: Discord, Telegram, Instagram and Messenger."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from contracts.importer import FIXTURES, RECEIVED, ImporterContract
from hypothesis import given
from hypothesis import strategies as st

from archiver.conversations.rules import order
from archiver.events import Captured, Rejected
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.meta import mended
from archiver.importers.recognising import document_at, recognise
from archiver.importers.telegram.line import plain

ANALYTICS = FIXTURES / "copyleft" / "chat-analytics"
DISCORD = (ANALYTICS / "discord-DM_2A_2M.json", ANALYTICS / "discord-GC_3A_5M.json")
TELEGRAM = (
    ANALYTICS / "telegram-DM_2A_7M.json",
    FIXTURES / "telegram" / "batch.json",
    FIXTURES / "telegram" / "single.json",
)
META = FIXTURES / "meta" / "message_1.json"


class TestDiscord(ImporterContract):
    importer = IMPORTERS["discord"]
    samples = tuple((path, Options()) for path in DISCORD)


class TestTelegram(ImporterContract):
    importer = IMPORTERS["telegram"]
    samples = tuple((path, Options(zone="America/Argentina/Buenos_Aires")) for path in TELEGRAM)


class TestMeta(ImporterContract):
    importer = IMPORTERS["meta"]
    samples = ((META, Options()),)


Read = tuple[list[Captured], list[Rejected], Reading]


def read(name: str, path: Path, options: Options | None = None) -> Read:
    reading = Reading(RECEIVED)
    found = list(IMPORTERS[name].read(document_at(path), options or Options(), reading))
    captured = [each for each in found if isinstance(each, Captured)]
    return captured, [each for each in found if isinstance(each, Rejected)], reading


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def kinds(captured: list[Captured]) -> list[str]:
    return [each.event.type for each in captured]


def texts(captured: list[Captured]) -> list[str | None]:
    return [
        each.event.data.message.text
        for each in captured
        if each.event.type == "message.sent" and each.event.data.message
    ]


# Discord


@pytest.mark.counted("discord")
@pytest.mark.parametrize("path", DISCORD)
def test_discord_messages_are_there_once(path: Path) -> None:
    raw = json.loads(path.read_text())["messages"]
    captured, rejected, reading = read("discord", path)
    said = [each for each in raw if each["type"] in ("Default", "Reply")]
    assert not rejected
    assert texts(captured) == [each["content"] for each in said]
    assert [
        each.event.time.isoformat(timespec="milliseconds") for each in captured if each.event.type == "message.sent"
    ] == [each["timestamp"] for each in said]
    calls = sum(each["type"] == "Call" for each in raw)
    assert Counter(kinds(captured))["call.started"] == Counter(kinds(captured))["call.ended"] == calls
    assert (
        sum(reading.ignored.values()) - reading.ignored["reactions without who gave them"]
        == len(raw) - len(said) - calls
    )


def test_discord_answers_people_bots_and_both_parties() -> None:
    group, _, _ = read("discord", DISCORD[1])
    assert [each.event.data.message.in_reply_to for each in group if each.event.type == "message.sent"][
        -1
    ] == "1064990824305274930"  # type: ignore[union-attr]
    direct, _, reading = read("discord", DISCORD[0])
    assert reading.nobody == {"444444444444444444"}
    for each in direct:
        place = each.event.data.conversation
        assert (place.kind, len(place.participants or ())) == ("im", 2)


def discord(tmp_path: Path, *messages: Any, **channel: Any) -> Path:
    return write(
        tmp_path / "chat.json",
        {
            "guild": {"id": "7", "name": "G"},
            "channel": {"id": "9", "type": "GuildTextChat", "name": "general"} | channel,
            "messages": [
                {"id": str(n), "type": "Default", "timestamp": "2024-01-01T00:00:00.5+01:00", "author": {"id": "1"}}
                | each
                for n, each in enumerate(messages)
            ],
        },
    )


def test_discord_files_edits_reactions_and_arrivals(tmp_path: Path) -> None:
    (tmp_path / "chat.json_Files").mkdir()
    (tmp_path / "chat.json_Files" / "a.txt").write_text("a")
    path = discord(
        tmp_path,
        {"content": "x", "attachments": [{"url": "chat.json_Files/a.txt"}, {"url": "https://cdn/b", "fileName": "b"}]},
        {"content": "y", "timestampEdited": "2024-01-01T00:01:00Z"},
        {"content": "z", "reactions": [{"emoji": {"name": "👍"}, "count": 1, "users": [{"id": "2", "name": "Bo"}]}]},
        {"type": "RecipientAdd", "mentions": [{"id": "3"}]},
        {"type": "RecipientRemove", "mentions": [{"id": "3"}]},
        {"content": "", "embeds": [{"title": "Build", "description": "passed"}]},
    )
    captured, rejected, _ = read("discord", path)
    assert not rejected
    assert [kind.partition(".")[2] for kind in kinds(captured)] == [
        "sent",
        "sent",
        "edited",
        "sent",
        "reacted",
        "joined",
        "left",
        "sent",
    ]
    first, second = captured[0].event.data.attachments or ()
    assert (first.name, first.size, len(captured[0].attached), second.url) == ("a.txt", 1, 1, "https://cdn/b")
    assert captured[0].event.source == "discord:7" and captured[0].event.data.conversation.topic == "#general"
    assert texts(captured)[-1] == "Build passed"


def test_discord_tells_what_is_forwarded_commanded_and_renamed(tmp_path: Path) -> None:
    path = discord(
        tmp_path,
        {
            "reference": {"type": "Forward", "messageId": "5"},
            "forwardedMessage": {"content": "from there", "attachments": [{"url": "https://cdn/b", "fileName": "b"}]},
        },
        {"type": "20", "embeds": [{"title": "Poll", "fields": [{"name": "yes", "value": "3"}]}]},
        {"type": "8"},
        {"type": "ChannelNameChange", "content": "Changed the channel name: Crew"},
        {"type": "ChannelNameChange", "content": "Changed the channel name."},
        {"type": "ThreadCreated", "content": "Started a thread."},
        {"type": "ChannelPinnedMessage", "content": "Pinned a message."},
        {"content": "", "stickers": [{"name": "Wave"}]},
        {"content": "x", "reactions": [{"emoji": {"name": "👍"}, "count": 3, "users": [{"id": "2"}]}]},
    )
    captured, rejected, reading = read("discord", path)
    assert not rejected
    assert texts(captured) == ["[forwarded] from there", "Poll\nyes: 3", "[Wave]", "x"]
    first = captured[0].event.data
    assert (
        first.message and first.message.in_reply_to is None and [each.name for each in first.attachments or ()] == ["b"]
    )
    assert [each.event.data.topic for each in captured if each.event.type == "conversation.topic.changed"] == ["Crew"]
    kinds_left_out = ("8", "ChannelNameChange", "ThreadCreated", "ChannelPinnedMessage")
    assert reading.ignored == {
        "reactions without who gave them": 2,
        **{f"{each} of Discord": 1 for each in kinds_left_out},
    }


# Telegram


@pytest.mark.counted("telegram")
def test_telegram_messages_are_there_once() -> None:
    raw = json.loads(TELEGRAM[0].read_text())["messages"]
    captured, rejected, reading = read("telegram", TELEGRAM[0], Options(zone="America/Argentina/Buenos_Aires"))
    said = [each for each in raw if each["type"] == "message"]
    assert not rejected
    assert [each.event.data.message.id for each in captured if each.event.type == "message.sent"] == [  # type: ignore[union-attr]
        str(each["id"]) for each in said
    ]
    assert texts(captured)[:2] == ["https://google.com 👀", "hello world"]
    assert captured[0].event.time.isoformat() == "2019-07-12T16:55:32-03:00", "local time of the zone given"
    assert not reading.marks, "the zone was given"
    captured, _, reading = read("telegram", TELEGRAM[0])
    unzoned = [str(each["id"]) for each in raw if "date_unixtime" not in each and each["type"] == "message"]
    marked = [each.event for each in captured if "zone=UTC" in (each.event.archiverguessed or "")]
    assert [each.data.message.id for each in marked if each.type == "message.sent"] == unzoned  # type: ignore[union-attr]
    photos = [each for captured_ in captured for each in captured_.event.data.attachments or ()]
    assert [each.name for each in photos] == ["photo (not in the export)"] * sum("photo" in each for each in said)
    places = {each.event.data.conversation.id for each in captured}
    assert places == {"user300000000 700000000"}, "the account's own numbers need its name"


def telegram(tmp_path: Path, *messages: Any, **chat: Any) -> Path:
    said = [
        {"id": n, "type": "message", "date_unixtime": str(1_700_000_000 + n), "from": "Ann", "from_id": "user1"} | each
        for n, each in enumerate(messages, 1)
    ]
    return write(
        tmp_path / "result.json", {"name": "Team", "type": "private_supergroup", "id": 5} | chat | {"messages": said}
    )


def test_telegram_groups_files_polls_and_service_lines(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "p.jpg").write_bytes(b"jpg")
    path = telegram(
        tmp_path,
        {"text": "a", "photo": "photos/p.jpg"},
        {
            "text": ["see ", {"type": "text_link", "text": "this", "href": "https://x.org"}],
            "reply_to_message_id": 1,
            "forwarded_from": "Bob",
        },
        {
            "text": "c",
            "edited_unixtime": "1700000900",
            "reactions": [
                {
                    "type": "emoji",
                    "emoji": "❤",
                    "count": 2,
                    "recent": [{"from_id": "user2", "date": "2024-01-01T00:00:00"}],
                }
            ],
        },
        {"type": "service", "action": "invite_members", "actor": "Ann", "actor_id": "user1", "members": ["Ann", "New"]},
        {"text": "", "poll": {"question": "Lunch?", "answers": [{"text": "yes"}, {"text": "no"}]}},
        {"type": "service", "action": "edit_group_title", "title": "Other", "actor": "Ann", "actor_id": "user1"},
        {"type": "service", "action": "pin_message"},
        {"text": "../..", "file": "../../../etc/passwd"},
    )
    captured, rejected, reading = read("telegram", path)
    assert not rejected
    assert [kind.partition(".")[2] for kind in kinds(captured)] == [
        *("sent", "sent", "sent", "edited", "reacted", "joined", "joined", "sent", "opened", "topic.changed", "sent")
    ]
    assert captured[0].attached and not captured[-1].attached
    assert texts(captured)[1] == "[forwarded from Bob] see this (https://x.org)"
    assert [each.event.data.subject.address for each in captured[5:7] if each.event.data.subject] == ["user1", "New"]
    assert reading.ignored == {"pin_message of Telegram": 1, "reactions without who gave them": 1}
    assert captured[0].event.data.conversation.id == "5"


def test_telegram_tells_the_result_of_a_poll_that_was_closed(tmp_path: Path) -> None:
    asked = {
        "question": "Lunch?",
        "total_voters": 3,
        "answers": [{"text": "yes", "voters": 2}, {"text": "no", "voters": 1}],
    }
    path = telegram(
        tmp_path,
        {"text": "", "poll": asked | {"closed": False}},
        {"text": "", "poll": asked | {"closed": True}},
        {
            "text": "",
            "poll": {"question": "Tea?", "closed": True, "answers": [{"text": "yes", "voters": 1}, {"text": "?"}]},
        },
    )
    captured, rejected, reading = read("telegram", path)
    assert not rejected and reading.ignored == {"votes in polls that are open": 3}
    polls = [(each.event, each.event.data.poll) for each in captured if each.event.data.poll]
    assert [event.id for event, _ in polls] == [
        "5/1/poll",
        "5/2/poll",
        "5/2/poll/closed",
        "5/3/poll",
        "5/3/poll/closed",
    ]
    closed = [(poll.tally, poll.options) for event, poll in polls if event.type == "poll.closed" and poll]
    assert closed == [((2, 1), ("yes", "no")), (None, ("yes", "?"))]
    assert [event.archiverguessed for event, _ in polls] == [None, None, "closed", None, "closed"]
    assert sorted(captured, key=order) == captured, "what is closed comes behind what is asked"


def test_telegram_accounts_have_many_chats(tmp_path: Path) -> None:
    chat = {
        "type": "personal_chat",
        "id": 2,
        "name": "Bob",
        "messages": [{"id": 1, "type": "message", "date_unixtime": "1700000000", "from_id": "user2", "text": "hi"}],
    }
    whole = {
        "personal_information": {"user_id": 1},
        "chats": {"about": "x", "list": [chat, chat | {"id": 3}]},
        "left_chats": {"list": [chat | {"id": 4, "type": "private_group"}]},
    }
    captured, _, _ = read("telegram", write(tmp_path / "result.json", whole))
    assert [each.event.data.conversation.id for each in captured] == ["user1 2", "user1 3", "user1 4"]


def test_telegram_tells_all_that_a_message_shows_and_who_was_there_from_the_start(tmp_path: Path) -> None:
    path = telegram(
        tmp_path,
        {"type": "service", "action": "create_group", "title": "Team", "members": ["Ann", "Bo"], "actor_id": "user1"},
        {"location_information": {"latitude": 52.5, "longitude": 13.25}, "text": ""},
        {"place_name": "Café", "address": "Main St 1", "location_information": {"latitude": 1, "longitude": 2}},
        {"contact_information": {"first_name": "Zoë", "last_name": "", "phone_number": "+49 30 555"}, "text": ""},
        {"game_title": "Chess", "text": "play"},
        {"invoice_information": {"title": "Fee", "description": "2024", "amount": 500, "currency": "EUR"}},
        {"text": "x", "reactions": [{"type": "emoji", "emoji": "❤", "count": 5, "recent": [{"from_id": "user2"}]}]},
        {"type": "service", "action": "group_call", "actor_id": "user1", "duration": 60},
        *({"type": "service", "action": each} for each in ("topic_created", "edit_group_photo", "pin_message")),
    )
    captured, rejected, reading = read("telegram", path)
    assert not rejected
    assert [kind.partition(".")[2] for kind in kinds(captured)] == [
        *("started", "joined", "joined", *["sent"] * 6, "reacted", "started", "ended")
    ]
    assert texts(captured) == [
        *("[location: 52.5, 13.25]", "[location: Café, Main St 1, 1.0, 2.0]", "[contact: Zoë, +49 30 555]"),
        *("play\n[game: Chess]", "[invoice: Fee, 2024]", "x"),
    ]
    assert captured[-1].time - captured[-2].time == 60_000_000
    assert reading.ignored == {
        "reactions without who gave them": 4,
        **{f"{each} of Telegram": 1 for each in ("topic_created", "edit_group_photo", "pin_message")},
    }


# Instagram and Messenger


@pytest.mark.counted("meta")
def test_metas_sample_is_read_whole() -> None:
    raw = json.loads(META.read_text())["messages"]
    captured, rejected, reading = read("meta", META)
    assert not rejected and not reading.ignored
    assert texts(captured) == [mended(each["content"]) for each in reversed(raw)]


def test_meta_messages_are_told_oldest_first_and_mended(tmp_path: Path) -> None:
    garbled = "Zoë 👍".encode().decode("latin-1")
    messages = [
        {"sender_name": garbled, "timestamp_ms": 1_700_000_002_000, "content": "b"},
        {
            "sender_name": "Ann",
            "timestamp_ms": 1_700_000_001_000,
            "content": "a",
            "reactions": [{"reaction": garbled, "actor": garbled}],
        },
        {"sender_name": "Ann", "timestamp_ms": 1_700_000_001_000, "content": "a"},
        {
            "sender_name": "Ann",
            "timestamp_ms": 1_700_000_000_000,
            "is_unsent": True,
            "photos": [{"uri": "messages/inbox/c/photos/1.jpg"}],
        },
    ]
    folder = tmp_path / "your_instagram_activity" / "messages" / "inbox" / "c"
    (folder / "photos").mkdir(parents=True)
    (folder / "photos" / "1.jpg").write_bytes(b"jpg")
    thread = {
        "participants": [{"name": "Ann"}, {"name": garbled}],
        "title": garbled,
        "thread_path": "inbox/c",
        "messages": messages,
    }
    write(folder / "message_1.json", thread)
    (document,) = recognise((tmp_path,)).found["meta"]
    reading = Reading(RECEIVED)
    found = list(IMPORTERS["meta"].read(document, Options(), reading))
    captured = [each for each in found if isinstance(each, Captured)]
    rejected = len(found) - len(captured)
    assert not rejected
    assert [kind.partition(".")[2] for kind in kinds(captured)] == [
        "sent",
        "retracted",
        "sent",
        "sent",
        "reacted",
        "sent",
    ]
    assert captured[0].attached
    assert captured[-1].event.data.actor is not None and captured[-1].event.data.actor.address == "Zoë 👍"
    assert {each.event.source for each in captured} == {"instagram:instagram"}
    assert len({each.event.id for each in captured}) == 6, "two equal ones are two"


def test_meta_tells_who_came_and_when_reactions_were_given(tmp_path: Path) -> None:
    messages = [
        {"type": "Unsubscribe", "users": [{"name": "Bo"}], "content": "Ann removed Bo"},
        {"type": "Subscribe", "users": [{"name": "Bo"}, {"name": "Cy"}], "content": "Ann added Bo and Cy"},
        {"content": "x", "reactions": [{"reaction": "❤", "actor": "Bo", "timestamp": 1_700_000_009}]},
    ]
    made = [{"sender_name": "Ann", "timestamp_ms": 1_700_000_000_000 - n} | each for n, each in enumerate(messages)]
    people = [{"name": each} for each in ("Ann", "Bo", "Cy")]
    captured, _, _ = read("meta", write(tmp_path / "message_1.json", {"participants": people, "messages": made}))
    assert [kind.partition(".")[2] for kind in kinds(captured)] == ["sent", "reacted", "joined", "joined", "left"]
    assert [each.event.data.subject.address for each in captured if each.event.data.subject] == ["Bo", "Cy", "Bo"]
    assert captured[1].time == 1_700_000_009_000_000 and captured[1].event.archiverguessed is None


def test_encrypted_chats_of_messenger(tmp_path: Path) -> None:
    """As Messenger's own download of them has it: other names, one file a chat, media beside it."""
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "1.jpeg").write_bytes(b"jpg")
    first = {"senderName": "Ann", "timestamp": 1_700_000_000_000, "type": "text", "text": "Grüße", "isUnsent": False}
    messages = [
        first | {"media": [], "reactions": [{"actor": "Zoë", "reaction": "❤"}]},
        first | {"type": "media", "text": "", "media": [{"uri": "./media/1.jpeg"}], "timestamp": 1_700_000_001_000},
        first | {"type": "media", "text": "", "media": [{"uri": "Failed to download media"}], "senderName": "Zoë"},
        first | {"text": "oops", "isUnsent": True, "timestamp": 1_700_000_002_000},
    ]
    path = tmp_path / "Zoë_40.json"
    write(path, {"participants": ["Ann", "Zoë"], "threadName": "Zoë_40", "messages": messages})
    (document,) = recognise((tmp_path,)).found["meta"]
    reading = Reading(RECEIVED)
    found = [each for each in IMPORTERS["meta"].read(document, Options(), reading) if isinstance(each, Captured)]
    events = [each.event for each in found]
    told = sorted((each.type.partition(".")[2], each.data.actor.address) for each in events if each.data.actor)
    assert told == [("reacted", "Zoë"), ("retracted", "Ann"), *[("sent", "Ann")] * 3, ("sent", "Zoë")]
    assert "Grüße" in texts(found)
    files = {each.name: bool(e.attached) for e in found for each in e.event.data.attachments or ()}
    assert files == {"1.jpeg": True, "Failed to download media": False}
    places = {(each.event.source, each.event.data.conversation.id, each.event.data.conversation.kind) for each in found}
    assert places == {("messenger:messenger", "Zoë_40", "im")}


@given(st.text(max_size=20))
def test_text_that_was_garbled_is_mended_and_other_text_stays(text: str) -> None:
    assert mended(text.encode().decode("latin-1")) == text


# Any JSON

KEYS = st.sampled_from(
    [
        "id",
        "type",
        "timestamp",
        "author",
        "text",
        "from",
        "from_id",
        "date_unixtime",
        "sender_name",
        "timestamp_ms",
        "content",
        "reactions",
        "name",
        "photos",
        "members",
        "action",
    ]
)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["message", "service", "Default", "2024-01-01T00:00:00Z", ""])
)
ANY = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=12
)


@pytest.mark.parametrize("name", ["discord", "telegram", "meta"])
@given(
    messages=st.lists(ANY, max_size=3),
    head=st.dictionaries(
        st.sampled_from(["channel", "guild", "id", "type", "name", "participants", "chats"]), ANY, max_size=4
    ),
)
def test_any_json_is_events_or_rejected(
    name: str, messages: list[Any], head: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.getbasetemp() / f"{name}.json", head | {"messages": messages})
    read(name, path)


@given(ANY)
def test_any_text_of_telegram_is_text(value: Any) -> None:
    assert isinstance(plain(value), str)
