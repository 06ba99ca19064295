"""Pidgin's and Adium's logs: real ones counted, days, names, notices of rooms, pictures."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from contracts.importer import FIXTURES, RECEIVED, ImporterContract
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import Captured, Event, Rejected
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.recognising import document_at

SYNCED = FIXTURES / "copyleft" / "chatlogsync"
PIDGIN = sorted((SYNCED / "pidgin").rglob("*.html"))
ADIUM = sorted((SYNCED / "adium").rglob("*.xml"))


def samples(paths: list[Path]) -> tuple[tuple[Path, Options], ...]:
    """The folder where pictures lie beside the log."""
    return tuple((path.parent if list(path.parent.glob("*.png")) else path, Options()) for path in paths)


OLDER = FIXTURES / "adium" / "AIM.ann"
OWN = "notices of Pidgin's own"


class TestPidgin(ImporterContract):
    importer = IMPORTERS["pidgin"]
    samples = samples(PIDGIN)


class TestAdium(ImporterContract):
    importer = IMPORTERS["adium"]
    samples = (*samples(ADIUM), (OLDER, Options(zone="America/New_York")))


def read(name: str, path: Path, options: Options | None = None) -> tuple[list[Event], list[Rejected], Reading]:
    reading = Reading(RECEIVED)
    found = list(IMPORTERS[name].read(document_at(path), options or Options(), reading))
    captured = [each.event for each in found if isinstance(each, Captured)]
    return captured, [each for each in found if isinstance(each, Rejected)], reading


@pytest.mark.counted("pidgin")
@pytest.mark.parametrize("path", PIDGIN, ids=lambda path: path.parent.name[:12])
def test_every_line_of_a_real_pidgin_log_is_there_once(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if '<font size="2">(' in line]
    said = [line for line in lines if re.search(r":</b></font>", line)]
    events, rejected, reading = read("pidgin", path)
    assert not rejected
    assert Counter(each.type for each in events)["message.sent"] == len(said)
    strange = [line for line in lines if " system message" in line]
    assert reading.ignored[f"{OWN} that aren't understood"] == len(strange)
    assert len(events) + reading.ignored[OWN] + len(strange) == len(lines)


@pytest.mark.counted("adium")
@pytest.mark.parametrize("path", ADIUM, ids=lambda path: path.name[:12])
def test_every_message_of_a_real_adium_log_is_there_once(path: Path) -> None:
    raw = path.read_text()
    events, rejected, reading = read("adium", path)
    assert not rejected
    sent = [each for each in events if each.type == "message.sent"]
    assert len(sent) == len(re.findall("<message ", raw))
    assert len(events) + sum(reading.ignored.values()) == len(re.findall("<(?:message|event|status) ", raw))
    assert {each.data.actor.address for each in sent} == set(re.findall('<message [^>]*sender="([^"]*)"', raw))  # type: ignore[union-attr]


def test_a_pidgin_log_over_three_days() -> None:
    (path,) = (each for each in PIDGIN if each.parent.name == "aimdest")
    events, _, reading = read("pidgin", path)
    days = {each.data.message.text: each.time.isoformat() for each in events if each.data.message}
    assert days["regular message"] == "2011-12-09T01:24:01-08:00"
    assert days["delayed message dest"] == "2011-12-09T01:24:03-08:00"
    assert days["alternate message"] == "2011-12-10T01:24:43-08:00"
    assert days["3rd day message"] == "2011-12-11T01:13:43-08:00"
    assert dict(reading.marks) == {"next-day": 3}
    assert [each.time.day for each in events if each.archiverguessed] == [10, 10, 11]
    assert [each.name for event in events for each in event.data.attachments or ()] == ["image.png", "image2.png"]
    assert {each.data.conversation.id for each in events} == {"aimdest aimsource"}
    assert {each.data.actor.address for each in events} == {"aimdest", "aimsource"}  # type: ignore[union-attr]


def test_both_programs_tell_who_came_into_a_room() -> None:
    for name, paths in (("pidgin", PIDGIN), ("adium", ADIUM)):
        (path,) = (each for each in paths if "private-chat" in each.parent.name)
        events, _, _ = read(name, path)
        told = [(each.type, each.data.actor.address, each.data.message and each.data.message.text) for each in events]  # type: ignore[union-attr]
        assert told == [
            ("participant.joined", "A_gmail.com", None),
            ("participant.joined", "B_gmail.com", None),
            ("message.sent", "A_gmail.com", "test"),
            ("message.sent", "source@gmail.com", "what"),
            ("message.sent", "B_gmail.com", "test2"),
        ]


ROOM = "2011-08-20.205921-0700PDT.html"


@pytest.mark.parametrize(
    ("notice", "told"),
    [
        ("Ann [ann@x.org] entered the room.", ("joined", "Ann", None, None)),
        ("Ann hat den Raum verlassen (bis bald).", ("left", "Ann", None, "bis bald")),
        ("Ann heißt jetzt Anna", ("renamed", "Ann", "Anna", None)),
        ("Ann ha entrado en la sala.", ("joined", "Ann", None, None)),
        ("Ann a quitté le salon", ("left", "Ann", None, None)),
        ("Ann è ora conosciuto come Anna", ("renamed", "Ann", "Anna", None)),
        ("Użytkownik Ann wszedł do pokoju.", ("joined", "Ann", None, None)),
        ("Ann вышел из комнаты (пока).", ("left", "Ann", None, "пока")),
        ("Ann 进入了聊天室。", ("joined", "Ann", None, None)),
        ("Ann さんがチャットルームから退室しました (じゃあ)。", ("left", "Ann", None, "じゃあ")),
        ("Ann şimdi Anna olarak biliniyor", ("renamed", "Ann", "Anna", None)),
        ("Ann has signed off.", OWN),
        ("Ann hat sich abgemeldet.", f"{OWN} that aren't understood"),
    ],
)
def test_notices_of_rooms_in_many_languages(
    notice: str, told: tuple[str, str, str | None, str | None] | str, tmp_path: Path
) -> None:
    (tmp_path / "team.chat").mkdir()
    path = tmp_path / "team.chat" / ROOM
    path.write_text(f'<html><body><h3>x</h3>\n<font size="2">(20:59:21)</font><b> {notice}</b><br/>\n')
    events, rejected, reading = read("pidgin", path)
    data = [(each.type.partition(".")[2], each.data) for each in events]
    found = [(kind, d.actor and d.actor.address, d.subject and d.subject.address, d.reason) for kind, d in data]
    assert not rejected
    assert (found, dict(reading.ignored)) == (([], {told: 1}) if isinstance(told, str) else ([told], {}))


HEADER = "Conversation with bob@x.org at Fri 09 Dec 2011 23:59:00 on ann@x.org/Home (jabber)\n"


def log(tmp_path: Path, *lines: str, name: str = "2011-12-09.235900+0100CET.txt") -> Path:
    path = tmp_path / name
    path.write_text(HEADER + "".join(f"{line}\n" for line in lines))
    return path


def test_a_text_log(tmp_path: Path) -> None:
    path = log(
        tmp_path,
        "(11:59:01 PM) ann: one",
        "more: of it",
        "(12:00:01 AM) Bobby: <b>two</b>",
        "(12:00:02 AM) ***ann waves",
        "(12:00:03 AM) Bobby has signed off.",
        "(25:00:00) ann: late",
    )
    events, rejected, reading = read("pidgin", path)
    assert [(each.data.actor.address, each.data.message.text, f"{each.time:%d %H}") for each in events] == [  # type: ignore[union-attr]
        ("ann@x.org", "one\nmore: of it", "09 23"),
        ("bob@x.org", "<b>two</b>", "10 00"),
        ("ann@x.org", "/me waves", "10 00"),
    ]
    assert [each.position for each in rejected] == [f"{path}:7"]
    assert reading.ignored == {"notices of Pidgin's own": 1}


def test_lines_of_no_message_and_too_many_of_one_are_kept(tmp_path: Path) -> None:
    long = ["word " * 100] * 2_200
    path = log(tmp_path, "who?", "(11:59:01 PM) ann: one", *long, "(11:59:02 PM) ann: two")
    events, rejected, _ = read("pidgin", path)
    assert [each.data.message and each.data.message.text for each in events] == ["two"]
    reasons = Counter(each.reason.split(":")[0] for each in rejected)
    assert reasons.pop("before the first message") == 1
    assert sum(len(each.content) + 1 for each in rejected) > sum(len(line) for line in long)
    assert reasons["a message of too many lines"] > 50 and len(reasons) == 2, "itself is over the limit of an event"


def test_equal_lines_of_one_second_are_told_apart_and_a_longer_log_gives_the_same(tmp_path: Path) -> None:
    lines = ["(23:59:01) ann: ha", "(23:59:01) ann: ha", "(23:59:02) bob: ?"]
    first, _, _ = read("pidgin", log(tmp_path, *lines[:2]))
    longer, _, _ = read("pidgin", log(tmp_path, *lines))
    assert [each.id for each in longer][:2] == [each.id for each in first] and len({each.id for each in longer}) == 3


def test_adiums_older_logs() -> None:
    (path,) = OLDER.rglob("*.AdiumHTMLLog")
    raw = path.read_text()
    events, rejected, reading = read("adium", path, Options(zone="America/New_York"))
    assert not rejected and len(events) == len(re.findall('class="(?:send|receive)"', raw))
    assert sum(reading.ignored.values()) == raw.count('class="status"') and set(reading.ignored) == {
        "notices of Adium's own"
    }
    told = [(f"{each.time:%d %H:%M %z}", each.data.actor.address, each.data.message.text) for each in events]  # type: ignore[union-attr]
    assert told == [
        ("23 11:58 -0400", "bob", "are you there?"),
        ("23 12:00 -0400", "ann", "yes, <here>"),
        ("23 12:00 -0400", "ann", "two\nlines"),
        ("23 12:01 -0400", "bob", "see http://example.org/a ☕"),
    ]
    assert {each.source for each in events} == {"adium:aim"} and not reading.marks
    assert {each.data.conversation.id for each in events} == {"ann bob"}


def test_a_room_and_what_is_damaged_in_adiums_older_logs(tmp_path: Path) -> None:
    def entry(kind: str, clock: str, name: str) -> str:
        said = (
            f'<span class="timestamp">{clock}</span> <span class="sender">{name}: </span><pre class="message">x</pre>'
        )
        return f'<div class="{kind}">{said}</div>\n'

    path = tmp_path / "team (2006|09|23).AdiumHTMLLog"
    said = [entry("receive", "13:00:00", "bob"), entry("receive", "13:00:01", "cy"), entry("send", "13:00:02", "me")]
    bad = [entry("send", "25:00:00", "me"), '<div class="receive">nothing</div>\n', '<div class="status">no</div>\n']
    path.write_text("".join([*said, *bad]))
    events, rejected, reading = read("adium", path)
    assert [(each.data.actor and each.data.actor.address, each.time.hour) for each in events] == [
        *(("bob", 13), ("cy", 13), ("me", 13))
    ]
    assert {each.data.conversation.kind for each in events} == {"group"}
    assert [each.reason for each in rejected] == ["no time", "no entry of a log", "no entry of a log"]
    assert reading.marks == {"zone=UTC": 3}


def test_adium_of_another_name_or_with_a_dtd_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.chatlog"
    for content in ("<chat xmlns='other'/>", "<!DOCTYPE chat><chat xmlns='http://purl.org/net/ulf/ns/0.4-02'/>"):
        path.write_text(content)
        events, rejected, _ = read("adium", path)
        assert not events and len(rejected) == 1


def test_a_picture_is_a_file_beside_the_log_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "boss").mkdir()
    (tmp_path / "boss" / "secret.png").write_bytes(b"x")
    (tmp_path / "eve").mkdir()
    (tmp_path / "eve" / "secret.txt").write_bytes(b"x")
    (tmp_path / "eve" / "p.png").write_bytes(b"x")
    path = tmp_path / "eve" / "2011-12-09.235900+0100CET.html"
    images = "".join(f'<img src="{each}"/>' for each in ("../boss/secret.png", "secret.txt", "http://x/p.png", "p.png"))
    path.write_text(
        f'<h3>{HEADER}</h3>\n<font color="#A82F2F"><font size="2">(23:59:01)</font> <b>Eve:</b></font>{images}'
    )
    (event,), _, _ = read("pidgin", path)
    assert [each.name for each in event.data.attachments or ()] == ["p.png"]


STAMP = st.sampled_from(["(23:59:01)", "(1:00:00 PM)", "(2011-99-99 01:00:00)", "(99:99:99)", "(", ""])


@pytest.mark.parametrize("form", ["html", "txt"])
@given(lines=st.lists(st.tuples(STAMP, st.text(max_size=30)), max_size=6))
def test_any_line_is_an_event_or_rejected_or_counted(
    form: str, lines: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    made = [
        f'<font size="2">{stamp}</font> <b>{rest}' if form == "html" else f"{stamp} {rest}" for stamp, rest in lines
    ]
    path = folder / f"2011-12-09.235900+0100CET.{form}"
    path.write_text(HEADER + "\n".join(made), "utf-8", "replace")
    events, rejected, reading = read("pidgin", path)
    assert events or rejected or reading.ignored


@given(st.text(max_size=60))
def test_any_entry_of_adiums_is_an_event_or_rejected(tmp_path_factory: pytest.TempPathFactory, words: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.chatlog"
    inner = f"<message sender='a' time='2020-01-01T00:00:00Z'>{words}</message><message time='x'/>"
    path.write_text(f"<chat xmlns='http://purl.org/net/ulf/ns/0.4-02'>{inner}</chat>", "utf-8", "replace")
    events, rejected, _ = read("adium", path)
    assert rejected and len(events) <= 1
