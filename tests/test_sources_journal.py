"""Journal reports, Google Chat's archive mails and TNEF. The mails are made up, by the formats their makers publish."""

from __future__ import annotations

from base64 import encodebytes
from email.message import EmailMessage
from email.mime.base import MIMEBase

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archiver.events import SECOND, Captured, Rejected
from archiver.sources.mail import read_mail

NOW = 1_700_000_000 * SECOND
FIELDS = """Sender: ann@a.example
Subject: Plans
Message-Id: <1@a.example>
To: bob@b.example
"""


def original(**headers: str) -> bytes:
    mail = EmailMessage()
    given = {"From": "Ann <ann@a.example>", "To": "Bob <bob@b.example>", "Subject": "Plans"}
    given |= {"Message-ID": "<1@a.example>", "Date": "Fri, 21 Nov 1997 09:55:06 -0600"} | headers
    for name, value in given.items():
        if value:
            mail[name] = value
    mail.set_content("Shall we?\n")
    return mail.as_bytes()


def report(fields: str = FIELDS, *mails: bytes) -> bytes:
    """As Exchange makes them: multipart/mixed, the fields as text, the mail as message/rfc822."""
    parts = [b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + fields.encode()]
    parts += [b"Content-Type: message/rfc822\r\n\r\n" + mail for mail in mails or (original(),)]
    head = (
        b"From: <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@a.example>\r\nTo: <journal@x.example>\r\n"
        b"Subject: Plans\r\nMessage-ID: <report@a.example>\r\nX-MS-Journal-Report:\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="=_b"\r\n\r\n'
    )
    return head + b"".join(b"--=_b\r\n" + part + b"\r\n" for part in parts) + b"--=_b--\r\n"


def read(content: bytes, *recipients: str) -> list[Captured | Rejected]:
    return list(read_mail(content, source="smtp:test", received=NOW, sender="", recipients=recipients))


def events(content: bytes, *recipients: str) -> list[Captured]:
    found = read(content, *recipients)
    assert all(isinstance(each, Captured) for each in found), found
    return [each for each in found if isinstance(each, Captured)]


def present(captured: Captured) -> list[tuple[str, bool]]:
    return [(each.address, each.hidden) for each in captured.event.data.conversation.participants or ()]


class TestJournal:
    def test_a_multipart_without_a_boundary_stops_nothing(self) -> None:
        broken = (
            b"From: ann@a.example\nTo: bob@b.example\nContent-Type: multipart/mixed\n\nShall we, B\xc3\xb6b \xff?\n"
        )
        (captured,) = events(report(FIELDS, broken))
        assert captured.event.data.message is not None and "Shall we" in captured.event.data.message.text

    def test_a_header_broken_by_a_bare_line_end_stops_nothing(self) -> None:
        broken = original().replace(b"Date: Fri, 21 Nov 1997 09:55", b"Date: Fri, 21 Nov 1997 09\r55:06")
        (captured,) = events(report(FIELDS, broken))
        assert captured.event.data.message is not None and captured.event.data.message.text == "Shall we?"

    def test_the_mail_it_reports_is_what_was_said(self) -> None:
        """And the same as the mail itself would give, so that one that comes both ways is there once."""
        (only,) = events(report())
        assert only.event.data.message is not None and only.event.data.message.text == "Shall we?"
        assert only.event.id == "1@a.example" and only.event.data.actor is not None
        assert only.event.data.actor.address == "ann@a.example"
        assert present(only) == [("ann@a.example", False), ("bob@b.example", False)]
        (itself,) = events(original())
        assert only.body == itself.body

    def test_who_got_it_blindly_gets_a_copy_and_nobody_else_learns_of_it(self) -> None:
        said, copy = events(report(FIELDS + "Bcc: eve@e.example\n"))
        assert "eve" not in said.body.decode()
        assert copy.event.data.conversation.kind == "im"
        assert present(copy) == [("ann@a.example", False), ("eve@e.example", False)]
        assert copy.event.data.message is not None and copy.event.data.message.text == "Shall we?"
        assert copy.event.id != said.event.id

    def test_several_who_got_it_blindly_do_not_learn_of_each_other(self) -> None:
        _, copy = events(report(FIELDS + "Bcc: eve@e.example\nBcc: fay@e.example\n"))
        assert present(copy) == [("ann@a.example", False), ("eve@e.example", True), ("fay@e.example", True)]
        assert copy.event.data.conversation.kind == "group"

    @pytest.mark.parametrize(
        ("line", "hidden"),
        [
            ("To: {}, Expanded: staff@a.example", False),
            ("Cc: {}, Forwarded: boss@a.example", False),
            ("Bcc: {}, Expanded: secret@a.example", True),
            ("Recipient: {}", True),
            ("recipient: <{}>", True),
        ],
    )
    def test_members_of_a_list_get_it_and_the_list_does_not(self, line: str, hidden: bool) -> None:
        lines = "\r\n".join(line.format(address) for address in ("Dan@d.example", "dora@d.example"))
        _, copy = events(report(FIELDS + lines))
        assert present(copy) == [("ann@a.example", False), ("dan@d.example", hidden), ("dora@d.example", hidden)]

    def test_reports_of_one_mail_that_name_others_contradict_nothing(self) -> None:
        first, second = (events(report(FIELDS + f"Bcc: {who}@e.example\n")) for who in ("eve", "fay"))
        assert first[0].body == second[0].body
        assert first[1].event.id != second[1].event.id
        assert events(report(FIELDS + "Bcc: eve@e.example\n"))[1].body == first[1].body

    def test_what_the_mail_does_not_say_the_report_does(self) -> None:
        (only,) = events(report(FIELDS, original(**{"From": "", "Message-ID": ""})))
        assert only.event.id == "1@a.example" and only.event.data.actor is not None
        assert only.event.data.actor.address == "ann@a.example"

    def test_events_that_the_reported_mail_carries_are_a_file_of_it(self) -> None:
        """It came from anybody."""
        mail = EmailMessage()
        mail["From"], mail["To"] = "gateway@a.example", "journal@a.example"
        line = events(original())[0].body
        mail.add_attachment(line, maintype="application", subtype="x-ndjson", filename="e.ndjson")
        mail["X-Archiver-Source"] = "xmpp:corp"
        for only in events(report(FIELDS, mail.as_bytes())):
            assert only.event.source == "smtp:test"
            assert [each.name for each in only.event.data.attachments or ()] == ["e.ndjson"]

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (report(FIELDS, original(), original()), "2 mails"),
            (report(FIELDS).replace(b"message/rfc822", b"application/x-other"), "0 mails"),
            (report("Sender: ann@a.example\n"), "no recipient"),
            (report("nothing of the kind"), "no recipient"),
            (report("To: a@a.example\n" * 20_001), "20,000 lines"),
            (report(FIELDS, b"\r\n"), "no header of a mail"),
            (report(FIELDS, b"only a text"), "no header of a mail"),
            (report(FIELDS, bytes(range(256))), "no header of a mail"),
            (report(FIELDS, encodebytes(original())), "no header of a mail"),
        ],
        ids=["two mails", "no mail", "no recipient", "no fields", "too many", "empty", "text", "bytes", "packed"],
    )
    def test_what_is_no_sound_report_is_kept_whole(self, content: bytes, why: str) -> None:
        (only,) = read(content)
        assert isinstance(only, Rejected) and why in only.reason
        assert only.content == content

    @given(st.text(st.characters(codec="utf-8"), max_size=300), st.binary(max_size=200))
    @settings(suppress_health_check=list(HealthCheck), deadline=None)
    def test_whatever_stands_in_it_something_comes_of_it(self, fields: str, mail: bytes) -> None:
        for content in (report(fields), report(FIELDS, mail), report(fields, mail)):
            found = read(content)
            assert found and all(isinstance(each, Captured) or each.content == content for each in found)

    @given(st.data())
    @settings(suppress_health_check=list(HealthCheck), deadline=None)
    def test_however_it_is_damaged_something_comes_of_it(self, data: st.DataObject) -> None:
        """Pieces of a sound report taken out, doubled, exchanged and overwritten."""
        content = report(FIELDS + "Bcc: eve@e.example, Expanded: l@e.example\n")
        for _ in range(data.draw(st.integers(1, 4))):
            start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
            pieces = [b"", content[start:end] * 2, b"\r\n--=_b\r\n", b"\xff\x00", b"Bcc: ", b"\n"]
            content = content[:start] + data.draw(st.sampled_from(pieces)) + content[end:]
        assert read(content)


