"""BigBlueButton recordings: real ones counted independently, people, times, polls, text, and hostile XML."""

from __future__ import annotations

import re
import tracemalloc
from collections import Counter
from pathlib import Path
from time import perf_counter

import pytest
from contracts.importer import RECEIVED, ImporterContract
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import Captured, Data, Message, Rejected
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.bigbluebutton.text import plain
from archiver.importers.recognising import document_at

BBB = Path(__file__).parent.parent / "fixtures" / "copyleft" / "bbb"
SAMPLE = BBB / "bbb-events-sample.xml"
POLLS = BBB / "events-2.5-polls.xml"
LAYOUT = BBB / "raw-2011-1b199e88" / "events.xml"
TWICE = BBB / "raw-2011-5e772bb3" / "events.xml"
WEBCAM = BBB / "raw-2011-misc" / "webcam-events.xml"
AUDIO = BBB / "raw-2011-misc" / "good_audio_events.xml"

MEETING = "a" * 40 + "-1600000000000"


class TestBigBlueButton(ImporterContract):
    importer = IMPORTERS["bigbluebutton"]
    samples = (
        *((path, Options()) for path in (SAMPLE, POLLS, LAYOUT, TWICE, WEBCAM)),
        (AUDIO, Options(date="2011-02-02")),
    )


def take(path: Path, options: Options | None = None) -> tuple[list[Captured | Rejected], Counter[str]]:
    ignored: Counter[str] = Counter()
    reader = IMPORTERS["bigbluebutton"].read(document_at(path), options or Options(), Reading(RECEIVED, ignored))
    return list(reader), ignored


def read(path: Path, options: Options | None = None) -> list[Captured]:
    found, _ = take(path, options)
    assert not [each.reason for each in found if isinstance(each, Rejected)]
    return [each for each in found if isinstance(each, Captured)]


def recording(tmp_path: Path, *events: str, root: str = f'<recording meeting_id="{MEETING}">') -> Path:
    path = tmp_path / "events.xml"
    tag = root[1:].split()[0].rstrip(">")
    path.write_text(f"{root}<meeting externalId='room' name='Weekly'/>{''.join(events)}</{tag}>")
    return path


def event(name: str, /, at: int = 0, module: str = "X", **texts: str) -> str:
    children = "".join(f"<{tag}><![CDATA[{text}]]></{tag}>" for tag, text in texts.items())
    return f'<event timestamp="{1_600_000_000_000 + at}" module="{module}" eventname="{name}">{children}</event>'


def join(user: str, person: str, name: str = "", at: int = 0) -> str:
    return event("ParticipantJoinEvent", at, userId=user, externalUserId=person, name=name or person)


def kinds(events: list[Captured]) -> Counter[str]:
    return Counter(each.event.type for each in events)


def messages(events: list[Captured]) -> list[tuple[str, str | None]]:
    return [
        (each.event.data.actor.address if each.event.data.actor else "", each.event.data.message.text)
        for each in events
        if each.event.data.message is not None
    ]


# Real recordings, counted by patterns of the test's own.


def count(path: Path, name: str) -> int:
    return len(re.findall(rf'eventname="{name}"', path.read_text()))


@pytest.mark.counted("bigbluebutton")
@pytest.mark.parametrize(
    ("path", "events", "chats", "polls"),
    [(SAMPLE, 120, 2, 2), (POLLS, 114, 0, 4), (LAYOUT, 120, 3, 0), (TWICE, 38, 0, 0)],
)
def test_a_real_recording_is_read_whole(path: Path, events: int, chats: int, polls: int) -> None:
    assert count(path, r"\w+") == events
    assert count(path, "PublicChatEvent") == chats
    assert count(path, "PollStartedRecordEvent") == polls
    found, ignored = take(path)
    captured = [each for each in found if isinstance(each, Captured)]
    assert len(captured) == len(found)
    seen = kinds(captured)
    assert (seen["message.sent"], seen["poll.opened"], seen["poll.closed"]) == (chats, polls, polls)
    assert seen["poll.voted"] == count(path, "UserRespondedToPollRecordEvent")
    assert seen["participant.joined"] == count(path, "ParticipantJoinEvent")
    assert seen["conversation.ended"] == count(path, "EndAndKickAllEvent")
    assert len(captured) - seen["conversation.started"] + ignored.total() == events


