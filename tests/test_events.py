"""The event contract: reading, cleaning, refusing, attachments, compression, memory, schema."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from archiver.events import (
    EVENT_LIMIT,
    LINE_LIMIT,
    SECOND,
    Captured,
    Data,
    Event,
    Message,
    Participant,
    Place,
    Rejected,
    capture,
    date_of,
    json_schema,
    lines,
    microseconds,
    moment,
    ndjson,
    open_events,
    read_events,
)
from archiver.exceptions import EventError, UsageError
from archiver.importers.recognising import document_at

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "fixtures"
RECEIVED = 1_800_000_000 * SECOND
TIME = "2024-05-01T10:00:00Z"


def members(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "specversion": "1.0",
        "source": "test:one",
        "id": "e1",
        "type": "message.sent",
        "time": TIME,
        "data": {
            "conversation": {"id": "room", "kind": "group"},
            "actor": {"address": "alice@example.org", "name": "Alice"},
            "message": {"id": "m1", "text": "hello"},
        },
    }
    return {key: value for key, value in {**base, **changes}.items() if value is not None}


def line(**changes: Any) -> bytes:
    return json.dumps(members(**changes)).encode()


def with_attachment(**attachment: Any) -> bytes:
    return line(data={**members()["data"], "attachments": [attachment]})


def read(content: bytes, **options: Any) -> list[Captured | Rejected]:
    return list(read_events(io.BytesIO(content), name="f", received=RECEIVED, **options))


# Sound events.


def test_the_body_is_canonical_and_keeps_what_we_do_not_know() -> None:
    captured = capture(line(tenant="t1"), received=RECEIVED)
    assert json.loads(captured.body) == members(tenant="t1")
    assert list(json.loads(captured.body)) == sorted(members(tenant="t1"))
    assert b": " not in captured.body
    assert capture(captured.body, received=RECEIVED) == captured


def test_a_built_event_and_its_line_are_captured_alike() -> None:
    event = msgspec.json.decode(line(), type=Event)
    built = capture(event, received=RECEIVED)
    assert built == capture(line(), received=RECEIVED)
    assert built.event.specversion == json.loads(built.body)["specversion"] == "1.0"


def test_a_missing_specversion_is_supplied() -> None:
    assert json.loads(capture(line(specversion=None), received=RECEIVED).body)["specversion"] == "1.0"


def test_ndjson_is_read_back_as_it_was_written() -> None:
    events = [capture(line(id=f"e{n}"), received=RECEIVED) for n in range(5)]
    assert read(ndjson(events)) == events


def test_microseconds_and_offsets_are_kept() -> None:
    captured = capture(line(time="2024-05-01T12:00:00.123456+02:00"), received=RECEIVED)
    assert captured.time == microseconds(moment(captured.time)) == 1_714_557_600_123_456
    assert b"+02:00" in captured.body


texts = st.text(st.characters(codec=None), max_size=20)


@given(texts, texts, texts, texts)
@settings(max_examples=examples(150))
def test_whatever_text_a_built_event_holds_it_is_captured_clean(id: str, text: str, name: str, topic: str) -> None:
    data = Data(
        conversation=Place(id="r", kind="group", topic=topic),
        actor=Participant(address="a", name=name),
        message=Message(id="m", text=text),
    )
    captured = capture(
        Event(source="s", id="x" + id, type="message.sent", time=moment(SECOND), data=data), received=RECEIVED
    )
    body = captured.body.decode()
    bad = any(c == "\0" or "\ud800" <= c <= "\udfff" for c in id + text + name + topic)
    assert bool(captured.cleaned) == bad
    assert captured.event.data.message is not None
    assert captured.event.data.message.text == "".join(
        "\ufffd" if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in text
    )
    assert capture(body, received=RECEIVED).body == captured.body


@given(st.binary(max_size=300))
@settings(max_examples=examples(150))
def test_no_bytes_crash_the_reader(content: bytes) -> None:
    found = read(content)
    assert len(found) <= content.count(b"\n") + 1


@given(st.integers(0, 400), st.integers(0, 255))
@settings(max_examples=examples(150))
def test_one_changed_byte_never_crashes_and_never_loses_the_next_line(at: int, byte: int) -> None:
    broken = bytearray(line())
    broken[at % len(broken)] = byte
    found = read(bytes(broken) + b"\n" + line(id="next"))
    assert isinstance(found[-1], Captured)
    assert found[-1].event.id == "next"


# Bad input: fixtures/events/bad_input.ndjson, one ill a line.

CLEANED = {
    "not-utf8": "not UTF-8",
    "lone-surrogate": "lone surrogate",
    "nul-escape": "NUL",
    "raw-nul": "NUL",
    "time-negative": "time out of range",
    "time-before-1970": "time out of range",
    "time-far": "time out of range",
    "time-year-99999": "time out of range",
    "time-february-30": "time out of range",
    "time-leap-second": "leap second",
}
REJECTED = {
    "time-no-offset": "A time without its offset from UTC",
    "time-number": "Expected `datetime`, got `int`",
    "time-words": "Invalid RFC3339",
    "huge-number": "Number out of range",
    "nan": "malformed",
    "wrong-type": "Expected `str`, got `int` - at `$.data.conversation.id`",
    "wrong-kind": "Invalid enum value 'crowd'",
    "no-conversation": "missing required field `conversation`",
    "no-message": "message.sent without data.message.id",
    "no-text": "message.sent without data.message.text",
    "no-poll": "poll.opened without data.poll.id",
    "empty-source": "length >= 1",
    "deep": "nested too deeply",
    "[1,2,3]": "Expected `object`",
    "not json": "malformed",
    '"cut"': "truncated",
}
SOUND = {
    "byte-order-mark",
    "crlf",
    "pair",
    "backslash-u0000",
    "duplicate-keys-last",
    "unknown-members",
    "unknown-type",
    "huge-integer",
    "name-with-crlf",
    "no-newline-at-end",
}


def bad_input() -> list[Captured | Rejected]:
    with open_events(FIXTURES / "events" / "bad_input.ndjson") as stream:
        return list(read_events(stream, name="bad", received=RECEIVED))


def test_every_ill_is_cleaned_or_rejected_and_nothing_else_is_lost() -> None:
    content = (FIXTURES / "events" / "bad_input.ndjson").read_bytes()
    found = bad_input()
    assert len(found) == sum(1 for each in content.split(b"\n") if each.strip())
    captured = [each for each in found if isinstance(each, Captured)]
    assert {each.event.id for each in captured if not each.cleaned} == SOUND
    assert {each.event.id: ", ".join(each.cleaned) for each in captured if each.cleaned} == CLEANED
    rejected = [each for each in found if isinstance(each, Rejected)]
    assert len(rejected) == len(REJECTED)
    for mark, reason in REJECTED.items():
        (one,) = [each for each in rejected if mark.encode() in each.content]
        assert reason in one.reason


def test_what_is_rejected_is_whole_and_says_where_it_stood() -> None:
    content = (FIXTURES / "events" / "bad_input.ndjson").read_bytes().split(b"\n")
    for each in bad_input():
        if isinstance(each, Rejected):
            name, number = each.position.split(":")
            assert name == "bad"
            assert each.content == content[int(number) - 1]


def test_what_is_cleaned_keeps_its_original_and_says_so() -> None:
    content = (FIXTURES / "events" / "bad_input.ndjson").read_bytes().split(b"\n")
    for each in bad_input():
        if isinstance(each, Captured) and each.cleaned:
            assert each.original in content
            assert each.event.archivercleaned == "; ".join(each.cleaned)
            assert ("time" in each.event.id) == (each.event.archivertime is not None)
            assert "\0" not in (each.event.data.message.text or "")  # type: ignore[union-attr]


def test_the_source_of_a_rejected_line_is_told_where_it_can_be() -> None:
    found = [each.source for each in bad_input() if isinstance(each, Rejected)]
    assert "test:bad" in found
    assert None in found


@pytest.mark.parametrize(
    ("previous", "file_date", "expected"), [(5, 7, 5), (None, 7, 7), (None, None, RECEIVED), (0, 7, 0)]
)
def test_a_time_nobody_can_mean_is_replaced_in_order(
    previous: int | None, file_date: int | None, expected: int
) -> None:
    captured = capture(line(time="1912-06-23T00:00:00Z"), received=RECEIVED, previous=previous, file_date=file_date)
    assert captured.time == microseconds(captured.event.time) == expected
    assert captured.event.archivertime == "1912-06-23T00:00:00Z"


def test_the_bounds_of_time_are_1970_and_a_day_after_receipt() -> None:
    day = 86_400 * SECOND
    for time, sound in ((0, True), (-1, False), (RECEIVED + day, True), (RECEIVED + day + 1, False)):
        captured = capture(line(time=moment(time).isoformat()), received=RECEIVED)
        assert (captured.cleaned == ()) == sound


@pytest.mark.parametrize("size", [EVENT_LIMIT + 1, 10 * 1024 * 1024])
def test_an_event_over_the_limit_is_rejected_whole(size: int) -> None:
    huge = line(id="x" * size)
    (rejected,) = read(huge)
    assert isinstance(rejected, Rejected)
    assert "without attachment content; the limit is 1,048,576" in rejected.reason
    assert rejected.content == huge


def test_the_limit_counts_the_canonical_event() -> None:
    spare = EVENT_LIMIT - len(capture(line(id="e"), received=RECEIVED).body) + 1
    assert len(capture(line(id="x" * spare), received=RECEIVED).body) == EVENT_LIMIT
    with pytest.raises(EventError):
        capture(line(id="x" * (spare + 1)), received=RECEIVED)


class Endless(io.RawIOBase):
    """A stream of one byte over and over."""

    def __init__(self, size: int, then: bytes = b"") -> None:
        self.left, self.then = size, then

    def read1(self, size: int) -> bytes:
        if not self.left:
            then, self.then = self.then, b""
            return then
        size = min(size, self.left)
        self.left -= size
        return b"x" * size


def test_a_line_without_end_is_kept_up_to_the_limit_and_said_to_be_cut() -> None:
    size = 5 * LINE_LIMIT
    stream: Any = Endless(size, b"\n" + line())
    cut, sound = list(read_events(stream, name="f", received=RECEIVED))
    assert isinstance(cut, Rejected)
    assert len(cut.content) == LINE_LIMIT
    assert cut.reason == f"a line of {size:,} bytes: only its first {LINE_LIMIT:,} were kept"
    assert isinstance(sound, Captured)


@given(st.lists(st.binary(max_size=30).filter(lambda b: b"\n" not in b)), st.integers(1, 40), st.integers(1, 9))
def test_lines_are_the_same_however_the_stream_is_cut(content: list[bytes], limit: int, step: int) -> None:
    class Slow(io.BytesIO):
        def read1(self, size: int = -1) -> bytes:  # type: ignore[override]
            return super().read(min(size, step))

    whole = b"\n".join(content)
    found = list(lines(Slow(whole), limit))
    assert found == list(lines(io.BytesIO(whole), limit))
    expected = whole.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert len(found) == len(expected)
    for (number, kept, fault), one in zip(found, expected, strict=True):
        assert bool(fault) == (len(one) > limit)
        if not fault and number > 1:
            assert kept == one.removesuffix(b"\r")


# Rules of the types.


@pytest.mark.parametrize(
    ("type_", "data", "missing"),
    [
        ("message.edited", {"message": {"id": "m"}}, "message.text"),
        ("message.retracted", {}, "message.id"),
        ("message.reacted", {"reaction": "+"}, "message.id"),
        ("poll.voted", {}, "poll.id"),
        ("poll.closed", {}, "poll.id"),
        ("participant.renamed", {"actor": {"address": "a"}}, "subject"),
        ("participant.renamed", {"subject": {"address": "a"}}, "actor"),
    ],
)
def test_what_a_type_requires(type_: str, data: dict[str, Any], missing: str) -> None:
    with pytest.raises(EventError, match=f"^{type_} without data.{missing}$"):
        capture(line(type=type_, data={"conversation": {"id": "r", "kind": "group"}, **data}), received=RECEIVED)


# Attachments.


def test_content_is_taken_out_of_the_event() -> None:
    content = b"\x00picture" * 200_000  # well over the limit of an event
    text = base64.b64encode(content).decode()
    captured = capture(with_attachment(name="a.png", content=text), received=RECEIVED)
    digest = hashlib.sha256(content).hexdigest()
    assert captured.attached == ((digest, content),)
    assert captured.cleaned == ()
    assert json.loads(captured.body)["data"]["attachments"] == [
        {"name": "a.png", "sha256": digest, "size": len(content)}
    ]


@pytest.mark.parametrize(
    ("attachment", "note"),
    [
        ({"content": "not base64!"}, "attachment content isn't base64"),
        ({"content": "\u00e9"}, "attachment content isn't base64"),
        ({"content": "QQ==", "sha256": "0" * 64}, "attachment digest differed"),
        ({"path": "missing.txt"}, "attachment file unavailable"),
        ({"size": -1}, "attachment size below zero"),
        ({"sha256": "0" * 63, "size": 5}, "attachment digest isn't SHA-256"),
        ({"sha256": "0" * 64 + "\n"}, "attachment digest isn't SHA-256"),
    ],
)
def test_the_event_stands_without_what_cannot_be_had(attachment: dict[str, Any], note: str, tmp_path: Path) -> None:
    captured = capture(with_attachment(**attachment), received=RECEIVED, beside=document_at(tmp_path / "e").content_of)
    assert captured.cleaned == (note,)
    assert captured.event.data.message is not None
    assert captured.original == with_attachment(**attachment)


def test_a_file_beside_the_events_is_named_by_its_digest(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "note.txt").write_bytes(b"note")
    captured = capture(
        with_attachment(path="sub/note.txt"), received=RECEIVED, beside=document_at(tmp_path / "e").content_of
    )
    digest = hashlib.sha256(b"note").hexdigest()
    assert captured.attached == ((digest, tmp_path / "sub" / "note.txt"),)
    assert captured.event.data.attachments is not None
    (attachment,) = captured.event.data.attachments
    assert (attachment.name, attachment.size, attachment.sha256, attachment.path) == ("note.txt", 4, digest, None)


@pytest.mark.parametrize("path", ["../secret", "sub/../../secret", "{absolute}", "link", "linked/secret", ".", "a\0b"])
def test_no_path_leads_out_of_the_folder(path: str, tmp_path: Path) -> None:
    folder = tmp_path / "events"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "linked").symlink_to(tmp_path)
    attachment = {"path": path.replace("{absolute}", str(tmp_path / "secret"))}
    captured = capture(with_attachment(**attachment), received=RECEIVED, beside=document_at(folder / "e").content_of)
    assert captured.attached == ()
    assert "attachment file unavailable" in captured.cleaned


def test_a_url_is_recorded_and_nothing_else() -> None:
    captured = capture(with_attachment(url="https://example.org/a.png"), received=RECEIVED)
    assert captured.attached == ()
    assert captured.cleaned == ()
    assert b"https://example.org/a.png" in captured.body


# Compression.


def packed(form: str, content: bytes) -> bytes:
    if form == "gz":
        return gzip.compress(content)
    return zstandard.ZstdCompressor(write_checksum=True).compress(content) if form == "zst" else content


def many(count: int) -> bytes:
    return b"".join(line(id=f"e{number}") + b"\n" for number in range(count))


def from_file(path: Path) -> list[Captured | Rejected]:
    with open_events(path) as stream:
        return list(read_events(stream, name=path.name, received=RECEIVED))


@pytest.mark.parametrize("form", ["plain", "gz", "zst"])
def test_each_form_is_told_by_its_first_bytes(form: str, tmp_path: Path) -> None:
    path = tmp_path / "events"
    # Two members, two frames: what `cat` makes of two files.
    path.write_bytes(packed(form, many(3000)) + packed(form, line(id="last")))
    found = from_file(path)
    assert [each.event.id for each in found if isinstance(each, Captured)] == [
        *(f"e{number}" for number in range(3000)),
        "last",
    ]


@pytest.mark.parametrize("form", ["gz", "zst"])
@pytest.mark.parametrize("ill", ["cut", "changed"])
def test_what_came_before_the_damage_counts(form: str, ill: str, tmp_path: Path) -> None:
    path = tmp_path / "events"
    content = "".join(hashlib.sha256(str(n).encode()).hexdigest() for n in range(20_000))
    events = b"".join(line(id=content[n * 400 : n * 400 + 400]) + b"\n" for n in range(3000))
    whole = packed(form, events)
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] if ill == "cut" else whole[:middle] + b"\xff" * 8 + whole[middle + 8 :])
    found = from_file(path)
    assert 100 < len(found) < 3002
    assert isinstance(found[-1], Rejected)
    if ill == "cut" or form == "zst":
        assert found[-1].reason.startswith("the compressed stream is damaged or ends early")
        assert all(isinstance(each, Captured) for each in found[:-1])


def test_a_path_that_is_not_there_is_the_users_to_mend(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(UsageError):
            open_events(path)


def test_the_date_of_a_file() -> None:
    assert date_of(Path("/x/2016-12-19_20.raw.txt")) == date_of(Path("20161219.log")) == 1_482_105_600 * SECOND
    assert date_of(Path("/nowhere/2016-13-19.log")) is None


PEAK = """
import resource, sys
from pathlib import Path
from archiver.events import open_events, read_events
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open_events(Path(sys.argv[1])) as stream:
    count = sum(1 for _ in read_events(stream, name="f", received=1_800_000_000_000_000))
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def peak(path: Path) -> tuple[int, int]:
    """How many events, and how many KiB the process grew by."""
    done = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
    count, grown = done.stdout.split()
    return int(count), int(grown)


