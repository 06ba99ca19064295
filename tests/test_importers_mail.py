"""Mails in files: real ones counted through Python's own mailbox, the same as live, and where one mail ends."""

from __future__ import annotations

import mailbox
import shutil
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from io import BytesIO
from pathlib import Path

import pytest
from contracts.importer import FIXTURES, RECEIVED, ImporterContract
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import Captured, Rejected
from archiver.importers import IMPORTERS, Options, Reading, mbox
from archiver.importers.recognising import document_at, guess, recognise
from archiver.sources.mail import read_mail

MAIL = IMPORTERS["mail"]
MADE = FIXTURES / "mail"
BOX = MADE / "archive.mbox"
REAL = tuple(sorted((FIXTURES / "mime" / "mikel-mail" / "rfc2822").glob("*.eml")))
SOURCE = "smtp:mail"


class TestMail(ImporterContract):
    importer = MAIL
    samples = (
        (BOX, Options()),
        (MADE / "global-relay.eml", Options(network="relay")),
        (MADE / "lync-archiving.eml", Options(source="lync:example.org")),
        (REAL[0], Options()),
    )


def read(path: Path) -> tuple[list[Captured], list[Rejected], Reading]:
    reading = Reading(RECEIVED)
    documents = recognise((path,)).found["mail"] if path.is_dir() else (document_at(path),)
    found = [each for document in documents for each in MAIL.read(document, Options(), reading)]
    rejected = [each for each in found if isinstance(each, Rejected)]
    return [each for each in found if isinstance(each, Captured)], rejected, reading


def live(content: bytes) -> list[Captured | Rejected]:
    return list(read_mail(content, source=SOURCE, received=RECEIVED))


@pytest.mark.counted("mail")
def test_an_mbox_says_what_pythons_own_reader_finds() -> None:
    box = mailbox.mbox(BOX)
    # Python begins a mail at every "From ": the line without a date is text of the first one here.
    ids = [each["Message-ID"] for each in box if each["From"]]
    captured, rejected, _ = read(BOX)
    assert not rejected
    assert [f"<{each.event.id}>" for each in captured][:2] == ids[:2]
    assert len(captured) == len(ids) == 3
    first, second, third = (each.event for each in captured)
    assert first.data.message is not None and first.data.message.text is not None
    assert first.data.message.text.splitlines() == [
        "From here on it is quoted.",
        ">From twice.",
        "From now on nobody wrote a date behind it, so it is text.",
        "> a quotation stays",
    ]
    assert second.time.isoformat() == "2024-03-05T10:05:00+00:00"
    assert second.data.message is not None and second.data.message.in_reply_to == "one@example.org"
    assert third.id.startswith("sha256:") and third.data.conversation.kind == "group"


def test_a_maildir_is_read_whole_whatever_its_flags(tmp_path: Path) -> None:
    folder = shutil.copytree(MADE / "Maildir", tmp_path / "Maildir")
    unfinished = folder / "tmp" / "1709712240.M5P1.host"
    unfinished.parent.mkdir()
    unfinished.write_bytes(b"From: a@example.org\nTo: b@example.org\n\nhalf a m")
    (folder / ".Sent" / "new").mkdir()
    box = mailbox.Maildir(folder, create=False)
    every = [*box, *box.get_folder("Sent")]
    captured, rejected, reading = read(folder)
    assert not rejected
    assert sorted(f"<{each.event.id}>" for each in captured) == sorted(each["Message-ID"] for each in every)
    assert dict(reading.ignored) == {"mail that was never delivered whole (tmp of a Maildir)": 1}
    (undated,) = (each.event for each in captured if each.event.id == "m3@example.org")
    assert undated.time.timestamp() == 1709712180
    assert [each.name for each in recognise((folder,)).unknown] == ["dovecot-uidlist"]


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_a_real_mail_is_the_same_live_and_from_a_file(path: Path) -> None:
    content = path.read_bytes()
    captured, rejected, _ = read(path)
    # RFC 2822, A.6.3 has a line `__` in its header, for a blank one.
    assert guess(document_at(path)) is (None if path.stem == "example13" else MAIL)
    assert [each.body for each in captured] == [each.body for each in live(content) if isinstance(each, Captured)]
    assert len(captured) + len(rejected) == 1