def test_a_recording_of_2_0_counts_from_the_start_its_id_tells() -> None:
    events = read(SAMPLE)
    assert messages(events) == [("gl-lusgsxhnlutw", "Hi!"), ("w_j1hyfnqifpwl", "Hello!")]
    hi = next(each for each in events if each.event.type == "message.sent")
    assert hi.time == (1_534_433_961_829 + 1_034_118_419 - 1_034_088_841) * 1000
    place = hi.event.data.conversation
    assert (place.id, place.kind, place.topic) == (
        "ae5e285551844c61c757f4c8f233850a2e0b16bf",
        "conference",
        "Home Room",
    )
    assert place.session == "3107946ecc201837635e07aeb86d785e9fe46507-1534433961829"
    assert hi.event.source == "bbb:bigbluebutton"


def test_a_recording_of_2_5_tells_utc() -> None:
    events = read(POLLS)
    assert events[0].event.type == "conversation.started"
    assert events[0].time == 1_684_351_990_846_000
    assert events[-1].event.type == "conversation.ended"
    assert events[-1].time == 1_684_352_115_160_000
    polls = [each.event.data.poll for each in events if each.event.data.poll is not None]
    assert polls[0].options == ("True", "False")
    assert [poll.choice for poll in polls if poll.choice] == ["True", "B", "Abstention", "richard"]
    assert [poll.tally for poll in polls if poll.tally][1] == {"A": 0, "B": 1, "C": 0, "D": 0}
    assert polls[-1].question == "what is your name?"


def test_a_recording_of_2011_learns_names_late() -> None:
    events = read(LAYOUT)
    assert messages(events) == [("1", "hello"), ("1", "how are you?"), ("1", "hi fred")]
    slides = [each.event.data.title for each in events if each.event.type == "slide.shown"]
    assert slides[:2] == ["aSimple-Layout", "aSimple-Layout (1)"]
    assert events[0].time == 1_296_681_157_242_000


def test_two_meetings_in_one_recording_are_two_sessions() -> None:
    events = read(TWICE)
    sessions = [each.event.data.conversation.session for each in events]
    assert len(set(sessions)) == 2
    assert sessions == sorted(sessions, key=lambda session: (len(session or ""), session))
    assert kinds(events)["conversation.started"] == 2
    assert {each.event.data.conversation.topic for each in events} == {"Fred3's meeting"}


def test_the_servers_count_needs_a_day() -> None:
    (rejected,), _ = take(AUDIO)
    assert isinstance(rejected, Rejected)
    assert "say the day with --date" in rejected.reason
    events = read(AUDIO, Options(date="2011-02-02"))
    assert f"{events[0].event.time:%Y-%m-%d}" == "2011-02-02"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bbb-events-empty.xml", "the file is empty"),
        ("bbb-events-no_key.xml", "no recording of BigBlueButton: its root is <error>"),
        ("bbb-events-sample_no_events.xml", "the recording holds no events"),
    ],
)
def test_a_file_without_a_meeting_says_so(name: str, reason: str) -> None:
    (rejected,), _ = take(BBB / name)
    assert isinstance(rejected, Rejected)
    assert rejected.reason == reason


# People.


