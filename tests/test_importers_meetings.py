"""Transcripts and chats of meetings: WebVTT, Zoom's chat.txt, Jigasi's JSON."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from contracts.importer import FIXTURES, RECEIVED, ImporterContract
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import Captured, Rejected
from archiver.exceptions import UsageError
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.meetings.zoom import line_of
from archiver.importers.recognising import document_at, guess

MEETINGS = FIXTURES / "meetings"
GRAPH = MEETINGS / "graph"
ZOOM_VTT = MEETINGS / "GMT20240131-150012_Recording.transcript.vtt"
SAVED = MEETINGS / "2024-01-31 16.00.12 Weekly 91234567890" / "meeting_saved_chat.txt"
NIGHT = MEETINGS / "Night 2024-01-31.txt"
TAIPEI = Options(date="2024-01-31T16:00", zone="Asia/Taipei")


class TestWebVtt(ImporterContract):
    importer = IMPORTERS["webvtt"]
    samples = (
        (GRAPH / "content.vtt", Options(date="2021-09-17T06:09:24")),
        (ZOOM_VTT, Options()),
        *((MEETINGS / "captions" / f"{name}.vtt", TAIPEI) for name in ("comments", "cue_tags", "using_identifiers")),
    )


class TestZoomChat(ImporterContract):
    importer = IMPORTERS["zoomchat"]
    samples = (
        (MEETINGS / "GMT20240131-150012_RecordingnewChat.txt", Options()),
        (SAVED, Options(zone="Europe/Berlin", owner="ann@example.org")),
        (NIGHT, Options()),
    )


class TestJigasi(ImporterContract):
    importer = IMPORTERS["jigasi"]
    samples = ((MEETINGS / "jigasi.json", Options()),)


def read(
    name: str,
    path: Path,
    options: Options = Options(),  # noqa: B008
) -> tuple[list[Captured], list[Rejected], Reading]:
    reading = Reading(RECEIVED)
    found = list(IMPORTERS[name].read(document_at(path), options, reading))
    captured = [each for each in found if isinstance(each, Captured)]
    return captured, [each for each in found if isinstance(each, Rejected)], reading


def said(captured: list[Captured]) -> list[tuple[str, str, str]]:
    """Time of day, who, what."""
    found = []
    for each in captured:
        data = each.event.data
        text = data.text if data.text is not None else data.message.text if data.message else None
        found.append((f"{each.event.time:%H:%M:%S}", data.actor.address if data.actor else "", text or ""))
    return found


# WebVTT.


@pytest.mark.counted("webvtt")
@pytest.mark.parametrize("path", sorted((MEETINGS / "captions").glob("*.vtt")), ids=lambda path: path.stem)
def test_every_cue_of_real_captions_is_there_once(path: Path) -> None:
    arrows = path.read_bytes().count(b"-->")
    captured, rejected, _ = read("webvtt", path, TAIPEI)
    if path.stem == "invalid":  # no WEBVTT before it
        assert (len(captured), len(rejected)) == (0, 1)
    else:
        assert len(captured) + len(rejected) == arrows
        assert len(rejected) == (path.stem == "invalid_timeframe")
    assert all("<" not in text for _, _, text in said(captured))


def test_the_start_stands_beside_what_graph_gives() -> None:
    (cue,), rejected, _ = read("webvtt", GRAPH / "content.vtt")
    assert not rejected
    assert cue.event.time.isoformat() == "2021-09-17T06:09:24.896804+00:00"
    assert cue.event.data.until is not None
    assert (cue.event.data.until - cue.event.time).total_seconds() == 5.32
    assert cue.event.data.actor is not None and cue.event.data.actor.name == "User Name"


def test_zooms_speakers_stand_before_a_colon() -> None:
    captured, _, reading = read("webvtt", ZOOM_VTT)
    assert said(captured) == [
        ("15:00:15", "Ann Example", "Good afternoon: shall we begin?"),
        ("15:00:17", "Bob & Co", "Yes."),
        ("15:00:19", "Bob & Co", "Yes."),
        ("15:00:20", "", "(music)"),
    ]
    assert captured[0].event.data.conversation.kind == "conference"
    assert reading.marks == Counter({"speaker": 1})


@pytest.mark.parametrize(
    ("name", "header", "options", "start", "guessed"),
    [
        ("x.vtt", "", Options(date="2024-07-01T10:30", zone="Europe/Berlin"), "2024-07-01T08:30:00", None),
        ("x.vtt", "", Options(date="2024-07-01T10:30+05:00"), "2024-07-01T05:30:00", None),
        ("x.vtt", "", Options(date="2024-07-01"), "2024-07-01T00:00:00", "zone=UTC; start-day"),
        ("x.vtt", "NOTE start 2024-07-01T10:30:00Z\n\n", Options(zone="Asia/Taipei"), "2024-07-01T10:30:00", None),
        ("GMT20240701-103000_Recording.cc.vtt", "", Options(zone="Asia/Taipei"), "2024-07-01T10:30:00", None),
        (
            "Sync-20240701_103000-Meeting Recording.vtt",
            "",
            Options(zone="Asia/Taipei"),
            "2024-07-01T02:30:00",
            "start-of-name",
        ),
        ("Sync-20240701_103000UTC-Meeting Recording.vtt", "", Options(zone="Asia/Taipei"), "2024-07-01T10:30:00", None),
        (
            "2024-07-01 10.30.00 Sync 123/audio_transcript.vtt",
            "",
            Options(zone="UTC"),
            "2024-07-01T10:30:00",
            "start-of-name",
        ),
        ("Sync 2024-07-01.vtt", "", Options(), "2024-07-01T00:00:00", "zone=UTC; start-day"),
    ],
)
def test_when_it_began(
    name: str, header: str, options: Options, start: str, guessed: str | None, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"WEBVTT\n\n{header}00:00.000 --> 00:01.000\n<v Ann>hi</v>\n")
    (cue,), rejected, reading = read("webvtt", path, options)
    assert not rejected
    assert cue.event.time.isoformat() == f"{start}+00:00"
    assert cue.event.archiverguessed == guessed
    assert dict(reading.marks) == ({guessed: 1} if guessed else {})


def test_a_start_nobody_tells_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "x.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nhi\n")
    _, (rejected,), _ = read("webvtt", tmp_path / "x.vtt")
    assert "--date" in rejected.reason
    with pytest.raises(UsageError):
        read("webvtt", tmp_path / "x.vtt", Options(date="yesterday"))


def test_voices_metadata_odd_times_and_two_speakers(tmp_path: Path) -> None:
    own = {
        "startDateTime": "2024-07-01T10:30:05Z",
        "endDateTime": "2024-07-01T10:30:06Z",
        "speakerName": "Dan",
        "spokenText": "hallo",
        "spokenLanguage": "de-de",
    }
    (tmp_path / "x.vtt").write_text(
        "WEBVTT\n\n-0:0:1.5 --> 0:0:2,25 align:left\n<v.loud Ann &amp; Eve>one <i>two</i></v> <v Bob>a &lt; b\n\n"
        f"00:00.000 --> 00:00.000\n{json.dumps(own)}\n\nSTYLE\n::cue {{}}\n\nleft over\n\n00:05.000 --> 00:06.000\n\n"
    )
    captured, rejected, reading = read("webvtt", tmp_path / "x.vtt", Options(date="2024-07-01T10:30"))
    assert said(captured) == [
        ("10:29:58", "Ann & Eve", "one two"),
        ("10:29:58", "Bob", "a < b"),
        ("10:30:05", "Dan", "hallo"),
    ]
    assert captured[2].event.data.language == "de-de"
    assert [each.reason for each in rejected] == ["text without a time"]
    assert reading.ignored == Counter({"cues without words": 1})


def test_two_meetings_of_one_name_keep_their_cues_apart() -> None:
    first, _, _ = read("webvtt", GRAPH / "content.vtt", Options(date="2024-01-01T10:00"))
    second, _, _ = read("webvtt", GRAPH / "content.vtt", Options(date="2024-01-02T10:00"))
    assert first[0].event.id != second[0].event.id
    assert first[0].event.data.conversation.session != second[0].event.data.conversation.session


@given(
    st.lists(st.sampled_from([b"WEBVTT", b"", b"1", b"00:01.000 --> 00:02.000", b"<v A>x", b"\xff", b"{}", b"NOTE"]))
)
def test_any_captions_are_events_or_rejected(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.vtt"
    path.write_bytes(b"WEBVTT\n\n" + b"\n".join(lines))
    captured, rejected, reading = read("webvtt", path, Options(date="2024-07-01"))
    arrows = sum(b"-->" in line for line in lines)
    assert len(captured) + len(rejected) + sum(reading.ignored.values()) >= arrows


# Zoom's chat.


@pytest.mark.counted("zoomchat")
def test_a_saved_chat_and_its_whisper() -> None:
    captured, rejected, reading = read("zoomchat", SAVED, Options(zone="Europe/Berlin"))
    assert not rejected
    assert len(captured) == len(re.findall(rb"^\d\d:\d\d:\d\d", SAVED.read_bytes(), re.MULTILINE))
    assert said(captured) == [
        ("15:00:40", "Ann Example", "Good afternoon\nall"),
        ("15:01:02", "Bob", 'Reacted to "Good afternoon..." with 👍'),
        ("15:01:30", "Bob", "can you hear me?"),
        ("15:01:30", "Bob", "1:1 is at 17:00"),
    ]
    to = [each.event.data.message.to for each in captured if each.event.data.message]
    assert [[who.address for who in each] if each else None for each in to] == [None, None, ["Ann Example"], None]
    assert captured[0].event.data.conversation.topic == "Weekly 91234567890"
    assert dict(reading.marks) == {"day-of-name": 4}


def test_old_forms_other_languages_and_midnight() -> None:
    captured, _, _ = read("zoomchat", NIGHT)
    assert said(captured) == [
        ("23:58:00", "Ann Example", "first"),
        ("23:59:30", "Bob", "zweite"),
        ("00:01:00", "Carol", "third"),
        ("00:01:05", "Ann Example", "fourth"),
    ]
    assert [each.event.time.day for each in captured] == [31, 31, 1, 1]
    to = [each.event.data.message.to for each in captured if each.event.data.message]
    assert [bool(each) for each in to] == [False, False, True, False]
    always = "zone=UTC; day-of-name"
    marks = [always, always, f"{always}; next-day", f"{always}; next-day; recipients"]
    assert [each.event.archiverguessed for each in captured] == marks


def test_a_cloud_recordings_chat_counts_from_its_start() -> None:
    captured, _, _ = read("zoomchat", MEETINGS / "GMT20240131-150012_RecordingnewChat.txt")
    assert said(captured) == [("15:00:16", "Ann Example", "hello"), ("15:01:22", "Bob", "two lines\nof text")]


def test_a_whisper_to_somebody_who_also_speaks_is_one_without_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "2024-01-31.txt"
    path.write_text("10:00:00 From A to B : psst\n10:00:01 From B : what?\n")
    captured, _, _ = read("zoomchat", path)
    assert captured[0].event.data.message is not None
    assert [who.address for who in captured[0].event.data.message.to or ()] == ["B"]


def test_a_longer_chat_and_one_elsewhere_keep_the_identities(tmp_path: Path) -> None:
    path = tmp_path / SAVED.parent.name / "chat.txt"
    path.parent.mkdir()
    whole = SAVED.read_bytes()
    path.write_bytes(whole + whole)
    once = [each.event.id for each in read("zoomchat", SAVED)[0]]
    twice = [each.event.id for each in read("zoomchat", path)[0]]
    assert twice[: len(once)] == once and len(set(twice)) == 2 * len(once)


@pytest.mark.parametrize(
    "text", ["10:00 <a> hi", "10:00:00 -!- a has joined #c", "10:00:00 hello", "10:00:05 <a>  b  c  d: e"]
)
def test_other_lines_are_no_chat_of_zooms(text: str) -> None:
    assert line_of(text) is None


def test_a_line_made_to_be_slow_is_not() -> None:
    for text in ("10:00:00 a" + "  a" * 20_000, "10:00:00 From " + "to " * 20_000, "10:00:00\t" + ":" * 60_000):
        line_of(text)


@given(st.text(alphabet=st.sampled_from("0:1\t Fromt(A)\n\r"), max_size=200))
def test_any_chat_is_events_or_rejected(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "2024-01-31.txt"
    path.write_text("10:00:00 From A : x\n" + text)
    captured, rejected, _ = read("zoomchat", path)
    assert captured or rejected


# Jigasi.


@pytest.mark.counted("jigasi")
def test_a_transcript_of_jigasi_is_read_whole() -> None:
    raw = json.loads((MEETINGS / "jigasi.json").read_text())
    spoken = {each["message_id"] for each in raw["events"] if each["event"] == "SPEECH"}
    captured, rejected, reading = read("jigasi", MEETINGS / "jigasi.json")
    types = Counter(each.event.type for each in captured)
    assert not rejected
    assert types["speech.transcribed"] == len(spoken)
    assert types["participant.joined"] == types["participant.left"] == 1
    (speech,) = (each.event for each in captured if each.event.type == "speech.transcribed")
    assert speech.data.text == "good afternoon" and speech.data.language == "en-US"
    assert speech.source == "jitsi:meet.example.org" and speech.data.conversation.id == "standup"
    people = captured[0].event.data.conversation.participants
    assert people is not None and [each.address for each in people] == ["ann@example.org"]
    assert reading.ignored == Counter({"results that later ones replaced": 1, "RAISE_HAND of Jigasi": 1})


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["event", "timestamp", "participant", "transcript", "message_id"]),
            st.none() | st.integers() | st.sampled_from(["SPEECH", "JOIN", "x"]) | st.lists(st.none(), max_size=1),
        ),
        max_size=3,
    )
)
def test_any_transcript_is_events_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, events: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps({"room_name": "r", "start_time": "2024-01-01T00:00:00Z", "events": events}))
    captured, rejected, reading = read("jigasi", path)
    assert len(captured) + len(rejected) + sum(reading.ignored.values()) >= len(events)


def test_each_is_known_by_its_look(tmp_path: Path) -> None:
    copy = shutil.copy(SAVED, tmp_path / "notes.txt")
    assert guess(document_at(Path(copy))) is IMPORTERS["zoomchat"]
    assert guess(document_at(GRAPH / "callTranscript.json")) is None


def test_a_file_is_the_same_meeting_wherever_it_was_put(tmp_path: Path) -> None:
    for name, path in (("webvtt", ZOOM_VTT), ("zoomchat", MEETINGS / "GMT20240131-150012_RecordingnewChat.txt")):
        (tmp_path / "Downloads").mkdir(exist_ok=True)
        copy = Path(shutil.copy(path, tmp_path / "Downloads"))
        assert [each.body for each in read(name, copy)[0]] == [each.body for each in read(name, path)[0]]