def test_real_mails_in_an_mbox_are_the_same_as_alone(tmp_path: Path) -> None:
    """As any mail server delivers them; the order is the box's."""
    box = mailbox.mbox(tmp_path / "real.mbox")
    sound = [path for path in REAL if isinstance(live(path.read_bytes())[0], Captured)]
    for path in sound:
        box.add(path.read_bytes().replace(b"\r\n", b"\n"))
    box.flush()
    captured, rejected, _ = read(tmp_path / "real.mbox")
    assert not rejected and len(captured) == len(sound) > 5
    alone = [read(path)[0][0].event for path in sound]
    assert [(each.event.id, each.event.time) for each in captured if not each.event.id.startswith("sha256:")] == [
        (each.id, each.time) for each in alone if not each.id.startswith("sha256:")
    ]
    dated = [path for path in sound if b"\nDate:" in path.read_bytes()]
    assert len(dated) > 5
    assert parsedate_to_datetime("Fri, 21 Nov 1997 09:55:06 -0600") in {each.event.time for each in captured}


def test_every_mail_there_is_for_tests_is_read_or_kept_whole() -> None:
    paths = [path for path in (FIXTURES / "mime").rglob("*") if path.is_file() and path.suffix in (".eml", ".txt")]
    for path in paths:
        captured, rejected, _ = read(path)
        assert captured or rejected or not path.read_bytes().strip()
    assert len(paths) > 120


EVENTS = (
    b'{"specversion":"1.0","source":"xmpp:corp","id":"1","type":"message.sent","time":"2024-05-01T10:00:00Z",'
    b'"data":{"conversation":{"id":"board","kind":"group"},"actor":{"address":"ceo@corp.example"},'
    b'"message":{"id":"1","text":"pay eve"}}}\n'
)