def test_a_person_of_two_connections_leaves_with_the_last(tmp_path: Path) -> None:
    path = recording(
        tmp_path,
        join("w1", "ann"),
        join("w2", "ann", at=10),
        event("ParticipantLeftEvent", 20, userId="w1"),
        event("PublicChatEvent", 30, senderId="w2", sender="Ann", message="still here"),
        event("ParticipantLeftEvent", 40, module="VOICE", participant="w2"),
        event("ParticipantLeftEvent", 50, userId="w2"),
        join("w3", "ann", at=60),
    )
    events = read(path)
    assert [each.event.type.split(".")[1] for each in events] == ["started", "joined", "sent", "left", "joined"]
    assert {each.event.data.actor.address for each in events if each.event.data.actor} == {"ann"}


def test_the_source_and_the_room_can_be_told(tmp_path: Path) -> None:
    path = recording(tmp_path, join("w1", "ann"))
    assert read(path, Options(network="Meet.Example.ORG"))[0].event.source == "bbb:meet.example.org"
    assert read(path, Options(source="x:y"))[0].event.source == "x:y"
    assert read(path)[0].event.data.conversation.id == "room"


def test_a_meeting_starts_when_its_id_says_and_before_its_first_event(tmp_path: Path) -> None:
    started, joined = read(recording(tmp_path, join("w1", "ann", at=5)))
    assert (started.event.type, started.time) == ("conversation.started", 1_600_000_000_000_000)
    at_once, joined = read(recording(tmp_path, join("w1", "ann", at=0)))
    assert at_once.time == joined.time
    assert (at_once.event.sequence or "") < (joined.event.sequence or "")


def test_events_out_of_order_keep_their_own_times(tmp_path: Path) -> None:
    events = read(recording(tmp_path, join("w1", "ann", at=50), join("w2", "bob", at=10)))
    assert [each.time for each in events[1:]] == [1_600_000_000_050_000, 1_600_000_000_010_000]


# Polls, chat of later versions.


def test_a_secret_poll_keeps_who_answered(tmp_path: Path) -> None:
    answers = '[{"id":0,"key":"Yes"},{"id":1,"key":"No"}]'
    path = recording(
        tmp_path,
        join("w1", "ann"),
        event("PollStartedRecordEvent", pollId="p", answers=answers, secretPoll="true", userId="w1"),
        event("UserRespondedToPollRecordEvent", pollId="p", userId="w1", answerId="1"),
        event("PollPublishedRecordEvent", pollId="p", answers='[{"key":"Yes","numVotes":"many"}]'),
        event("PollStoppedRecordEvent", pollId="p"),
    )
    opened, voted, closed = [each.event for each in read(path) if each.event.type.startswith("poll")]
    assert opened.data.actor is not None
    assert voted.data.actor is None
    assert (voted.data.poll and voted.data.poll.choice) == "No"
    assert (closed.data.poll and closed.data.poll.tally) == {"Yes": 0}


def test_chat_that_is_answered_edited_taken_back_and_liked(tmp_path: Path) -> None:
    path = recording(
        tmp_path,
        join("w1", "ann"),
        event("PublicChatEvent", senderId="w1", sender="ann", messageId="m1", message="one"),
        event("PublicChatEvent", senderId="w1", sender="ann", messageId="m2", message="two", replyToMessageId="m1"),
        event("EditPublicChatMessageRecordEvent", messageId="m1", message="ONE"),
        event("SendPublicChatMessageReactionRecordEvent", senderId="w1", messageId="m1", reactionEmoji="\U0001f44d"),
        event("DeletePublicChatMessageReactionRecordEvent", senderId="w1", messageId="m1", reactionEmoji="\U0001f44d"),
        event("DeletePublicChatMessageRecordEvent", messageId="m2"),
    )
    found: list[tuple[str, Data]] = [(each.event.type, each.event.data) for each in read(path)][2:]
    assert [type_ for type_, _ in found] == [
        "message.sent",
        "message.sent",
        "message.edited",
        "message.reacted",
        "message.reacted",
        "message.retracted",
    ]
    assert found[1][1].message == Message(id="m2", text="two", in_reply_to="m1")
    assert [data.removed for _, data in found] == [False, False, False, False, True, False]


