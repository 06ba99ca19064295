"""Each reason of a guess: a file that makes an importer guess so, and what takes the guess away."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC as UTC_ZONE
from pathlib import Path
from typing import NamedTuple

import pytest
from contracts.importer import FIXTURES, RECEIVED
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import GUESSES, Captured, Rejected, guess_mark, guesses_of
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.recognising import document_at, recognise

NIGHT = Options(channel="#c", zone="Europe/Berlin")
UTC = Options(channel="#c", zone="UTC")
TAIPEI = Options(zone="Asia/Taipei")
IMESSAGE = FIXTURES / "copyleft" / "imessage" / "macos" / "chat.db"
CAF = "caf\u00e9".encode("latin-1")
RECORDING = (
    b'<recording meeting_id="a"><event timestamp="5000" module="CHAT" eventname="PublicChatEvent">'
    b"<senderId>w_1</senderId><sender>Ann</sender><message>hi</message></event></recording>"
)
TELEGRAM = {
    "name": "Walk",
    "type": "private_group",
    "id": 5,
    "messages": [
        {
            "id": 1,
            "type": "service",
            "date": "2020-02-20T10:00:00",
            "date_unixtime": "1582192800",
            "actor": "Ann",
            "actor_id": "user1",
            "action": "invite_members",
            "members": ["Bob"],
            "text": "",
        }
    ],
}
POLL = {
    "name": "Walk",
    "type": "private_group",
    "id": 5,
    "messages": [
        {
            "id": 1,
            "type": "message",
            "date": "2020-02-20T10:00:00",
            "date_unixtime": "1582192800",
            "from": "Ann",
            "from_id": "user1",
            "text": "",
            "poll": {"question": "When?", "closed": True, "answers": [{"text": "now", "voters": 2}]},
        }
    ],
}
MAIL = b"From: ann@example.org\nTo: bob@example.org\nSubject: hi\n"


class Case(NamedTuple):
    """`certain` are options with which nothing is guessed."""

    importer: str
    name: str
    content: bytes
    mark: str
    options: Options = Options()
    certain: Options | None = None
    """None where no option says it."""


CASES = (
    Case("irc", "2020-02-20.log", b"2020-02-20T10:00:00 <ann> hi\n", "zone=UTC", Options(channel="#c"), UTC),
    Case("irc", "a.log", b"2020-10-25T02:30:00  <ann> hi\n", "zone-fold", NIGHT, UTC),
    Case("irc", "a.log", b"2020-10-25T02:59:00  <ann> hi\n2020-10-25T02:05:00  <ann> so\n", "second-hour", NIGHT, UTC),
    Case("whatsapp", "a.txt", b"05/06/20, 10:00 - Ann: hi\n", "day-first", UTC),
    Case("whatsapp", "a.txt", b"[03-05-01, 10:00:00] Ann: hi\n", "year-first", UTC),
    Case(
        "irc", "2020-02-20.log", b"10:00 <ann> hi\n", "day-of-name", UTC, Options("#c", zone="UTC", date="2020-02-20")
    ),
    Case("pidgin", "2020-02-31.100000+0000UTC.txt", b"Conversation\n(10:00:00) Ann: hi\n", "day-of-file"),
    Case(
        "irc",
        "2020-02-20.log",
        b"[20 Feb 10:00:00] <ann> hi\n",
        "year-of-name",
        UTC,
        Options("#c", zone="UTC", date="2020-02-20"),
    ),
    Case("irc", "a.log", b"13:00 <ann> hi\n01:00 <ann> so\n", "next-day", Options("#c", zone="UTC", date="2020-02-20")),
    Case("irc", "a.log", b"11:00 <ann> hi\n01:00 <ann> so\n", "half-day", Options("#c", zone="UTC", date="2020-02-20")),
    Case(
        "webvtt",
        "Sync-20240701_103000.vtt",
        b"WEBVTT\n\n00:00.000 --> 00:01.000\n<v Ann>hi</v>\n",
        "start-of-name",
        TAIPEI,
        Options(zone="Asia/Taipei", date="2024-07-01T10:30"),
    ),
    Case(
        "bigbluebutton",
        "events.xml",
        RECORDING,
        "start-day",
        Options(zone="UTC", date="2020-02-20"),
        Options(zone="UTC", date="2020-02-20T10:00"),
    ),
    Case("imessage", str(IMESSAGE), b"", "epoch", Options(owner="a@example.org")),
    Case("mail", "a.eml", MAIL + b"\nhi\n", "sent"),
    Case("mail", "a.eml", b"Received: by x; Thu, 20 Feb 2020 10:00:00 +0000\n" + MAIL + b"\nhi\n", "sent"),
    Case("whatsapp", "a.txt", "25/06/20, 10:00 - Ann: hi \u200e<This message was edited>\n".encode(), "edited", UTC),
    Case("whatsapp", "a.txt", b"25/06/20, 10:00 - Ann: This message was deleted\n", "retracted", UTC),
    Case("rsmf", str(FIXTURES / "rsmf" / "day.rsmf"), b"", "reacted"),
    Case(
        "pidgin",
        "jabber/me@x.example/bob@x.example/2020-02-20.100000+0000UTC.txt",
        b"Conversation\n(10:00:00) Robert: hi\n(10:00:01) bob: yes\n",
        "author",
    ),
    Case("telegram", "result.json", json.dumps(TELEGRAM).encode(), "person"),
    Case("telegram", "result.json", json.dumps(POLL).encode(), "closed"),
    Case(
        "imessage",
        str(IMESSAGE),
        b"",
        "owner=me",
    ),
    Case(
        "zoomchat",
        "chat.txt",
        b"10:00:00 From  Ann  to  Bob : hi\n",
        "recipients",
        Options(zone="UTC", date="2020-02-20"),
    ),
    Case(
        "webvtt",
        "a.vtt",
        b"WEBVTT\n\n00:00.000 --> 00:01.000\n(music)\n",
        "speaker",
        Options(zone="UTC", date="2020-02-20T10:00"),
    ),
    Case("irc", "a.log", b"2020-02-20T10:00:00  <ann> " + CAF + b"\n", "charset=windows-1252", UTC),
    Case("whatsapp", "a.txt", b"25/06/20, 10:00 - Ann: hi\n" + CAF + b"\n", "charset=windows-1252", UTC),
    Case("signal", "a.txt", b"[2020-02-20 10:00] Ann: " + CAF + b"\n", "charset=windows-1252", UTC),
    Case("pidgin", "2020-02-20.100000+0000UTC.txt", b"(10:00:00) Ann: " + CAF + b"\n", "charset=windows-1252"),
    Case(
        "zoomchat",
        "chat.txt",
        b"10:00:00 From  Ann  to  Everyone : " + CAF + b"\n",
        "charset=windows-1252",
        Options(zone="UTC", date="2020-02-20"),
    ),
    Case(
        "webvtt",
        "a.vtt",
        b"WEBVTT\n\n00:00.000 --> 00:01.000\n<v Ann>" + CAF + b"</v>\n",
        "charset=windows-1252",
        Options(zone="UTC", date="2020-02-20T10:00"),
    ),
    Case(
        "mail",
        "a.eml",
        b"Date: Thu, 20 Feb 2020 10:00:00 +0000\n" + MAIL + b"Content-Type: text/plain\n\n" + CAF + b"\n",
        "charset=windows-1252",
    ),
)

TWICE = ("02:10", "02:58", "02:59", "02:05", "02:04", "02:50", "03:10")
"""As clocks in Berlin showed it in the night of 25 October 2020; 02:04 was written late."""
MEANT = ("00:10", "00:58", "00:59", "01:05", "01:05", "01:50", "02:10")
LATE = {"pidgin": "01:04"}
"""Where a line keeps its own time, though it is behind the one before."""
NIGHTS = (
    ("irc", "a.log", "2020-10-25T{}:00  <ann> word"),
    ("whatsapp", "a.txt", "25.10.20, {} - Ann: word"),
    ("zoomchat", "2020-10-25 01.00.00 x/chat.txt", "{}:00 From  Ann  to  Everyone : word"),
    ("pidgin", "2020-10-25.010000CEST.txt", "({}:00) Ann: word"),
)


@pytest.mark.parametrize(("importer", "name", "line"), NIGHTS, ids=[each[0] for each in NIGHTS])
def test_the_night_in_which_an_hour_comes_twice(importer: str, name: str, line: str, tmp_path: Path) -> None:
    """The same words at the same time of day an hour apart are two messages."""
    text = "".join(line.format(each) + "\n" for each in TWICE)
    captured, _ = read(Case(importer, name, text.encode(), ""), NIGHT, tmp_path)
    meant = [LATE.get(importer, each) if n == 4 else each for n, each in enumerate(MEANT)]
    assert [f"{each.event.time.astimezone(UTC_ZONE):%H:%M}" for each in captured] == meant
    assert len({each.event.id for each in captured}) == len(captured)


def test_the_same_words_in_both_hours_are_two(tmp_path: Path) -> None:
    text = b"2020-10-25T02:05:00  <ann> hi\n2020-10-25T02:59:00  <ann> hi\n2020-10-25T02:05:00  <ann> hi\n"
    captured, _ = read(Case("irc", "a.log", text, ""), NIGHT, tmp_path)
    assert len({each.event.id for each in captured}) == 3


LEGACY = [case for case in CASES if case.mark.startswith("charset") and case.importer != "mail"]
"""A mail declares its charset; nobody is asked for it."""


def read(case: Case, options: Options, tmp_path: Path) -> tuple[list[Captured], Reading]:
    path = tmp_path / case.name
    if case.content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(case.content)
    reading = Reading(RECEIVED)
    document = recognise((path,)).found[case.importer][0] if path.is_dir() else document_at(path)
    found = list(IMPORTERS[case.importer].read(document, options, reading))
    assert found and not [each for each in found if isinstance(each, Rejected)], found
    return [each for each in found if isinstance(each, Captured)], reading


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.importer} {case.mark}")
def test_a_guess_is_marked_and_reported(case: Case, tmp_path: Path) -> None:
    captured, reading = read(case, case.options, tmp_path)
    marks = Counter(each.event.archiverguessed for each in captured if each.event.archiverguessed)
    assert case.mark in {part for mark in marks for part in mark.split("; ")}
    assert reading.marks == marks
    reason, _, value = case.mark.partition("=")
    assert GUESSES[reason].format(value=value) in reading.guessed


@pytest.mark.parametrize("case", [each for each in CASES if each.certain], ids=lambda case: case.mark)
def test_said_it_is_no_guess(case: Case, tmp_path: Path) -> None:
    assert case.certain is not None
    captured, reading = read(case, case.certain, tmp_path)
    assert not reading.marks and not any(each.event.archiverguessed for each in captured)


@pytest.mark.parametrize("case", LEGACY, ids=lambda case: case.importer)
def test_a_charset_stands_with_the_text_and_can_be_said(case: Case, tmp_path: Path) -> None:
    captured, _ = read(case, case.options, tmp_path)
    legacy = [each.event for each in captured if each.event.archivercharset]
    assert [event.archivercharset for event in legacy] == ["windows-1252"]
    assert "caf\u00e9" in str(legacy)
    captured, reading = read(case, Options(**{**options_of(case.options), "charset": "cp437"}), tmp_path)
    assert not any("charset" in mark for mark in reading.marks)
    assert [each.event.archivercharset for each in captured if each.event.archivercharset] == ["cp437"]
    assert "caf\u0398" in str([each.event for each in captured])


def options_of(options: Options) -> dict[str, str | None]:
    return {name: getattr(options, name) for name in options.__struct_fields__}


def test_every_reason_has_a_case() -> None:
    assert {each.mark.partition("=")[0] for each in CASES} == set(GUESSES)


MARKS = st.lists(
    st.sampled_from([reason if "{value}" not in told else f"{reason}=a value" for reason, told in GUESSES.items()])
)


@given(st.lists(MARKS))
def test_a_mark_says_all_of_its_parts_once_and_in_order(several: list[list[str]]) -> None:
    marks = [guess_mark(*parts) for parts in several]
    whole = guess_mark(*marks)
    told = guesses_of([whole] if whole else [])
    assert told == guesses_of(filter(None, marks))
    assert list(told) == [
        reason for reason in GUESSES if any(reason == p.partition("=")[0] for m in several for p in m)
    ]
    assert all(values == (("a value",) if "{value}" in GUESSES[reason] else ()) for reason, values in told.items())


@given(st.lists(st.text(), max_size=20))
def test_any_text_can_be_a_mark(marks: list[str]) -> None:
    told = guesses_of(marks)
    assert set(told) <= {*GUESSES, ""}
    assert all(len(values) <= 10 and all(values) for values in told.values())