def big_events(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield line(id=f"e{number}", filler="x" * 4000) + b"\n"


@pytest.mark.parametrize("form", ["gz", "zst"])
def test_reading_takes_the_same_memory_however_long_the_file(form: str, tmp_path: Path) -> None:
    path = tmp_path / "events"
    count = 25_000  # 100 MB unpacked
    with gzip.open(path, "wb", 1) if form == "gz" else zstandard.open(path, "wb") as writer:
        for each in big_events(count):
            writer.write(each)
    read_count, grown = peak(path)
    assert read_count == count
    assert grown < 16 * 1024


def test_a_bomb_of_one_byte_takes_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zst"
    with zstandard.open(path, "wb") as writer:
        for _ in range(200):
            writer.write(b"x" * 1024 * 1024)
    assert path.stat().st_size < 100_000
    read_count, grown = peak(path)
    assert read_count == 1
    assert grown < 100 * 1024


# The schema.


def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "archiver" / "event.schema.json").read_text())
    return loaded


def test_the_schema_file_is_what_the_records_say() -> None:
    assert schema() == json_schema(), "write it anew: python -m archiver.events.schema"


def test_the_schema_takes_what_the_reader_takes_clean() -> None:
    Draft202012Validator.check_schema(schema())
    validator = Draft202012Validator(schema())
    for each in bad_input():
        if isinstance(each, Captured):
            assert validator.is_valid(json.loads(each.body)), each.event.id


def test_the_schema_refuses_what_the_reader_refuses() -> None:
    validator = Draft202012Validator(schema())
    refused = {"wrong-type", "wrong-kind", "no-conversation", "no-message", "no-text", "no-poll", "time-number"}
    seen = set()
    for each in bad_input():
        if isinstance(each, Rejected) and (mark := next((m for m in refused if m.encode() in each.content), None)):
            assert not validator.is_valid(json.loads(each.content)), mark
            seen.add(mark)
    assert seen == refused


def test_the_document_names_every_type_and_every_member() -> None:
    text = (ROOT / "docs" / "event-format.md").read_text()
    for types in json_schema()["$defs"]["Event"]["allOf"]:
        for type_ in types["if"]["properties"]["type"]["enum"]:
            assert f"`{type_}`" in text
    for definition in json_schema()["$defs"].values():
        for member in definition["properties"]:
            assert re.search(rf"[`.\"]{member}[`\"]", text), member