@pytest.mark.parametrize(
    ("recorded", "text"),
    [
        ("\n      Hi!\n    ", "Hi!"),
        ("a &lt;b&gt; &amp; c", "a <b> & c"),
        ('see <a href="event:http://x.org/"><u>http://x.org/</u></a> now', "see http://x.org/ now"),
        ('see <a target="_blank" href="http://x.org/?a=1&amp;b=2">this</a>', "see this (http://x.org/?a=1&b=2)"),
        ("<a href='http://x.org/'></a>", "http://x.org/"),
        ("one<br/>two<BR>three", "one\ntwo\nthree"),
        ("if a<b and b>c then <whatever>", "if a<b and b>c then <whatever>"),
        ("<a href=http://x.org/>open", "open"),
        ("</a> closed", "closed"),
        ("", ""),
    ],
)
def test_chat_is_plain_text(recorded: str, text: str) -> None:
    assert plain(recorded) == text


@given(st.text(st.sampled_from("<>a/ bhref='\"&;lt#"), max_size=80))
def test_plain_text_never_fails(recorded: str) -> None:
    plain(recorded)


@pytest.mark.parametrize("piece", ["<a href='x'>", "<", "<a ", "<a x=y", " x=y", "</a>", "&lt;", "<b>"])
def test_plain_text_takes_time_in_proportion(piece: str) -> None:
    started = perf_counter()
    plain(piece * (500_000 // len(piece)))
    assert perf_counter() - started < 3


# Hostile and broken files.


def test_what_stands_before_the_break_counts(tmp_path: Path) -> None:
    path = tmp_path / "events.xml"
    whole = recording(tmp_path, join("w1", "ann"), join("w2", "bob")).read_text()
    path.write_text(whole[: whole.index("</event>") + 20])
    found, _ = take(path)
    assert [type(each) for each in found] == [Captured, Captured, Rejected]
    assert "not well-formed" in found[-1].reason  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        (
            "<event timestamp='1600000000001' eventname='PublicChatEvent'><message>" + "x" * 3_000_000,
            "an element of over",
        ),
        ("<event " + "x" * 3_000_000, "an element of over"),
        ("<event timestamp='1600000000001'>" + "<a>" * 5000, "nested over 100 deep"),
        ("<event timestamp='1600000000001'>" + "<a/>" * 2_000_000, "an element of over"),
    ],
)
def test_no_element_grows_without_bound(inside: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "events.xml"
    path.write_text(f"<recording meeting_id='{MEETING}'>{join('w1', 'ann')}{inside}")
    tracemalloc.start()
    found, _ = take(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [type(each) for each in found] == [Captured, Captured, Rejected]
    assert reason in found[-1].reason  # type: ignore[union-attr]
    assert peak < 12_000_000


def test_an_event_without_a_time_is_rejected_alone(tmp_path: Path) -> None:
    path = recording(
        tmp_path,
        join("w1", "ann"),
        '<event module="X" eventname="PublicChatEvent"><message>when?</message></event>',
        '<event timestamp="soon" eventname="PublicChatEvent"/>',
        event("PublicChatEvent", timestampUTC="9" * 30, message="never"),
        join("w2", "bob"),
    )
    found, _ = take(path)
    assert [type(each) for each in found] == [Captured, Captured, Rejected, Rejected, Rejected, Captured]
    assert isinstance(found[2], Rejected)
    assert b"when?" in found[2].content
    assert found[2].position.endswith(":event 2")


def test_a_long_meeting_takes_constant_memory(tmp_path: Path) -> None:
    path = recording(tmp_path, *(event("WhiteboardCursorMoveEvent", n, x="1", y="2") for n in range(8_000)))
    tracemalloc.start()
    found, ignored = take(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(found), ignored["WhiteboardCursorMoveEvent"]) == (1, 8_000)
    assert peak < 2_000_000