@pytest.mark.parametrize(
    "made", [EVENTS, (FIXTURES / "expected" / "missed.bob.eml").read_bytes()], ids=["events", "an item"]
)
def test_what_somebody_was_sent_writes_no_history(made: bytes, tmp_path: Path) -> None:
    """In a mailbox lies what anybody wrote: events in it are files of a mail, and so is what looks like an item."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Message-ID"] = "eve@evil.example", "ann@corp.example", "<1@evil.example>"
    mail["Date"], mail["X-Archiver-Source"] = "Wed, 1 May 2024 09:00:00 +0000", "xmpp:corp"
    mail.set_content("meeting at 5")
    mail.add_attachment(made, maintype="application", subtype="x-ndjson", filename="notes.ndjson")
    start = b"From a Tue Mar  5 10:00:00 2024\n"
    whole = mail.as_bytes() if made is EVENTS else made
    (tmp_path / "box.mbox").write_bytes(start + whole + b"\n")
    (only,), rejected, _ = read(tmp_path / "box.mbox")
    assert not rejected
    assert only.event.source == "smtp:mail" and only.event.type == "message.sent"
    assert only.event.data.attachments and only.event.data.message is not None
    if made is EVENTS:
        assert only.event.data.message.text.strip() == "meeting at 5"
        assert only.event.data.actor is not None and only.event.data.actor.address == "eve@evil.example"


@pytest.mark.parametrize(
    "text",
    ["Note: buy milk\nTo: do\n", "[10:00] <a> From: me\n", "WEBVTT\n\n", "Dear all,\nFrom: x\nTo: y\n", "{}", ""],
)
def test_other_texts_are_no_mails(text: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(text)
    assert not MAIL.sniff(document_at(tmp_path / "x"), text.encode())


def test_a_mail_too_large_is_kept_in_part_and_the_next_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mbox, "LARGEST", 10_000)
    monkeypatch.setattr(mbox, "_CHUNK", 4_000)
    start = b"From a Tue Mar  5 10:00:00 2024\n"
    box = start + b"Subject: big\n\n" + b"x" * 300_000 + b"\n\n" + start + b"Subject: small\n\nhi\n"
    big, small = mbox.mails(BytesIO(box))
    assert big.fault and len(big.content) == 10_000 and big.content.startswith(b"Subject: big")
    assert small == (start, b"Subject: small\n\nhi\n", "")


_LINES = st.lists(st.sampled_from([b"From a", b">From b", b">>From c", b"", b"x", b"Date: y"]), max_size=8)


@given(st.lists(_LINES, min_size=1, max_size=5), st.integers(1, 50), st.sampled_from([b"\n", b"\r\n"]))
def test_what_an_mboxrd_writer_wrote_comes_back(bodies: list[list[bytes]], size: int, end: bytes) -> None:
    start = b"From a@example.org Tue Mar  5 10:00:00 2024" + end
    quoted = [[b">" + line if line.lstrip(b">").startswith(b"From ") else line for line in body] for body in bodies]
    box = b"".join(start + b"".join(line + end for line in body) + end for body in quoted)
    kept, mbox._CHUNK = mbox._CHUNK, size
    try:
        found = list(mbox.mails(BytesIO(box)))
    finally:
        mbox._CHUNK = kept
    assert [each.content.rstrip(b"\r\n") for each in found] == [
        b"".join(line + end for line in body).rstrip(b"\r\n") for body in bodies
    ]
    assert all(each.start == start and not each.fault for each in found)


@given(st.binary(max_size=300))
def test_any_bytes_are_events_or_rejected(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.mbox"
    path.write_bytes(b"From a Tue Mar  5 10:00:00 2024\n" + content)
    captured, rejected, _ = read(path)
    assert captured or rejected or not content.strip()


def test_an_mbox_of_our_own_items_gives_their_events(tmp_path: Path) -> None:
    items = [(FIXTURES / "expected" / f"{name}.eml").read_bytes() for name in ("missed.bob", "poll.alice")]
    start = b"From a Tue Mar  5 10:00:00 2024\n"
    (tmp_path / "ours.mbox").write_bytes(b"".join(start + each + b"\n" for each in items))
    alone = []
    for number, item in enumerate(items):
        (tmp_path / f"{number}.eml").write_bytes(item)
        alone += IMPORTERS["items"].read(document_at(tmp_path / f"{number}.eml"), Options(), Reading(RECEIVED))
    found = IMPORTERS["items"].read(document_at(tmp_path / "ours.mbox"), Options(), Reading(RECEIVED))
    assert [each.body for each in found if isinstance(each, Captured)] == [
        each.body for each in alone if isinstance(each, Captured)
    ]


def test_a_journal_report_is_the_same_live_from_a_file_and_from_an_mbox(tmp_path: Path) -> None:
    report = (
        b"From: journal@example.org\nTo: archive@example.org\nX-MS-Journal-Report:\nMIME-Version: 1.0\n"
        b"Date: Tue, 5 Mar 2024 10:00:00 +0000\nMessage-ID: <report@example.org>\n"
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\n"
        b"Sender: ann@example.org\nSubject: hi\nMessage-Id: <x@example.org>\nTo: bob@example.org\n"
        b"Bcc: carol@example.org\n\n--b\nContent-Type: message/rfc822\n\n"
        b"From: ann@example.org\nTo: bob@example.org\nSubject: hi\nMessage-ID: <x@example.org>\n"
        b"Date: Tue, 5 Mar 2024 09:59:00 +0000\n\nhello\n--b--\n"
    )
    (tmp_path / "one.eml").write_bytes(report)
    (tmp_path / "box").write_bytes(b"From a Tue Mar  5 10:00:00 2024\n" + report + b"\n")
    expected = [each.body for each in live(report) if isinstance(each, Captured)]
    assert b"carol@example.org" in b"".join(expected)
    for name in ("one.eml", "box"):
        captured, rejected, _ = read(tmp_path / name)
        assert not rejected
        assert [each.body for each in captured] == expected