class TestTnef:
    def sealed(self, text: str, kind: str = "ms-tnef", name: str = "winmail.dat") -> bytes:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "ann@a.example", "bob@b.example", "Plans"
        mail.set_content(text)
        mail.make_mixed()
        part = MIMEBase("application", kind, name=name)
        part.set_payload("eJ8+IgAA")
        part["Content-Transfer-Encoding"] = "base64"
        mail.attach(part)
        return mail.as_bytes()

    def test_one_whose_text_is_sealed_in_it_is_kept_whole(self) -> None:
        renamed = self.sealed("\n", "octet-stream", "att00001.dat")
        for content in (self.sealed("\n"), renamed, report(FIELDS, self.sealed(" \n"))):
            (only,) = read(content)
            assert isinstance(only, Rejected) and "TNEF" in only.reason and only.content == content

    def test_beside_a_text_it_is_a_file(self) -> None:
        (only,) = events(self.sealed("Shall we?"))
        assert [each.name for each in only.event.data.attachments or ()] == ["winmail.dat"]


class TestGoogleChat:
    def mail(self, subject: str, sender: str = "chat-archiving+noreply@google.com") -> bytes:
        to = "<rose@example.com>, <mike@example.com>, <archive@vault.example>"
        return original(From=f"<{sender}>", To=to, Subject=subject)

    @pytest.mark.parametrize(
        ("subject", "space"),
        [
            ("Google Chat activity from DM 8at_0gAAAAE with rose, mike", "8at_0gAAAAE"),
            ("Google Chat activity from Chat space g2-uKgAAAAE with 6 members", "g2-uKgAAAAE"),
            ("Google Chat activity from Room g2-uKgAAAAE with 6 members", "g2-uKgAAAAE"),
        ],
    )
    def test_a_space_is_one_conversation_of_its_people(self, subject: str, space: str) -> None:
        (only,) = events(self.mail(subject), "Archive@vault.example")
        place = only.event.data.conversation
        assert (place.id, place.kind) == (space, "group")
        assert present(only) == [("mike@example.com", False), ("rose@example.com", False)]
        assert only.event.data.actor is None
        assert only.event.data.message is not None and only.event.data.message.text == "Shall we?"

    def test_nobody_else_can_speak_for_a_space(self) -> None:
        (only,) = events(self.mail("Google Chat activity from DM 8at_0gAAAAE with rose", "eve@example.com"))
        assert only.event.data.actor is not None and only.event.data.actor.address == "eve@example.com"
        assert only.event.data.conversation.id != "8at_0gAAAAE"
