"""IRC logs: real ones counted independently, the clock, identities, charsets, and each dialect by example."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, time
from pathlib import Path

import pytest
from contracts.importer import RECEIVED, ImporterContract
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import SECOND, Captured, Rejected, microseconds
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.irc.clock import Clock
from archiver.importers.recognising import document_at

FIXTURES = Path(__file__).parent.parent / "fixtures"
UBUNTU = Options(network="libera", channel="#ubuntu")
DAYS = ("2004-11-15_03", "2015-01-20_04", "2016-11-02_00", "2016-12-19_20")
CLIENTS = (
    "2005-01-08-test1.log",
    "2005-01-09-test2.log",
    "2009-01-15-dircproxy.log",
    "2011-01-16-hybrid-charset.log",
    "irclog2html-sample-mixed-charset.log",
)


class TestIrc(ImporterContract):
    importer = IMPORTERS["irc"]
    samples = (
        *((FIXTURES / "irc" / f"{day}.raw.txt", UBUNTU) for day in DAYS),
        (FIXTURES / "irc" / "ubuntu-meeting.0.ascii.txt", Options(network="libera")),
        *((FIXTURES / "copyleft" / "irc" / name, Options(channel="#pov")) for name in CLIENTS),
    )
    golden_samples = samples[len(DAYS) :]


def read(path: Path, options: Options = UBUNTU) -> list[Captured]:
    """Everything in a file of which nothing is rejected."""
    found = list(IMPORTERS["irc"].read(document_at(path), options, Reading(RECEIVED)))
    assert not [each.reason for each in found if isinstance(each, Rejected)]
    return [each for each in found if isinstance(each, Captured)]


def log(tmp_path: Path, text: str, name: str = "2020-02-20.log", options: Options = UBUNTU) -> list[Captured]:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return read(path, options)


def text_of(captured: Captured) -> str:
    message = captured.event.data.message
    return "" if message is None or message.text is None else message.text


def actions(events: list[Captured]) -> int:
    return sum(text_of(each).startswith("/me") for each in events)


def clock_of(captured: Captured) -> str:
    return f"{captured.event.time:%Y-%m-%d %H:%M:%S}"


# Real logs, counted by patterns of the test's own.


def count(path: Path, pattern: bytes) -> int:
    return len(re.findall(pattern, path.read_bytes(), re.MULTILINE))


@pytest.mark.counted("irc")
@pytest.mark.parametrize(
    ("day", "messages", "acts", "system"),
    [
        ("2004-11-15_03", 1077, 0, 173),
        ("2015-01-20_04", 195, 0, 5),
        ("2016-11-02_00", 1975, 9, 105),
        ("2016-12-19_20", 1181, 5, 64),
    ],
)
def test_a_real_day_is_read_whole(day: str, messages: int, acts: int, system: int) -> None:
    path = FIXTURES / "irc" / f"{day}.raw.txt"
    assert count(path, rb"^\[\d\d:\d\d\] <") == messages
    assert count(path, rb"^\[\d\d:\d\d\]  \* ") == acts
    assert count(path, rb"^===") == system
    events = read(path)
    kinds = Counter(each.event.type for each in events)
    joined = count(path, rb"^=== .*\]  has joined #")
    left = count(path, rb"^=== .*\]  has left #")
    renamed = count(path, rb"^=== \S+ is now known as \S+ *$")
    assert kinds == Counter(
        {
            "participant.joined": joined,
            "participant.left": left,
            "participant.renamed": renamed,
            # What else the earliest logs have after `===` are actions.
            "message.sent": messages + acts + system - joined - left - renamed,
        }
    )
    assert actions(events) - count(path, rb"^\[\d\d:\d\d\] <[^>]+> /me") == acts + system - joined - left - renamed
    assert len(events) == count(path, rb"^.")


def test_every_message_of_a_real_day_says_what_the_log_says() -> None:
    path = FIXTURES / "irc" / "2016-12-19_20.raw.txt"
    written = re.findall(r"^\[(\d\d:\d\d)\] <([^>]+)> ?(.*)$", path.read_text(), re.MULTILINE)
    said = [each for each in read(path) if each.event.type == "message.sent" and not text_of(each).startswith("/me")]
    read_back = [(f"{e.event.time:%H:%M}", e.event.data.actor.address, text_of(e)) for e in said]  # type: ignore[union-attr]
    assert read_back == [
        (at, nick, re.sub(r"[\x02\x03\x0f\x16\x1d\x1f]", "", text).rstrip()) for at, nick, text in written
    ]
    assert {each.event.time.date().isoformat() for each in said} == {"2016-12-19"}


def test_the_meeting_log_of_two_days() -> None:
    path = FIXTURES / "irc" / "ubuntu-meeting.0.ascii.txt"
    events = read(path, Options(network="libera"))
    assert {each.event.source for each in events} == {"irc:libera/#ubuntu-meeting"}
    assert len(events) == 1200
    assert actions(events) == count(path, rb"\]  \* ")
    assert Counter(each.event.type for each in events)["participant.renamed"] == count(path, rb" === ")
    assert (clock_of(events[0]), clock_of(events[-1])) == ("2010-11-08 13:21:00", "2010-11-09 19:26:00")


def test_the_logs_of_other_clients() -> None:
    folder = FIXTURES / "copyleft" / "irc"
    messages = 0
    for name in CLIENTS:
        path = folder / name
        events = read(path, Options(channel="#pov"))
        sent = [each for each in events if each.event.type == "message.sent"]
        assert len(sent) - actions(sent) == count(path, rb"^[^<]*[\] ] ?<")
        messages += len(sent) - actions(sent)
    assert messages == 278


def test_charsets_are_told_line_by_line() -> None:
    path = FIXTURES / "copyleft" / "irc" / "2011-01-16-hybrid-charset.log"
    first, second = read(path, Options(channel="#pov", charset="Windows-1252"))
    assert text_of(first) == "aišku :)"
    assert first.event.archivercharset == "windows-1252"
    assert first.cleaned == ()
    assert "lietuviškai" in text_of(second)
    assert second.event.archivercharset is None


def test_bytes_no_charset_knows_are_cleaned(tmp_path: Path) -> None:
    path = tmp_path / "2020-02-20.log"
    path.write_bytes(b"[10:00] <a> \x81\xff\n")
    (event,) = read(path)
    assert event.cleaned == ("undecodable bytes",)
    assert event.original == b"[10:00] <a> \x81\xff"
    assert text_of(event) == "\ufffd\u00ff"


# Source, channel, day.


def test_the_channel_is_found_in_the_log_the_name_or_the_folder(tmp_path: Path) -> None:
    line = "[10:00] <a> hi\n"
    joined = "=== b [b@host] has joined #Found\n"
    for name, text, source in (
        ("2020-02-20.log", line + joined, "irc:irc/#found"),
        ("#named_2020-02-20.log", line + joined, "irc:irc/#named"),
        ("2020/02/20/#ubuntu.txt", line, "irc:irc/#ubuntu"),
        ("freenode/#folder/2020-02-20.log", line, "irc:freenode/#folder"),
    ):
        events = log(tmp_path, text, name, Options())
        assert {each.event.source for each in events} == {source}
        assert clock_of(events[0]) == "2020-02-20 10:00:00"
    (event,) = log(tmp_path, line, options=Options(source="mine:x", channel="c"))
    assert (event.event.source, event.event.data.conversation.id) == ("mine:x", "#c")


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("2020-02-20.log", Options(), "say it with --channel"),
        ("today.log", UBUNTU, "say it with --date"),
        ("2020-02-31.log", UBUNTU, "say it with --date"),
    ],
)
def test_what_nothing_tells_is_asked_for(name: str, options: Options, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("[10:00] <a> hi\n")
    (rejected,) = IMPORTERS["irc"].read(document_at(tmp_path / name), options, Reading(RECEIVED))
    assert isinstance(rejected, Rejected)
    assert reason in rejected.reason


def test_a_file_that_is_no_log_is_rejected_once(tmp_path: Path) -> None:
    (tmp_path / "2020-02-20.txt").write_text("1000 1002 -\n1001 1001 -\n")
    (rejected,) = IMPORTERS["irc"].read(document_at(tmp_path / "2020-02-20.txt"), UBUNTU, Reading(RECEIVED))
    assert isinstance(rejected, Rejected)
    assert rejected.reason == "no known form of IRC log"


def test_a_line_of_no_form_is_rejected_and_the_rest_read(tmp_path: Path) -> None:
    path = tmp_path / "2020-02-20.log"
    path.write_text(
        "[10:00] <a> one\nwhat is this\n[25:99] <a> when\n[10:01] <a> two\n" + "[10:02] <a> " + "x" * 70_000
    )
    found = list(IMPORTERS["irc"].read(document_at(path), UBUNTU, Reading(RECEIVED)))
    assert [text_of(each) for each in found if isinstance(each, Captured)] == ["one", "two"]
    assert [each.position.split(":")[1] for each in found if isinstance(each, Rejected)] == ["2", "3", "5"]


# The clock.


def test_midnight_is_a_new_day_and_small_steps_back_are_raised(tmp_path: Path) -> None:
    text = "[22:00] <a> 1\n[21:59] <a> 2\n[23:59] <a> 3\n[00:00] <a> 4\n=== b is now known as c\n[00:01] <a> 5\n"
    events = log(tmp_path, text)
    assert [clock_of(each)[8:16] for each in events] == [
        "20 22:00",
        "20 22:00",
        "20 23:59",
        "21 00:00",
        "21 00:00",
        "21 00:01",
    ]
    assert [each.event.archivertime for each in events] == [None, "2020-02-20T21:59:00", None, None, None, None]


def test_a_twelve_hour_clock_goes_on_after_noon(tmp_path: Path) -> None:
    times = ("11:58", "12:00", "12:59", "01:00", "06:59", "11:59", "12:00", "12:01", "01:00")
    events = log(tmp_path, "".join(f"[{at}] <a> {n}\n" for n, at in enumerate(times)))
    assert [clock_of(each)[8:16] for each in events] == [
        "20 11:58",
        "20 12:00",
        "20 12:59",
        "20 13:00",
        "20 18:59",
        "20 23:59",
        "21 00:00",
        "21 00:01",
        "21 01:00",
    ]


def test_lines_before_the_first_time_take_it(tmp_path: Path) -> None:
    events = log(tmp_path, "=== b is now known as c\n[10:00] <a> hi\n")
    assert [clock_of(each)[11:] for each in events] == ["10:00:00", "10:00:00"]


def test_the_zone_is_the_logs_own(tmp_path: Path) -> None:
    options = Options(channel="#c", zone="Europe/Vilnius")
    events = log(tmp_path, "[10:00] <a> hi\n", "2020-07-01.log", options)
    assert clock_of(events[0]) == "2020-07-01 07:00:00"
    # An hour that comes twice in autumn: raised, never back.
    fall = log(tmp_path, "[03:59] <a> 1\n[03:00] <a> 2\n[04:00] <a> 3\n", "2020-10-25.log", options)
    assert [each.time for each in fall] == sorted(each.time for each in fall)


def test_a_date_to_come_does_not_drag_the_rest_along(tmp_path: Path) -> None:
    text = "2020-02-20T10:00:00 <a> 1\n2999-02-20T10:00:00 <a> 2\n2020-02-20T10:01:00 <a> 3\n"
    events = log(tmp_path, text)
    assert [clock_of(each) for each in events] == [
        "2020-02-20 10:00:00",
        "2020-02-20 10:00:00",
        "2020-02-20 10:01:00",
    ]
    assert events[1].event.archivertime == "2999-02-20T10:00:00"


@given(st.lists(st.tuples(st.integers(0, 23), st.integers(0, 59)), max_size=60))
def test_the_clock_never_goes_back_nor_leaps_over_a_day(times: list[tuple[int, int]]) -> None:
    clock = Clock(datetime(2020, 2, 20), UTC, RECEIVED)
    before = clock.now
    for hour, minute in times:
        clock.set(time(hour, minute))
        assert before <= clock.now <= before + 86_400 * SECOND
        if clock.raised is None:
            assert clock.now % (12 * 3600 * SECOND) == microseconds(
                datetime(1970, 1, 1, hour % 12, minute, tzinfo=UTC)
            ) % (12 * 3600 * SECOND)
        before = clock.now


# Identity.


def test_a_longer_version_and_an_overlapping_one_keep_the_identities(tmp_path: Path) -> None:
    lines = [f"[10:{n // 4:02}] <a> line {n % 3}" for n in range(40)]
    whole = log(tmp_path, "\n".join(lines) + "\n")
    shorter = log(tmp_path, "\n".join(lines[:20]) + "\n", "short/2020-02-20.log")
    later = log(tmp_path, "\n".join(lines[20:]) + "\n", "late/2020-02-20.log")
    crlf = log(tmp_path, "\r\n".join(lines) + "\r\n", "crlf/2020-02-20.log")
    identities = [each.event.id for each in whole]
    assert len(set(identities)) == 40
    assert [each.event.id for each in shorter] == identities[:20]
    assert [each.event.id for each in later] == identities[20:]
    assert [each.event.id for each in crlf] == identities


def test_a_last_line_without_its_end_is_read_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "#c.2024-05-01.log"
    path.write_text("2024-05-01T10:00:00  <ann> hello\n2024-05-01T10:01:00  <bob> hi th")
    half = read(path, Options())
    path.write_text("2024-05-01T10:00:00  <ann> hello\n2024-05-01T10:01:00  <bob> hi there\n")
    whole = read(path, Options())
    assert [each.event.data.message.text for each in half if each.event.data.message] == ["hello", "hi th"]
    assert [each.event.data.message.text for each in whole if each.event.data.message] == ["hello", "hi there"]
    assert half[0].event.id == whole[0].event.id and half[1].event.id != whole[1].event.id, "docs/formats.md says so"


def test_the_same_words_in_one_minute_are_two_events(tmp_path: Path) -> None:
    one, two, three = log(tmp_path, "[10:00] <a> hi\n[10:00] <a> hi\n[10:01] <a> hi\n")
    assert two.event.id == one.event.id + "-2"
    assert three.event.id not in (one.event.id, two.event.id)
    assert (one.event.data.message is not None) and one.event.data.message.id == one.event.id
    assert [one.event.sequence, two.event.sequence] == ["00000001", "00000002"]


# Dialects: what each line becomes.

DIALECTS = {
    "[10:00] <a> hi": "a: hi",
    "[10:00] <@a> hi": "a: hi",
    "[10:00] <\x0304a\x03> \x02bold\x02 \x031,2red\x0f": "a: bold red",
    "[10:00] <g[r] eek> hi": "g[r]eek: hi",
    "[10:00]  * a waves": "a: /me waves",
    "[10:00] * a waves": "a: /me waves",
    "[10:00:01] -a- notice": "a: notice",
    "[10:00] -a:#c- notice": "a: notice",
    "=== a waves and smiles": "a: /me waves and smiles",
    "=== a [a@host]  has joined #c": "a joined",
    "=== Guard] [an [n=Guard] [an@host]  has joined #c": "Guard][an joined",
    '=== a [a@host]  has left #c ["bye]': "a left (bye)",
    "=== a is now known as b": "a renamed b",
    "=== ..[topic/#c:a] : New topic": "a topic New topic",
    "=== mode/#c [+o a]  by ChanServ": "",
    "[10:00] *** Joins: a (a@host)": "a joined",
    "[10:00] *** Parts: a (a@host) (so long)": "a left (so long)",
    "[10:00] *** Quits: a (a@host) (Quit: x)": "a left (Quit: x)",
    "[10:00] *** a is now known as b": "a renamed b",
    "[10:00] *** a was kicked by b (flood)": "b left a (flood)",
    "[10:00] *** a changes topic to 'New topic'": "a topic New topic",
    "[10:00] *** a sets mode: +o b": "",
    "[10:00] a (a@host) joined #c.": "a joined",
    "[10:00] a (a@host) left #c.": "a left",
    "[10:00] a (a@host) left irc: gone": "a left (gone)",
    "[10:00] Nick change: a -> b": "a renamed b",
    "[10:00] Action: a waves": "a: /me waves",
    "[10:00] Topic changed on #c by a!a@host: New topic": "a topic New topic",
    "[10:00] #c: mode change '+o a' by b": "",
    "2020-02-20T10:00:00  <a> hi": "a: hi",
    "2020-02-20T10:00:00  *** a has quit IRC": "a left",
    "2020-02-20T10:00:00  * a waves": "a: /me waves",
    "c 2020-02-20 [10:00:00] <a> hi ": "a: hi",
    "c 2020-02-20 [10:00] -a- notice ": "a: notice",
    "c 2020-02-20 === a is now known as b ": "a renamed b",
    "[20 Feb 10:00] <a!a@host> +hi": "a: hi",
    "[20 Feb 10:00] <a!a@host> --x": "a: -x",
    "[20 Feb 10:00] * a waves": "a: /me waves",
    "[20 Feb 10:00] *** You disconnected": "",
    "2020-02-20 10:00:00\ta\thi": "a: hi",
    "2020-02-20 10:00:00\t@a\thi": "a: hi",
    "2020-02-20 10:00:00\t *\ta waves": "a: /me waves",
    "2020-02-20 10:00:00\t-->\ta (~a@host) has joined #c": "a joined",
    "2020-02-20 10:00:00\t<--\ta (~a@host) has quit (Quit: x)": "a left (Quit: x)",
    "2020-02-20 10:00:00\t--\ta is now known as b": "a renamed b",
    "2020-02-20 10:00:00\t--\tMode #c [+o a] by b": "",
    '2020-02-20 10:00:00\t--\ta has changed topic for #c from "Old" to "New topic"': "a topic New topic",
    "10:00 <@a> hi": "a: hi",
    "10:00 < a> hi": "a: hi",
    "10:00  * a waves": "a: /me waves",
    "10:00 -!- a [~a@host] has joined #c": "a joined",
    "10:00 -!- a [~a@host] has quit [Quit: x]": "a left (Quit: x)",
    "10:00 -!- a was kicked from #c by b [flood]": "b left a (flood)",
    "10:00 -!- a changed the topic of #c to: New topic": "a topic New topic",
    "10:00 -!- mode/#c [+o a] by b": "",
    # ZNC, energymech
    "[10:00:00] *** Quits: a (a@host) (Quit: (bye))": "a left (Quit: (bye))",
    "[10:00:00] *** Parts: a (a@host) ()": "a left",
    '[10:00:00] *** a changes topic to "New topic"': "a topic New topic",
    "[10:00:00] *** a sets mode: +b *!*@host": "",
    "[10:00:00] *** a was kicked by b ()": "b left a",
    # eggdrop
    "[10:00] a (a@host) left #c (so long).": "a left (so long)",
    "[10:00] a kicked from #c by b: flood": "b left a (flood)",
    "[10:00] a (a@host) got netsplit.": "a left (netsplit)",
    "[10:00] a (a@host) got lost in the net-split.": "a left (net-split)",
    "[10:00] a (a@host) returned to #c.": "a joined",
    "[10:00] --- Thu Feb 20 2020": "",
    "[10:00] @#c (+nt) : [m/7 o/2 h/0 v/1 n/4 b/0 e/0 I/0]": "",
    # irssi
    "10:00 -!- a is now known as b": "a renamed b",
    "10:00 -!- a [~a@host] has left #c [bye]": "a left (bye)",
    "10:00 -!- a [~a@host] has left #c []": "a left",
    "10:00 -!- Topic for #c: x": "",
    "10:00 -!- Topic set by a [~a@host] [Thu Feb 20 10:00:00 2020]": "",
    "10:00 -!- Irssi: #c: Total of 5 nicks [1 ops, 0 halfops, 0 voices, 4 normal]": "",
    "10:00 -!- ServerMode/#c [+nt] by irc.example.org": "",
    "10:00 -!- Netsplit a.example.org <-> b.example.org quits: x, y": "",
    "10:00 -a:#c- notice": "a: notice",
    "10:00:05 <+a> hi": "a: hi",
    "10:00 -!- You're now known as b": "",
    # weechat
    "2020-02-20 10:00:00\t<--\ta (~a@host) has left #c (bye)": "a left (bye)",
    "2020-02-20 10:00:00\t<--\ta has kicked b (flood)": "a left b (flood)",
    '2020-02-20 10:00:00\t--\ta (~a@host) has changed topic for #c to "New topic"': "a topic New topic",
    '2020-02-20 10:00:00\t--\tTopic for #c is "x"': "",
    "2020-02-20 10:00:00\t--\tTopic set by a (~a@host) on Thu, 20 Feb 2020 10:00:00": "",
    "2020-02-20 10:00:00\t--\tNotice(a): psst": "a: psst",
    "2020-02-20 10:00:00\t--\tYou are now known as b": "",
    "2020-02-20 10:00:00\t--\tChannel #c: 5 nicks (1 op, 0 voices, 4 normals)": "",
    "2020-02-20 10:00:00\t=!=\tirc: timeout": "",
    "2020-02-20 10:00:00\t-->\ta (Ann Example) (~a@host) has joined #c": "a joined",
    # supybot
    "2020-02-20T10:00:00  *** a <a!~a@host> has joined #c": "a joined",
    "2020-02-20T10:00:00  *** a <a!~a@host> has left #c (bye)": "a left (bye)",
    "2020-02-20T10:00:00  *** a <a!~a@host> has quit IRC (Quit: x)": "a left (Quit: x)",
    "2020-02-20T10:00:00  *** b was kicked by a (flood)": "a left b (flood)",
    '2020-02-20T10:00:00  *** a changes topic to "New topic"': "a topic New topic",
    "2020-02-20T10:00:00  *** a sets mode: +o b": "",
    "2020-02-20T10:00:00  -a- notice": "a: notice",
    "2020-02-20T10:00:00  *** a is now known as b": "a renamed b",
    # dircproxy
    "[20 Feb 10:00] --> a (a@host) has joined #c": "a joined",
    "[20 Feb 10:00] <-- a (a@host) has left #c (bye)": "a left (bye)",
    "[20 Feb 10:00] *** a is now known as b": "a renamed b",
    "[20 Feb 10:00] -a!a@host- notice": "a: notice",
    # Ubuntu
    "=== a [a@host]  has quit [Quit: x]": "a left (Quit: x)",
    "=== b was kicked off #c by a (flood)": "a left b (flood)",
}


def told(captured: Captured) -> str:
    data = captured.event.data
    assert data.actor is not None
    who = data.actor.address
    if data.message is not None:
        return f"{who}: {data.message.text}"
    if data.topic is not None:
        return f"{who} topic {data.topic}"
    subject = f" {data.subject.address}" if data.subject is not None else ""
    return f"{who} {captured.event.type.split('.')[1]}{subject}" + (f" ({data.reason})" if data.reason else "")


@pytest.mark.parametrize("line", DIALECTS)
def test_each_dialect(line: str, tmp_path: Path) -> None:
    path = tmp_path / "2020-02-20.log"
    path.write_text(line + "\n")
    ignored: Counter[str] = Counter()
    found = list(IMPORTERS["irc"].read(document_at(path), Options(channel="#c"), Reading(RECEIVED, ignored)))
    assert not [each for each in found if isinstance(each, Rejected)]
    assert [told(each) for each in found if isinstance(each, Captured)] == ([DIALECTS[line]] if DIALECTS[line] else [])
    assert ignored.total() == (0 if DIALECTS[line] else 1)
    for each in found:
        assert isinstance(each, Captured)
        assert clock_of(each)[:13] in ("2020-02-20 10", "2020-02-20 00")


def test_eggdrop_tells_its_days(tmp_path: Path) -> None:
    text = "[00:00] --- Thu Feb 20 2020\n[10:00] <a> one\n[00:00] --- Sun Feb 23 2020\n[09:00] <a> two\n"
    events = log(tmp_path, text, "eggdrop.log")
    assert [clock_of(each)[8:16] for each in events] == ["20 10:00", "23 09:00"]


def test_irssi_tells_its_days(tmp_path: Path) -> None:
    text = (
        "--- Log opened Mon Feb 17 23:58:00 2020\n23:59 <a> one\n"
        "--- Day changed Tue Feb 18 2020\n00:01 <a> two\n--- Day changed Fri Feb 21 2020\n09:00 <a> three\n"
        "--- Log closed Fri Feb 21 10:00:00 2020\n"
    )
    events = log(tmp_path, text, "irssi.log")
    assert [clock_of(each)[8:16] for each in events] == ["17 23:59", "18 00:01", "21 09:00"]


def test_a_year_is_found_over_new_year(tmp_path: Path) -> None:
    text = "[31 Dec 23:59] <a!a@h> +old\n[01 Jan 00:01] <a!a@h> +new\n"
    events = log(tmp_path, text, "2020-12-30.log")
    assert [clock_of(each)[:10] for each in events] == ["2020-12-31", "2021-01-01"]
