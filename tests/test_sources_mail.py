"""One mail -> its events: charsets, headers and trees as they really come, and event files that mails carry."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import SECOND, Captured, Rejected, microseconds, moment
from archiver.hypertext import text_of
from archiver.sources import carried
from archiver.sources import mail as module
from archiver.sources.decoding import date, header_text, people, text_from
from archiver.sources.mail import Believed, read_mail

NOW = 1_700_000_000 * SECOND
MIME = Path(__file__).parent.parent / "fixtures" / "mime"
MAILS = sorted(path for path in MIME.rglob("*") if path.suffix in (".txt", ".eml"))


def read(content: bytes | EmailMessage, sender: str = "") -> list[Captured | Rejected]:
    content = content if isinstance(content, bytes) else content.as_bytes()
    return list(read_mail(content, source="smtp:test", received=NOW, sender=sender))


def one(content: bytes | EmailMessage, sender: str = "") -> Captured:
    (record,) = read(content, sender)
    assert isinstance(record, Captured), record
    return record


def refused(content: bytes | EmailMessage) -> Rejected:
    (record,) = read(content)
    assert isinstance(record, Rejected), record
    return record


def text(content: bytes | EmailMessage) -> str:
    message = one(content).event.data.message
    assert message is not None and message.text is not None
    return message.text


def letter(**headers: str) -> EmailMessage:
    mail = EmailMessage()
    given = {"From": "Ann <ann@a.example>", "To": "Bob <bob@b.example>", "Message-ID": "<1@a.example>"}
    for name, value in (given | {name.replace("_", "-"): value for name, value in headers.items()}).items():
        if value:
            mail[name] = value
    mail["Date"] = "Fri, 21 Nov 1997 09:55:06 -0600"
    mail.set_content("Hello\n")
    return mail


def line(number: int, **data: Any) -> bytes:
    event = {
        "specversion": "1.0",
        "source": "test:one",
        "id": str(number),
        "type": "message.sent",
        "time": "2012-10-12T00:00:00Z",
        "data": {
            "conversation": {"id": "room", "kind": "group"},
            "actor": {"address": "ann@a.example"},
            "message": {"id": str(number), "text": f"text {number}"},
            **data,
        },
    }
    return json.dumps(event).encode()


def carrying(content: bytes, media_type: str = "application/octet-stream", name: str | None = None) -> EmailMessage:
    mail = letter()
    main, sub = media_type.split("/")
    mail.add_attachment(content, maintype=main, subtype=sub, filename=name)
    return mail


class TestSamples:
    def test_all_are_there(self) -> None:
        assert len(MAILS) == 151

    @pytest.mark.parametrize("path", MAILS, ids=lambda path: path.name)
    def test_each_is_an_event_or_kept_whole(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        content = path.read_bytes()
        record = next(iter(read(content)))
        if isinstance(record, Rejected):
            assert record.content == content
            assert record.reason.startswith("names nobody")
        else:
            assert record.event.data.message is not None
            assert record.event.data.conversation.participants

    @pytest.mark.parametrize("path", MAILS, ids=lambda path: path.name)
    def test_each_gives_the_same_twice(self, path: Path) -> None:
        assert read(path.read_bytes()) == read(path.read_bytes())

    def test_most_are_events(self) -> None:
        records = [record for path in MAILS for record in read(path.read_bytes())]
        assert len([record for record in records if isinstance(record, Captured)]) == 140

    @pytest.mark.parametrize("path", MAILS[::7], ids=lambda path: path.name)
    def test_broken_off_anywhere_none_raises(self, path: Path) -> None:
        content = path.read_bytes()
        for end in range(0, len(content), max(1, len(content) // 40)):
            (record,) = read(content[:end], "ann@a.example")
            assert isinstance(record, Captured)

    @pytest.mark.parametrize(
        ("name", "begins"),
        [
            ("japanese_shift_jis.eml", "あいうえお"),
            ("japanese_iso_2022.eml", "すみません。"),
            ("ks_c_5601-1987.eml", "스티해"),
            ("raw_email.eml", "대부분의 마찬가지로"),
            ("must_supply_encoding.eml", "Impress your clients"),
        ],
    )
    def test_charsets(self, name: str, begins: str) -> None:
        (path,) = MIME.rglob(name)
        assert text(path.read_bytes()).startswith(begins)

    def test_attachment_in_another_charset_keeps_its_name(self) -> None:
        (path,) = MIME.rglob("japanese_attachment.eml")
        (attachment,) = one(path.read_bytes()).event.data.attachments or ()
        assert attachment.name == "てすと.txt"


NESTED = b"".join(b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (n, n) for n in range(30))


class TestPlainMail:
    def test_one_message(self) -> None:
        captured = one(letter(Subject="Lunch", In_Reply_To="<0@b.example>", References="<a@b.example> <0@b.example>"))
        event = captured.event
        assert (event.source, event.id, event.type) == ("smtp:test", "1@a.example", "message.sent")
        assert captured.time == microseconds(moment(880_127_706 * SECOND))
        assert event.data.conversation.id == "ann@a.example bob@b.example"
        assert event.data.conversation.kind == "im"
        assert event.data.conversation.topic is None
        assert event.data.actor is not None
        assert (event.data.actor.address, event.data.actor.name) == ("ann@a.example", "Ann")
        assert [person.name for person in event.data.conversation.participants or ()] == ["Ann", "Bob"]
        message = event.data.message
        assert message is not None
        assert (message.id, message.text, message.html) == ("1@a.example", "Hello", None)
        assert (message.in_reply_to, message.thread) == ("0@b.example", "a@b.example")
        assert json.loads(captured.body)["data"]["mail"] == {"subject": "Lunch"}
        assert captured.cleaned == ()

    def test_three_people_are_a_group_with_the_subject_as_topic(self) -> None:
        place = one(letter(Subject="Lunch", Cc="carol@a.example")).event.data.conversation
        assert (place.kind, place.topic) == ("group", "Lunch")
        assert place.id == "ann@a.example bob@b.example carol@a.example"

    def test_the_same_people_are_the_same_place_whoever_writes(self) -> None:
        there = one(letter())
        back = one(letter(From="BOB@B.example", To='"Ann, of A" <Ann@A.EXAMPLE>'))
        assert there.event.data.conversation.id == back.event.data.conversation.id

    def test_a_gateway_may_name_the_source(self) -> None:
        assert one(letter(X_Archiver_Source="xmpp:chat.example.org")).event.source == "xmpp:chat.example.org"
        assert one(letter(X_Archiver_Source="no source")).event.source == "smtp:test"

    def test_without_message_id_the_content_is_the_identity(self) -> None:
        first = one(letter(Message_ID=""))
        again = b"Received: from x by y; Fri, 21 Nov 1997 10:00:00 -0600\r\n" + letter(Message_ID="").as_bytes()
        other = one(letter(Message_ID="", Cc="carol@a.example"))
        assert first.event.id.startswith("sha256:")
        assert one(again).event.id == first.event.id != other.event.id

    def test_a_message_id_without_end_is_none(self) -> None:
        assert one(letter(Message_ID="<" + "x" * 2000 + "@a.example>")).event.id.startswith("sha256:")

    def test_without_date_the_first_server_says_when(self) -> None:
        mail = letter()
        del mail["Date"]
        mail["Received"] = "from b by c; Fri, 21 Nov 1997 10:00:00 -0600"
        mail["Received"] = "from a by b; Fri, 21 Nov 1997 09:59:00 -0600"
        assert one(mail).time == 880_127_940 * SECOND

    @pytest.mark.parametrize(
        "stated",
        [
            *("", "yesterday", "Fri, 99 Nov 1997 09:55:06", "0", "\x00", "1 Jan 99999 1:1:1"),
            "Fri, 31 Dec 9999 23:59:59 -0900",
        ],
    )
    def test_without_any_date_the_receipt_counts(self, stated: str) -> None:
        mail = letter().as_bytes().replace(b"Fri, 21 Nov 1997 09:55:06 -0600", stated.encode())
        assert one(mail).time == NOW

    @pytest.mark.parametrize("stated", ["Mon, 1 Jan 1900 00:00:00 +0000", "Tue, 1 Jan 2999 00:00:00 +0000"])
    def test_a_date_nobody_can_mean_is_mended_and_kept(self, stated: str) -> None:
        captured = one(letter().as_bytes().replace(b"Fri, 21 Nov 1997 09:55:06 -0600", stated.encode()))
        assert captured.time == NOW
        assert captured.cleaned
        assert captured.original is not None and stated.encode() in captured.original
        assert stated.split()[3] in json.loads(captured.body)["archivertime"]

    def test_without_from_the_envelope_says_who(self) -> None:
        actor = one(letter(From=""), "eve@e.example").event.data.actor
        assert actor is not None and actor.address == "eve@e.example"

    @pytest.mark.parametrize(
        ("rest", "why"),
        [
            (b"\r\n" + b"\n" * 20_000_000, "lines"),
            (NESTED + b"\n" * 1_000_000, "30 multiparts in 1,000,"),
            (b"X: y\r\n" * 10_001, "10,000 header fields"),
            (b"Content-Type: multipart/mixed; " + b"a=b; " * 200_000, "a Content-Type header"),
            (b"Content-Disposition: attachment" + b";\r\n a=b" * 200_000, "a Content-Disposition header"),
            (b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\n" * 100_000, "2,000 parts"),
            (b"Content-Type: text/html\r\n\r\n" + b"<" * 4_000_000, "tags"),
        ],
        ids=["lines", "nested", "header", "parameters", "folded", "parts", "tags"],
    )
    def test_what_would_keep_us_busy_for_minutes_is_kept_whole(self, rest: bytes, why: str) -> None:
        record = refused(b"From: ann@a.example\r\nTo: bob@b.example\r\n" + rest)
        assert why in record.reason

    def test_who_names_nobody_is_kept_whole(self) -> None:
        mail = letter(From="", To="undisclosed-recipients:;")
        record = refused(mail)
        assert record.content == mail.as_bytes()
        assert record.reason.startswith("names nobody")
        assert record.source == "smtp:test"

    def test_only_html_gives_its_text(self) -> None:
        mail = letter()
        mail.set_content("<p>Hi <b>Bob</b></p><script>evil()</script><p>bye", subtype="html")
        message = one(mail).event.data.message
        assert message is not None
        assert message.text == "Hi Bob\n\nbye"
        assert message.html is not None and "<b>Bob</b>" in message.html

    def test_alternatives_are_one_message(self) -> None:
        mail = letter()
        mail.add_alternative("<b>Hello</b>", subtype="html")
        message = one(mail).event.data.message
        assert message is not None
        assert (message.text, message.html) == ("Hello", "<b>Hello</b>\n")
        assert one(mail).event.data.attachments is None

    def test_a_page_too_long_is_a_file(self) -> None:
        mail = letter()
        mail.set_content("<p>" + "x" * 300_000, subtype="html")
        data = one(mail).event.data
        assert data.message is not None
        assert data.message.html is None
        assert data.message.text == "x" * 300_000
        assert [file.media_type for file in data.attachments or ()] == ["text/html"]

    def test_files_go_with_their_content(self) -> None:
        mail = letter()
        mail.add_attachment(b"\x00\x01", maintype="image", subtype="png", filename="../../ét.png")
        captured = one(mail)
        (attachment,) = captured.event.data.attachments or ()
        digest = hashlib.sha256(b"\x00\x01").hexdigest()
        assert (attachment.name, attachment.media_type, attachment.size) == ("ét.png", "image/png", 2)
        assert attachment.sha256 == digest
        assert captured.attached == ((digest, b"\x00\x01"),)

    def test_a_mail_inside_is_a_file(self) -> None:
        mail = letter()
        mail.add_attachment(letter(Subject="inner"))
        captured = one(mail)
        assert captured.event.data.message is not None and captured.event.data.message.text == "Hello"
        (content,) = [content for _, content in captured.attached]
        assert isinstance(content, bytes) and b"Subject: inner" in content

    def test_the_subject_stands_for_an_empty_body(self) -> None:
        mail = letter(Subject="Only this")
        mail.set_content("\n \n")
        assert text(mail) == "Only this"

    def test_an_empty_mail_from_somebody_is_an_event(self) -> None:
        assert one(b"", "ann@a.example").event.data.conversation.id == "ann@a.example"

    def test_a_text_too_long_is_kept_whole(self) -> None:
        mail = letter()
        mail.set_content("x" * 70 + "\n")
        content = mail.as_bytes() + (b"x" * 70 + b"\n") * 20_000
        record = refused(content)
        assert record.content == content
        assert "limit" in record.reason

    @pytest.mark.parametrize("raw", [b"=?utf-8?q?Ann=0D=0ABcc:_eve?=", b"Ann\r\n\tBcc: eve", b'"Ann\r\n Bcc: eve"'])
    def test_no_name_holds_a_line_end(self, raw: bytes) -> None:
        mail = b"From: " + raw + b" <ann@a.example>\r\nSubject: " + raw + b"\r\nTo: b@b.example, c@c.example\r\n\r\nHi"
        data = one(mail).event.data
        assert data.conversation.topic and "Bcc" in data.conversation.topic
        for text in (
            data.conversation.topic,
            *(p.address + (p.name or "") for p in data.conversation.participants or ()),
        ):
            assert text.isprintable()

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"Content-Type: multipart/mixed; boundary=a\n\n" * 5000, id="headers without end"),
            pytest.param(
                b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(3000)),
                id="nested 3000 deep",
            ),
            pytest.param(b"From: " + b"(" * 100_000 + b"\n\nHi", id="comments nested"),
            pytest.param(b"From: " + b"a:" * 50_000 + b"\n\nHi", id="groups nested"),
            pytest.param(b"From: " + b"=?utf-8?q?" * 20_000 + b"\n\nHi", id="words without end"),
            pytest.param(b"To: " + b"a@b.example, " * 40_000 + b"\n\nHi", id="people without end"),
            pytest.param(b"In-Reply-To: <a" + b" " * 200_000 + b"b\n\nHi", id="an id that never ends"),
            pytest.param(b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\na\n" * 20_000, id="parts"),
            pytest.param(
                b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(280))
                + b"hello\n" * 2_000_000,
                id="many lines nested deep",
            ),
            pytest.param(b"Subject: " + b"\xff" * 100_000 + b"\n\nHi", id="bytes that are no text"),
            pytest.param(b"Content-Type: text/html\n\n" + b"<!--" * 200_000, id="comments that never end"),
            pytest.param(b"Content-Type: text/html\n\n" + b"<a <b " * 50_000, id="tags that never end"),
        ],
    )
    def test_hostile_ones_end_soon(self, content: bytes) -> None:
        (record,) = read(content, "ann@a.example")
        if isinstance(record, Rejected):
            assert record.content == content
            assert not record.reason.startswith("not understood")

    def test_a_bug_of_ours_keeps_the_mail_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(parts: object) -> None:
            raise LookupError("a bug")

        monkeypatch.setattr(module, "body_of", fail)
        record = refused(letter())
        assert record.content == letter().as_bytes()
        assert "LookupError: a bug" in record.reason

    @given(st.binary(max_size=400))
    def test_any_bytes_are_an_event_or_kept_whole(self, content: bytes) -> None:
        for record in read(content) + read(letter().as_bytes() + content) + read(b"Subject: " + content):
            if isinstance(record, Captured):
                assert json.loads(record.body)["data"]["message"]["id"] == record.event.id
            else:
                assert record.content.endswith(content)
                assert not record.reason.startswith("not understood")


class TestCarriedEvents:
    @pytest.mark.parametrize(
        ("content", "media_type", "name"),
        [
            (line(1) + b"\n" + line(2) + b"\n", "application/x-ndjson", None),
            (line(1) + b"\r\n" + line(2), "application/octet-stream", "day.NDJSON"),
            (gzip.compress(line(1) + b"\n" + line(2)), "application/gzip", "day.ndjson.gz"),
            (zstandard.compress(line(1) + b"\n" + line(2)), "application/zstd", "day.ndjson.zst"),
            (b"[" + line(1) + b" , " + line(2) + b"]", "application/cloudevents-batch+json", None),
        ],
    )
    def test_gives_exactly_these(self, content: bytes, media_type: str, name: str | None) -> None:
        records = read(carrying(content, media_type, name))
        assert [record.event.id for record in records if isinstance(record, Captured)] == ["1", "2"]
        assert len(records) == 2

    def test_a_single_event(self) -> None:
        content = json.dumps(json.loads(line(1, odd="kept")), indent=2).encode()
        captured = one(carrying(content, "application/cloudevents+json", "event.json"))
        assert captured.event.id == "1"
        assert json.loads(captured.body)["data"]["odd"] == "kept"

    def test_the_mail_itself_may_be_the_file(self) -> None:
        mail = b"From: a@b\r\nContent-Type: application/x-ndjson\r\n\r\n" + line(1) + b"\r\n" + line(2) + b"\r\n"
        assert len(read(mail)) == 2

    def test_several_files_in_their_order(self) -> None:
        mail = carrying(line(1), "application/x-ndjson", "a.ndjson")
        mail.add_attachment(line(2), maintype="application", subtype="x-ndjson", filename="b.ndjson")
        assert [record.event.id for record in read(mail) if isinstance(record, Captured)] == ["1", "2"]

    def test_a_broken_line_is_kept_and_the_rest_goes_on(self) -> None:
        first, broken, last = read(carrying(line(1) + b"\n{no\n" + line(3), "application/x-ndjson", "a.ndjson"))
        assert isinstance(first, Captured) and isinstance(last, Captured)
        assert isinstance(broken, Rejected)
        assert broken.content == b"{no"
        assert broken.position == "mail 1@a.example, a.ndjson:2"

    @pytest.mark.parametrize("content", [b"{}", b"[1", b"\xff\xfe", b"[" * 5000])
    def test_a_broken_batch_is_kept(self, content: bytes) -> None:
        """Whole: its text may be all that somebody wrote."""
        mail = carrying(content, "application/cloudevents-batch+json")
        assert refused(mail).content == mail.as_bytes()

    def test_a_file_without_an_event_takes_no_mail_with_it(self) -> None:
        mail = carrying(b"\n\n", "application/x-ndjson", "e.ndjson")
        record = refused(mail)
        assert record.content == mail.as_bytes() and "no event" in record.reason

    def test_a_broken_event_of_a_batch_is_kept_alone(self) -> None:
        first, broken = read(carrying(b"[" + line(1) + b',{"id":1}]', "application/cloudevents-batch+json", "b.json"))
        assert isinstance(first, Captured)
        assert isinstance(broken, Rejected)
        assert (broken.content, broken.position) == (b'{"id":1}', "mail 1@a.example, b.json:2")

    def test_a_damaged_file_gives_what_came_before(self) -> None:
        packed = gzip.compress(b"".join(line(number) + b"\n" for number in range(2000)))
        records = read(carrying(packed[: len(packed) // 2], "application/gzip", "a.ndjson.gz"))
        assert isinstance(records[0], Captured)
        assert isinstance(records[-1], Rejected)
        assert "damaged" in records[-1].reason

    @pytest.mark.parametrize(("limit", "of"), [("UNPACKED_LIMIT", "bytes"), ("LINES_LIMIT", "lines")])
    def test_a_file_that_unpacks_without_end_stops_and_is_kept(
        self, limit: str, of: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(carried, limit, 1_000_000)
        mail = carrying(gzip.compress(b"\n" * 50_000_000), "application/gzip", "bomb.ndjson.gz")
        record = refused(mail)
        assert record.content == mail.as_bytes()
        assert f"unpacks to more than 1,000,000 {of}" in record.reason

    @pytest.mark.parametrize(
        ("media_type", "content"),
        [
            ("application/x-ndjson", zstandard.compress(b"1\n" * 200_000)),
            ("application/cloudevents-batch+json", b"[1" + b",1" * 200_000 + b"]"),
        ],
        ids=["lines", "batch"],
    )
    def test_a_mail_of_nothing_but_junk_is_one_piece_of_junk(self, media_type: str, content: bytes) -> None:
        """Else a few kilobytes of mail would fill the quarantine, and its sender wait for hours."""
        mail = carrying(content, media_type, "e.ndjson.zst" if "x-" in media_type else "e.json")
        (record,) = read(mail)
        assert isinstance(record, Rejected) and record.content == mail.as_bytes()
        assert "more than 1,000 events" in record.reason

    @pytest.mark.parametrize("mode", ["direct", "all", "none"])
    @pytest.mark.parametrize("passed_on", [False, True])
    def test_only_a_gateways_are_believed(self, mode: Believed, passed_on: bool) -> None:
        """Each server that passes a mail on says so, and no sender can keep it from that."""
        mail = carrying(line(1), "application/x-ndjson", "e.ndjson")
        if passed_on:
            mail["Received"] = "from evil.example by mx.example.org; Fri, 21 Nov 1997 10:00:00 -0600"
        mail["X-Archiver-Source"] = "xmpp:corp"
        (only,) = read_mail(mail.as_bytes(), source="smtp:test", received=NOW, events=mode)
        assert isinstance(only, Captured)
        believed = mode == "all" or (mode == "direct" and not passed_on)
        assert (only.event.id == "1") == believed
        if not believed:
            assert only.event.source == "smtp:test"
            assert [each.name for each in only.event.data.attachments or ()] == ["e.ndjson"]

    def test_no_event_can_name_a_file_of_ours(self) -> None:
        event = line(1, attachments=[{"name": "passwd", "path": "/etc/passwd"}, {"path": "../../etc/hostname"}])
        assert one(carrying(event, "application/x-ndjson")).attached == ()

    def test_files_beside_the_events_are_found_by_digest(self) -> None:
        digest = hashlib.sha256(b"picture").hexdigest()
        mail = carrying(line(1, attachments=[{"name": "p.png", "sha256": digest}]), "application/x-ndjson")
        mail.add_attachment(b"picture", maintype="image", subtype="png", filename="p.png")
        mail.add_attachment(b"other", maintype="image", subtype="png", filename="o.png")
        assert one(mail).attached == ((digest, b"picture"),)

    def test_content_in_the_event_is_taken(self) -> None:
        content = base64.b64encode(b"picture").decode()
        mail = carrying(line(1, attachments=[{"name": "p.png", "content": content}]), "application/x-ndjson")
        assert [data for _, data in one(mail).attached] == [b"picture"]


class TestDecoding:
    @pytest.mark.parametrize(
        ("content", "charset", "expected"),
        [
            (b"caf\xe9", "iso-8859-1", "café"),
            (b"\x93hi\x94", "us-ascii", "\u201chi\u201d"),
            ("café".encode(), "iso-8859-1", "café"),
            ("café".encode(), None, "café"),
            (b"caf\xe9", None, "café"),
            (b"caf\xe9", "no-such-charset", "café"),
            (b"caf\xe9", "utf-8", "caf\ufffd"),
            (b"abc", "base64", "abc"),
            (b"abc", "idna", "abc"),
            (b"abc", "\x00", "abc"),
            (b"+2AA-", "utf-7", "\ufffd"),
            ("중".encode("cp949"), "ks_c_5601-1987", "중"),
        ],
    )
    def test_text(self, content: bytes, charset: str | None, expected: str) -> None:
        assert text_from(content, charset) == expected

    @given(st.binary(max_size=60), st.sampled_from(["utf-8", "utf-7", "utf-16", "iso-2022-jp", "hz", "ascii", "big5"]))
    def test_text_is_unicode_whatever_is_declared(self, content: bytes, charset: str) -> None:
        text_from(content, charset).encode()

    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            ("=?utf-8?q?caf=C3=A9?=", "café"),
            ("=?utf-8?B?Y2Fm?= =?utf-8?b?w6k=?=", "café"),
            ("=?utf-8?q?caf=C3?=\n =?utf-8?q?=A9?=", "café"),
            ("a =?utf-8?q?b_c?= d", "a b c d"),
            ("=?iso-8859-1*en?q?=E9?=", "é"),
            ("=?utf-8?b?!!!?=", ""),
            ("=?no-such?q?abc?=", "abc"),
            ("=?utf-8?q?no end", "=?utf-8?q?no end"),
            ("caf\udcc3\udca9", "café"),
            ("caf\udce9", "café"),
            ("a\r\n\tb\x00c", "a b c"),
        ],
    )
    def test_headers(self, raw: str, expected: str) -> None:
        assert header_text(raw) == expected

    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            ("ann@a.example", [("ann@a.example", None)]),
            ('"Ann, A." <Ann@A.example>', [("ann@a.example", "Ann, A.")]),
            ("=?utf-8?q?Ann=2C_A?= <ann@a.example>, b@b.example", [("ann@a.example", "Ann, A"), ("b@b.example", None)]),
            ("team: ann@a.example, bob@b.example;", [("ann@a.example", None), ("bob@b.example", None)]),
            ("undisclosed-recipients:;", []),
            ("Big Bug bb@bug.example", [("bb@bug.example", None)]),
            ("one@x.example two@x.example", [("one@x.example", None), ("two@x.example", None)]),
            ("jd\udcc3\udcb6e@m\udcc3\udca4chine.example", [("jdöe@mächine.example", None)]),
            ("nobody", []),
            ("", []),
        ],
    )
    def test_people(self, raw: str, expected: list[tuple[str, str | None]]) -> None:
        assert [(person.address, person.name) for person in people(raw)] == expected

    @given(st.text(max_size=80))
    def test_headers_and_people_and_dates_never_raise(self, raw: str) -> None:
        assert header_text(raw).replace(" ", "").isprintable() or header_text(raw)
        for person in people(raw):
            assert "@" in person.address and not any(ch.isspace() for ch in person.address.split("@")[-1])
        date(raw)


class TestHypertext:
    @pytest.mark.parametrize(
        ("markup", "expected"),
        [
            ("a<br>b", "a\nb"),
            ("<p>a</p>\n<p>b</p>", "a\n\nb"),
            ("<ul><li>a<li>b</ul>", "a\nb"),
            ("<style>x{}</style>a<!-- b -->c", "ac"),
            ("<SCRIPT>1<2</SCRIPT>a", "a"),
            ("<title>t</title><body>a &lt;b&gt; &amp; c", "a <b> & c"),
            ("1 < 2", "1 < 2"),
            ("<table><tr><td>a<td>b<tr><td>c", "a b\nc"),
            ('<a href="x>y">l</a>', 'y">l'),
            ("a <!-- never ends", "a"),
            ("a <b never ends", "a"),
            ("İ<SCRIPT>x</script>b", "İb"),
        ],
    )
    def test_text(self, markup: str, expected: str) -> None:
        assert text_of(markup) == expected

    @given(st.text(alphabet="<>/!-abp& \n", max_size=80))
    def test_never_raises_and_never_grows(self, markup: str) -> None:
        assert len(text_of(markup)) <= 2 * len(markup)
