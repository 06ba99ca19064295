"""The mail intake, talked to by the standard library's clients and by bare sockets, over loopback."""

from __future__ import annotations

import base64
import gzip
import json
import select
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from contracts.source import SourceContract, Spooled, eventually
from structlog.testing import capture_logs
from tls_strangers import ALWAYS, ASKED, Stranger
from tls_strangers import files as tls_files

from archiver.events import Captured, Outcome, Rejected
from archiver.exceptions import EnvironmentFault, TryLater, UsageError
from archiver.sources import connection
from archiver.sources.access import Access, Doorkeeper
from archiver.sources.connection import Limits
from archiver.sources.credentials import Secret, digest_of
from archiver.sources.protocol import Source
from archiver.sources.smtp import Address, MailSource
from archiver.sources.tls import Tls

HEADERS = "From: ann@a.example\r\nTo: bob@b.example\r\nDate: Fri, 21 Nov 1997 09:55:06 -0600\r\n"


def letter(text: str, number: int | str = "", headers: str = "") -> bytes:
    identity = f"Message-ID: <{number}@a.example>\r\n" if number != "" else ""
    return f"{HEADERS}{identity}{headers}\r\n{text}\r\n".encode()


def post(source: MailSource, text: str) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", source.addresses[0].port, timeout=20) as client:
            client.sendmail("ann@a.example", ["journal@x.example"], letter(text))
    except smtplib.SMTPDataError as refused:
        assert refused.smtp_code == 451
        return False
    return True


def post_local(source: MailSource, text: str) -> bool:
    path = source.addresses[0].path
    host = str(path) if path else "127.0.0.1"
    with smtplib.LMTP(host, source.addresses[0].port) as client:
        client.ehlo()
        client.docmd("MAIL", "FROM:<ann@a.example>")
        client.docmd("RCPT", "TO:<one@x.example>")
        client.docmd("RCPT", "TO:<two@x.example>")
        codes = [client.data(letter(text))[0], client.getreply()[0]]
        assert codes in ([250, 250], [451, 451])
    return codes[0] == 250


def is_cut_off(client: socket.socket) -> bool:
    poll = select.poll()
    poll.register(client, 0)
    return bool(poll.poll(0))


class MailContract(SourceContract):
    def sockets(self, source: MailSource) -> list[socket.socket]:
        assert source._intake is not None
        return source._intake._bound


class TestSmtp(MailContract):
    def make(self, tmp_path: Path) -> Source:
        return MailSource("test", (Address(),))

    def make_taken(self, tmp_path: Path, source: MailSource) -> Source:
        return MailSource("other", (Address(), Address(port=source.addresses[0].port)))

    def send(self, source: MailSource, text: str) -> bool:
        return post(source, text)


class TestLmtp(MailContract):
    def make(self, tmp_path: Path) -> Source:
        return MailSource("test", (Address(local=True),))

    def make_taken(self, tmp_path: Path, source: MailSource) -> Source:
        return MailSource("other", (Address(port=source.addresses[0].port, local=True),))

    def send(self, source: MailSource, text: str) -> bool:
        return post_local(source, text)


class TestLmtpOnASocketFile(MailContract):
    def make(self, tmp_path: Path) -> Source:
        return MailSource("test", (Address(path=tmp_path / "lmtp", local=True, mode=0o600),))

    def make_taken(self, tmp_path: Path, source: MailSource) -> Source:
        return self.make(tmp_path)

    def send(self, source: MailSource, text: str) -> bool:
        return post_local(source, text)

    def test_a_file_that_somebody_removed_is_told(self, tmp_path: Path, source: MailSource) -> None:
        (tmp_path / "lmtp").unlink()
        assert "lmtp" in source.fault and not source.up

    def test_the_file_has_its_mode_and_goes_with_the_source(self, tmp_path: Path, spooled: Spooled) -> None:
        source = MailSource("test", (Address(path=tmp_path / "lmtp", local=True, mode=0o600),))
        source.start(spooled)
        assert (tmp_path / "lmtp").stat().st_mode & 0o777 == 0o600
        source.stop()
        assert not (tmp_path / "lmtp").exists()

    def test_what_a_dead_process_left_is_replaced(self, tmp_path: Path, spooled: Spooled) -> None:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / "lmtp"))
        source = MailSource("test", (Address(path=tmp_path / "lmtp", local=True),))
        source.start(spooled)
        assert post_local(source, "hello")
        source.stop()

    def test_a_file_that_is_no_socket_stays(self, tmp_path: Path, spooled: Spooled) -> None:
        (tmp_path / "lmtp").write_text("precious")
        with pytest.raises(EnvironmentFault, match="no socket"):
            MailSource("test", (Address(path=tmp_path / "lmtp"),)).start(spooled)
        assert (tmp_path / "lmtp").read_text() == "precious"


@pytest.fixture
def spooled() -> Spooled:
    return Spooled()


Start = Callable[..., MailSource]


@pytest.fixture
def start(spooled: Spooled) -> Iterator[Start]:
    """Starts a source with the given settings; all end with the test."""
    started: list[MailSource] = []

    def begin(*addresses: Address, **settings: Any) -> MailSource:
        source = MailSource("test", addresses or (Address(),), **settings)
        started.append(source)
        source.start(spooled)
        return source

    yield begin
    spooled.gate.set()
    for source in started:
        source.stop()


class Client:
    """A client that says exactly what it is told; `say` gives the last line of the reply."""

    def __init__(self, source: MailSource, hello: str = "EHLO me") -> None:
        self.socket = socket.create_connection(("127.0.0.1", source.addresses[0].port), timeout=20)
        self.file = self.socket.makefile("rb")
        assert self.reply().startswith("220")
        self.hello = self.say(hello)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *fault: object) -> None:
        self.file.close()
        self.socket.close()

    def say(self, *lines: str | bytes) -> str:
        self.socket.sendall(b"".join((line if isinstance(line, bytes) else line.encode()) + b"\r\n" for line in lines))
        return self.reply()

    def reply(self) -> str:
        while True:
            line = self.file.readline().decode()
            if line[3:4] != "-":
                return line.rstrip("\r\n")

    def begin(self) -> None:
        assert self.say("MAIL FROM:<ann@a.example>").startswith("250")
        assert self.say("RCPT TO:<journal@x.example>").startswith("250")
        assert self.say("DATA").startswith("354")


def hand_over(client: Client, mail: bytes, spooled: Spooled) -> None:
    """A whole mail, which is being kept until the gate opens."""
    spooled.gate.clear()
    client.begin()
    client.socket.sendall(mail + b".\r\n")
    assert spooled.entered.wait(10)


def bring(source: MailSource, client: Client, size: int) -> None:
    """So many bytes of a mail, and then no more."""
    client.begin()
    client.socket.sendall(b"x" * (size - 3) + b".\r\n")
    intake = source._intake
    assert intake is not None
    assert eventually(lambda: size in [each._held for each in list(intake.connections)])


def captured(spooled: Spooled) -> list[Captured]:
    return [record for record in spooled.records if isinstance(record, Captured)]


class TestConversation:
    def test_many_mails_over_one_connection_keep_their_order(self, start: Start, spooled: Spooled) -> None:
        with smtplib.SMTP("127.0.0.1", start().addresses[0].port) as client:
            for number in range(30):
                client.sendmail("ann@a.example", ["j@x.example"], letter(f"text {number}", number))
        assert spooled.texts == [f"text {number}" for number in range(30)]

    def test_what_is_known_before_the_data(self, start: Start) -> None:
        with smtplib.SMTP("127.0.0.1", start(limits=Limits(size=12345)).addresses[0].port) as client:
            client.ehlo()
            assert client.esmtp_features["size"] == "12345"
            assert {"8bitmime", "smtputf8", "pipelining"} <= set(client.esmtp_features)

    def test_addresses_in_any_script(self, start: Start, spooled: Spooled) -> None:
        with smtplib.SMTP("127.0.0.1", start().addresses[0].port) as client:
            mail = "From: 愛 <愛@例え.example>\r\nTo: bob@b.example\r\nSubject: 件名\r\n\r\n本文\r\n".encode()
            client.sendmail("愛@例え.example", ["журнал@x.example"], mail, ["SMTPUTF8", "BODY=8BITMIME"])
        (only,) = captured(spooled)
        assert only.event.data.actor is not None and only.event.data.actor.address == "愛@例え.example"
        assert spooled.texts == ["本文"]

    def test_the_null_sender_is_nobody(self, start: Start, spooled: Spooled) -> None:
        with smtplib.SMTP("127.0.0.1", start().addresses[0].port) as client:
            client.sendmail("", ["j@x.example"], b"Subject: bounced\r\n\r\nHi\r\n")
            client.sendmail("", ["j@x.example"], letter("notice"))
        nobody, notice = spooled.records
        assert isinstance(nobody, Rejected)
        assert isinstance(notice, Captured)

    def test_nobody_learns_who_is_known(self, start: Start) -> None:
        with Client(start()) as client:
            assert client.say("VRFY root") == client.say("VRFY nobody-of-that-name") == "252 2.1.5 Send it and see"
            assert client.say("EXPN staff").startswith("502")

    def test_lmtp_answers_for_each_recipient(self, start: Start, spooled: Spooled) -> None:
        with Client(start(Address(local=True)), "LHLO me") as client:
            client.say("MAIL FROM:<a@a.example>")
            for number in range(3):
                client.say(f"RCPT TO:<r{number}@x.example>")
            assert client.say("DATA").startswith("354")
            assert client.say(letter("one").removesuffix(b"\r\n"), ".").startswith("250")
            assert [client.reply()[:3] for _ in range(2)] == ["250", "250"]
            assert client.say("NOOP").startswith("250")
        assert spooled.texts == ["one"]

    def test_lmtp_knows_no_helo_and_smtp_no_lhlo(self, start: Start) -> None:
        source = start(Address(local=True))
        with Client(source, "EHLO me") as client:
            assert client.hello.startswith("500")
        with Client(start(), "LHLO me") as client:
            assert client.hello.startswith("500")

    def test_commands_may_come_together(self, start: Start, spooled: Spooled) -> None:
        with Client(start()) as client:
            assert client.say("MAIL FROM:<a@a.example>", "RCPT TO:<j@x.example>", "DATA").startswith("250")
            assert client.reply().startswith("250")
            assert client.reply().startswith("354")
            second = ("MAIL FROM:<a@a.example>", "RCPT TO:<j@x.example>", "DATA")
            assert client.say(letter("one").removesuffix(b"\r\n"), ".", *second).startswith("250 2.0.0")
            assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
            assert client.say(letter("two").removesuffix(b"\r\n"), ".").startswith("250 2.0.0")
        assert spooled.texts == ["one", "two"]

    def test_data_needs_its_recipients(self, start: Start) -> None:
        with Client(start()) as client:
            assert client.say("DATA").startswith("503")
            client.say("MAIL FROM:<a@a.example>")
            assert client.say("DATA").startswith("503")
            client.say("RCPT TO:<j@x.example>")
            assert client.say("DATA now").startswith("501")

    def test_recipients_are_bounded(self, start: Start) -> None:
        with Client(start()) as client:
            client.say("MAIL FROM:<a@a.example>")
            replies = [client.say(f"RCPT TO:<r{number}@x.example>")[:3] for number in range(1001)]
        assert replies == ["250"] * 1000 + ["452"]


class TestData:
    @pytest.mark.parametrize(
        ("sent", "text"),
        [
            (b"..\r\n...a\r\nb..", ".\n..a\nb.."),
            (b"a.\r\nb", "a.\nb"),
            (b"a\nb\rc", "a\nb\nc"),
            (b"a\n.b\r.c", "a\n.b\n.c"),
            (b"x" * 100_000, "x" * 100_000),
            (b"x" * 65_530 + b".\r\ny", "x" * 65_530 + ".\ny"),
        ],
        ids=["dots", "dot at the end", "lone LF and CR", "dots after them", "long line", "at the edge"],
    )
    def test_only_a_dot_between_line_ends_ends_it(self, start: Start, spooled: Spooled, sent: bytes, text: str) -> None:
        with Client(start()) as client:
            client.begin()
            assert client.say(HEADERS, sent, ".").startswith("250 2.0.0")
            assert client.say("NOOP").startswith("250")
        assert spooled.texts == [text]

    @pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
    def test_however_it_is_cut(self, start: Start, spooled: Spooled, size: int) -> None:
        mail = letter("\r\n.a.\r\n..\r\n.\r\n b").replace(b"\r\n.", b"\r\n..") + b".\r\n"
        with Client(start()) as client:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.begin()
            for at in range(0, len(mail), size):
                client.socket.sendall(mail[at : at + size])
            assert client.reply().startswith("250")
        assert spooled.texts == [".a.\n..\n.\n b"]

    def test_nothing_at_all_is_a_mail_too(self, start: Start, spooled: Spooled) -> None:
        with Client(start()) as client:
            client.begin()
            assert client.say(".").startswith("250")
            assert client.say("NOOP").startswith("250")
        (only,) = captured(spooled)
        assert only.event.data.conversation.id == "ann@a.example"

    @pytest.mark.parametrize("end", [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r"])
    def test_a_mail_cannot_smuggle_another(self, start: Start, spooled: Spooled, end: bytes) -> None:
        """What some take for the end of a mail: it is refused whole, once, and the talk goes on."""
        hidden = end + b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<j@x.example>\r\nDATA\r\n" + letter("smuggled")
        source = start()
        with Client(source) as client:
            client.begin()
            assert client.say(letter("honest")[:-2] + hidden, ".").startswith("550 5.5.2")
            client.begin()
            assert client.say(letter("next"), ".").startswith("250")
        assert spooled.texts == ["next"]
        assert source.signs().refused == {"unclear end": 1}

    def test_a_client_that_dies_in_its_data_leaves_nothing(self, start: Start, spooled: Spooled) -> None:
        source = start()
        with Client(source) as client:
            client.begin()
            client.socket.sendall(letter("half"))
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        assert post(source, "whole")
        assert spooled.texts == ["whole"]

    @pytest.mark.parametrize("behind", [b"", b"QUIT\r\n", b"MAIL FROM:<x@a.example>\r\n"])
    def test_who_half_closes_behind_a_mail_gets_its_reply(self, start: Start, spooled: Spooled, behind: bytes) -> None:
        source = start()
        with Client(source) as client:
            client.begin()
            client.socket.sendall(letter("kept") + b".\r\n" + behind)
            client.socket.shutdown(socket.SHUT_WR)
            assert client.reply().startswith("250")
            assert client.socket.recv(100) == b""
        assert spooled.texts == ["kept"]

    def test_who_half_closes_while_it_is_taken_gets_its_reply(self, start: Start, spooled: Spooled) -> None:
        source = start()
        with Client(source) as client:
            hand_over(client, letter("kept"), spooled)
            client.socket.shutdown(socket.SHUT_WR)
            time.sleep(0.1)
            spooled.gate.set()
            assert client.reply().startswith("250")
        assert spooled.texts == ["kept"]

    def test_who_half_closes_within_a_mail_leaves_nothing(self, start: Start, spooled: Spooled) -> None:
        source = start()
        with capture_logs() as logs, Client(source) as client:
            client.begin()
            client.socket.sendall(letter("half"))
            client.socket.shutdown(socket.SHUT_WR)
            assert client.socket.recv(100) == b""
        assert post(source, "whole")
        assert spooled.texts == ["whole"] and source.signs().refused == {}
        assert logs == []

    def test_a_client_that_dies_before_its_reply_leaves_its_mail(self, start: Start, spooled: Spooled) -> None:
        source = start()
        with Client(source) as client:
            hand_over(client, letter("kept"), spooled)
        spooled.gate.set()
        assert post(source, "next")
        assert spooled.texts == ["kept", "next"]


class TestLimits:
    def test_too_big_by_its_own_word(self, start: Start, spooled: Spooled) -> None:
        with Client(start(limits=Limits(size=1000))) as client:
            assert client.say("MAIL FROM:<a@a.example> SIZE=1001").startswith("552")
            assert client.say("MAIL FROM:<a@a.example> SIZE=1000").startswith("250")

    @pytest.mark.parametrize("more", [1, 10, 100_000, 3_000_000])
    def test_too_big_when_it_is_there(self, start: Start, spooled: Spooled, more: int) -> None:
        with Client(start(limits=Limits(size=1000))) as client:
            client.begin()
            assert client.say("x" * (1000 - 2 + more), ".").startswith("552 5.3.4")
            client.begin()
            assert client.say("x" * (1000 - 2), ".").startswith("250")
        assert len(spooled.records) == 1

    def test_lmtp_says_so_for_each_recipient(self, start: Start) -> None:
        with Client(start(Address(local=True), limits=Limits(size=10)), "LHLO me") as client:
            client.say("MAIL FROM:<a@a.example>")
            client.say("RCPT TO:<one@x.example>")
            client.say("RCPT TO:<two@x.example>")
            client.say("DATA")
            assert [client.say("x" * 100, ".")[:3], client.reply()[:3]] == ["552", "552"]

    def test_all_together_are_bounded_and_come_again(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(size=10_000, memory=15_000))
        with Client(source) as first, Client(source) as second:
            hand_over(first, letter("x" * 9000, 1), spooled)
            second.begin()
            assert second.say(letter("x" * 9000, 2), ".").startswith("452 4.3.1")
            spooled.gate.set()
            assert first.reply().startswith("250")
            second.begin()
            assert second.say(letter("x" * 9000, 2), ".").startswith("250")
        assert len(spooled.records) == 2

    def test_who_stalls_gives_way_to_who_has_more_to_bring(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(memory=250_000))
        with Client(source) as longest, Client(source) as later, Client(source) as third:
            bring(source, longest, 100_000)
            bring(source, later, 110_000)
            third.begin()
            assert third.say(letter("x" * 100_000, 1), ".").startswith("250")
            assert longest.reply().startswith("421 4.3.1")
            assert later.say("x", ".").startswith("250")
        assert source.signs().refused == {"too much at once": 1}
        assert len(spooled.records) == 2

    def test_what_is_dropped_holds_nothing(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(size=100_000, memory=150_000))
        with Client(source) as large, Client(source) as other:
            large.begin()
            large.socket.sendall(b"x" * 90_000 + b".\r\n" + b"x" * 10_000 + b".\r\n")
            assert eventually(lambda: source.signs().refused == {"too big": 1})
            other.begin()
            assert other.say(letter("x" * 90_000, 1), ".").startswith("250")
            assert large.say("x", ".").startswith("552")
        assert source.signs().refused == {"too big": 1}

    def test_who_stalls_in_a_mail_keeps_nobody_out(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(connections=2))
        with Client(source) as first, Client(source) as second:
            first.begin()
            second.begin()
            with Client(source) as third:
                assert first.reply().startswith("421 4.7.0"), "whose mail comes for longest makes room"
                third.begin()
                assert third.say(letter("x", 1), ".").startswith("250")
            assert second.say(letter("x", 2), ".").startswith("250")
        assert source.signs().refused == {"too many connections": 1}
        assert len(spooled.records) == 2

    def test_who_stalls_in_a_mail_goes_before_who_brings_one_slowly(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(connections=2))
        with Client(source) as slow:
            slow.begin()
            slow.socket.sendall(letter("x" * 500_000, 1))
            for _ in range(3):
                with Client(source) as stalled:
                    stalled.begin()
                    with Client(source):
                        assert stalled.reply().startswith("421 4.7.0")
                time.sleep(0.1)
            assert slow.say("x", ".").startswith("250")
        assert source.signs().refused == {"too many connections": 3}
        assert len(spooled.records) == 1

    def test_who_stalls_in_a_mail_goes_before_who_has_just_come(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(connections=2))
        with Client(source) as stalled:
            stalled.begin()
            with Client(source) as come, Client(source):
                assert stalled.reply().startswith("421 4.7.0")
                come.begin()
                assert come.say(letter("x", 1), ".").startswith("250")

    @pytest.mark.parametrize("leaves", [False, True])
    def test_who_takes_in_no_reply_keeps_nobody_out(self, start: Start, spooled: Spooled, leaves: bool) -> None:
        source = start(limits=Limits(connections=1))
        assert source._intake is not None
        source._intake._bound[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with socket.socket() as asking:
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            asking.connect(("127.0.0.1", source.addresses[0].port))
            asking.settimeout(1.0)
            with suppress(TimeoutError):
                while True:
                    asking.sendall(b"HELP\r\n" * 1_000)
            if leaves:
                asking.shutdown(socket.SHUT_WR)
            for number in (1, 2):
                with Client(source) as other:
                    other.begin()
                    assert other.say(letter("x", number), ".").startswith("250")
            assert eventually(lambda: is_cut_off(asking))
        assert source.signs().refused == {"too many connections": 1}

    def test_whose_mail_is_being_kept_is_not_sent_away(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(connections=1))
        with Client(source) as first:
            hand_over(first, letter("x", 1), spooled)
            with socket.create_connection(("127.0.0.1", source.addresses[0].port), timeout=20) as second:
                assert second.recv(100).startswith(b"421 4.7.0")
            spooled.gate.set()
            assert first.reply().startswith("250")
        assert source.signs().refused == {"too many connections": 1}

    def test_who_says_nothing_keeps_nobody_out(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(connections=2))
        with Client(source) as receiving, Client(source) as silent:
            receiving.begin()
            for number in (1, 2, 3):
                with Client(source) as other:
                    other.begin()
                    assert other.say(letter("x", number), ".").startswith("250")
            assert silent.reply().startswith("421 4.7.0"), "who is silent for longest makes room"
            assert receiving.say(letter("x", 4), ".").startswith("250")
        assert len(spooled.records) == 4

    def test_who_dribbles_is_sent_away_however_often_they_say_something(
        self, start: Start, spooled: Spooled, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection, "TIMEOUT", 1.0)
        source = start()
        with Client(source) as client:
            client.begin()
            client.socket.settimeout(0.1)
            began, told = time.monotonic(), b""
            while not told and time.monotonic() < began + 20:
                client.socket.sendall(b"x.\r\n")  # a piece for whoever reads up to a dot
                with suppress(TimeoutError):
                    told = client.socket.recv(100)
        assert told.startswith(b"421 4.4.2") and source.signs().refused == {"too slow": 1}
        assert spooled.records == []

    def test_silence_within_a_mail_is_given_up_however_much_came(
        self, start: Start, spooled: Spooled, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection, "BLOCK_TIMEOUT", 0.5)
        source = start()
        with Client(source) as stalled:
            bring(source, stalled, 500_000)
            assert stalled.reply().startswith("421 4.4.2")
        assert source.signs().refused == {"too slow": 1}

    def test_a_client_that_is_idle_is_sent_away_and_did_nothing_wrong(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection, "TIMEOUT", 0.3)
        source = start()
        with Client(source) as client:
            assert client.reply().startswith("421 4.4.2")
        assert source.signs().refused == {}

    def test_a_command_without_end_does_not_fill_us(self, start: Start) -> None:
        with Client(start()) as client:
            assert client.say("NOOP " + "x" * 1_000_000).startswith("500")
            assert client.say("NOOP").startswith("250")


class TestReplies:
    @pytest.mark.parametrize("fault", [TryLater("full"), ValueError("a secret\r\n250 OK")])
    def test_a_fault_is_never_for_good_nor_told(self, start: Start, spooled: Spooled, fault: Exception) -> None:
        spooled.fault = fault
        with Client(start()) as client:
            client.begin()
            assert client.say(letter("one"), ".") == "451 4.3.0 Try again later"
            spooled.fault = None
            client.begin()
            assert client.say(letter("one"), ".").startswith("250")

    def test_one_bad_mail_does_not_take_others_with_it(self, start: Start, spooled: Spooled) -> None:
        def accept(batch: Any) -> Any:
            outcomes = spooled(batch)
            if "bad" in spooled.texts:
                spooled.records.clear()
                raise KeyError("bad")
            return outcomes

        source = MailSource("test", (Address(),))
        source.start(accept)
        spooled.gate.clear()
        answers: dict[str, bool] = {}
        texts = ["first", "bad", *(f"good {number}" for number in range(6))]
        senders = [
            threading.Thread(target=lambda text=text: answers.update({text: post(source, text)})) for text in texts
        ]
        senders[0].start()
        assert spooled.entered.wait(10)
        for sender in senders[1:]:
            sender.start()
        spooled.gate.set()
        for sender in senders:
            sender.join(20)
        source.stop()
        assert answers == {text: text != "bad" for text in texts}

    @pytest.mark.parametrize(
        "command",
        [
            b"MAIL FROM:<a@a.example\r250 OK>",
            b"RCPT TO:<" + b"(" * 1500 + b">",
            b"MAIL FROM:" + b"\xff\xfe",
            b"VRFY \xff\r250 evil",
            b"HELP \xff",
            b'MAIL FROM:<"\\>',
            b"\x00\x01\x02",
            b"DATA",
            b"MAIL",
            b"EHLO",
            b"AUTH PLAIN",
            b"STARTTLS",
            b"MAIL FROM:<a@a.example> SIZE=99999999999999999999999999",
        ],
    )
    def test_odd_commands_get_one_line_and_the_talk_goes_on(self, start: Start, command: bytes) -> None:
        with Client(start()) as client:
            reply = client.say(command)
            assert reply[:1] in "245" and reply[3] == " "
            assert client.say("RSET").startswith("250")
            assert client.say("NOOP").startswith("250")


EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "test:one",
    "type": "message.sent",
    "time": "2012-10-12T00:00:00Z",
    "data": {"conversation": {"id": "room", "kind": "group"}, "message": {"id": "m", "text": "t"}},
}


class TestBatches:
    def test_fifty_clients_share_commits(self, start: Start, spooled: Spooled) -> None:
        source = start()
        spooled.gate.clear()
        acknowledged: list[str] = []

        def send(text: str) -> None:
            if post(source, text):
                acknowledged.append(text)

        texts = [f"text {number}" for number in range(50)]
        senders = [threading.Thread(target=send, args=(text,)) for text in texts]
        for sender in senders:
            sender.start()
        assert spooled.entered.wait(10)
        assert acknowledged == []
        spooled.gate.set()
        for sender in senders:
            sender.join(30)
        assert sorted(spooled.texts) == sorted(acknowledged) == sorted(texts)
        assert len(spooled.batches) < 50

    def test_a_mail_of_many_events_comes_in_slices(self, start: Start, spooled: Spooled) -> None:
        lines = "".join(json.dumps(EVENT | {"id": str(number)}) + "\n" for number in range(1234))
        headers = "Content-Type: application/gzip; name=day.ndjson.gz\r\nContent-Transfer-Encoding: base64\r\n"
        with Client(start()) as client:
            client.begin()
            packed = base64.encodebytes(gzip.compress(lines.encode()))
            assert client.say(letter("", headers=headers)[:-2] + packed, ".").startswith("250")
        assert [record.event.id for record in captured(spooled)] == [str(number) for number in range(1234)]
        assert spooled.batches == [500, 500, 234]

    def test_when_a_later_slice_fails_the_mail_comes_again(self, start: Start, spooled: Spooled) -> None:
        lines = json.dumps(EVENT).encode() + b"\r\n" + b"{broken\r\n" * 899
        headers = "Content-Type: application/x-ndjson\r\n"
        taken: list[int] = []

        def accept(batch: Any) -> Any:
            taken.append(len(batch))
            if len(taken) == 2:
                raise TryLater("full")
            return [Outcome.QUARANTINED] * len(batch)

        source = MailSource("test", (Address(),))
        source.start(accept)
        with Client(source) as client:
            for expected in ("451", "250"):
                client.begin()
                assert client.say(letter("", headers=headers)[:-2] + lines, ".").startswith(expected)
        source.stop()
        assert taken == [500, 400, 500, 400]


class TestLife:
    def test_idle_clients_are_told_when_it_stops(self, start: Start) -> None:
        source = start()
        with Client(source) as client:
            source.stop()
            assert client.reply().startswith("421 4.3.2")
            assert client.file.readline() == b""

    def test_a_mail_coming_in_is_finished_and_no_other_begun(self, start: Start, spooled: Spooled) -> None:
        source = start()
        with Client(source) as client, Client(source) as idle:
            client.begin()
            client.socket.sendall(HEADERS.encode())
            stopping = threading.Thread(target=source.stop)
            stopping.start()
            assert idle.reply().startswith("421")
            assert client.say("\r\nlast", ".").startswith("250")
            assert client.reply().startswith("421")
            stopping.join(10)
        assert spooled.texts == ["last"]
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", source.addresses[0].port), timeout=1)

    def test_a_client_that_never_ends_is_cut_off(self, start: Start, spooled: Spooled) -> None:
        source = start(drain=0.05)
        with Client(source) as client:
            client.begin()
            client.socket.sendall(HEADERS.encode())
            source.stop()
            assert client.file.readline() == b""
        assert spooled.records == []

    def test_it_starts_once(self, start: Start, spooled: Spooled) -> None:
        source = start()
        with pytest.raises(UsageError):
            source.start(spooled)
        source.stop()
        with pytest.raises(UsageError):
            source.start(spooled)

    def test_it_says_where_it_listens(self, start: Start, tmp_path: Path) -> None:
        source = start(Address(), Address(local=True), Address(path=tmp_path / "l", local=True))
        first, second, third = source.addresses
        assert first.port and second.port
        assert source.describe() == (
            f"mail on smtp://127.0.0.1:{first.port}, lmtp://127.0.0.1:{second.port}, lmtp:{third.path}"
        )

    def test_no_log_says_who_writes_to_whom(self, start: Start, caplog: pytest.LogCaptureFixture, capsys: Any) -> None:
        caplog.set_level("INFO")
        assert post(start(), "hello")
        assert "ann@a.example" not in caplog.text + "".join(capsys.readouterr())

    def test_the_time_of_receipt_is_the_clocks(self, start: Start, spooled: Spooled) -> None:
        assert post(start(clock=lambda: 1_700_000_000_000_000), "hello")
        (only,) = captured(spooled)
        assert only.received == 1_700_000_000_000_000


SECRET = "a-secret-that-nobody-guesses"
KNOWN = "AUTH PLAIN " + base64.b64encode(b"\0exchange\0" + SECRET.encode()).decode()
LOGIN = Secret("exchange", sha256=digest_of(SECRET).hex())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tls, ssl.SSLContext]:
    """One for localhost, and what trusts it."""
    authority, folder = trustme.CA(key_type=trustme.KeyType.ECDSA), tmp_path_factory.mktemp("tls")
    made = authority.issue_cert("localhost")
    made.private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return Tls(folder / "both.pem", folder / "both.pem"), trusting


class TestAccess:
    def sent(self, source: MailSource, context: ssl.SSLContext | None = None, password: str | None = None) -> int:
        """The code that a mail was answered with, or what was before it."""
        with smtplib.SMTP("127.0.0.1", source.addresses[0].port, "me", timeout=20) as client:
            client._host = "localhost"  # whose certificate is asked for
            try:
                if context is not None:
                    client.starttls(context=context)
                if password is not None:
                    client.login("exchange", password)
                client.sendmail("ann@a.example", ["journal@x.example"], letter("hello"))
            except smtplib.SMTPResponseException as refused:
                return refused.smtp_code
            except smtplib.SMTPNotSupportedError:
                return 0
        return 250

    def test_starttls(self, start: Start, spooled: Spooled, certificate: Any) -> None:
        tls, trusting = certificate
        source = start(access=Access(tls=tls))
        assert self.sent(source, trusting) == 250 and self.sent(source) == 250
        assert spooled.texts == ["hello"] * 2

    def test_only_after_starttls_where_it_is_required(self, start: Start, spooled: Spooled, certificate: Any) -> None:
        tls, trusting = certificate
        source = start(access=Access(tls=tls, require_tls=True))
        assert self.sent(source) == 530 and spooled.texts == []
        assert self.sent(source, trusting) == 250

    def test_who_stalls_in_a_handshake_keeps_nobody_out(
        self, start: Start, certificate: tuple[Tls, ssl.SSLContext]
    ) -> None:
        source = start(access=Access(tls=certificate[0]), limits=Limits(connections=1))
        with Client(source) as stalled:
            assert stalled.say("STARTTLS").startswith("220")
            for number in (1, 2):
                with Client(source) as other:
                    other.begin()
                    assert other.say(letter("x", number), ".").startswith("250")
        assert source._intake is not None
        held = source._intake.connections
        assert eventually(lambda: not held)

    def test_what_was_said_before_starttls_counts_for_nothing(
        self, start: Start, spooled: Spooled, certificate: Any
    ) -> None:
        """RFC 3207, 6: commands put into the clear text beside STARTTLS are not carried out after it."""
        tls, trusting = certificate
        source = start(access=Access(tls=tls))
        with Client(source) as client:
            client.socket.sendall(b"STARTTLS\r\nMAIL FROM:<evil@x.example>\r\nRCPT TO:<j@x.example>\r\n")
            assert client.reply().startswith("220")
            try:
                secure = trusting.wrap_socket(client.socket, server_hostname="localhost")
            except OSError:
                return  # the rest was taken for a handshake, and failed as one
            secure.sendall(b"EHLO me\r\nDATA\r\n")
            replies = secure.recv(4096) + secure.recv(4096)
            assert b"354" not in replies

    @pytest.mark.parametrize("local", [False, True], ids=["SMTP", "LMTP"])
    @pytest.mark.parametrize("stranger", (ASKED | ALWAYS).values(), ids=(ASKED | ALWAYS).keys())
    def test_who_fails_at_starttls_is_told_why_counted_and_told_of(
        self, start: Start, tmp_path: Path, stranger: Stranger, local: bool
    ) -> None:
        named = {key: Path(path) for key, path in tls_files(tmp_path).items()}
        access = Access(tls=Tls(named["certificate"], named["key"], named["client_ca"]))
        source = start(Address(local=local), access=access)
        with capture_logs() as logs:
            for _ in range(12):
                with Client(source, "LHLO me" if local else "EHLO me") as client:
                    assert client.say("STARTTLS").startswith("220")
                    assert stranger.meet(client.socket) == stranger.told
            assert eventually(lambda: source.signs().refused == {stranger.counted: 12})
        assert {each["event"] for each in logs} == {"mail_refused"} and len(logs) == 10
        assert logs[0]["reason"] == stranger.counted and logs[0]["client"] == "127.0.0.1"

    @pytest.mark.parametrize("password", [None, "", "wrong", SECRET[:-1], SECRET + "x", digest_of(SECRET).hex()])
    def test_only_who_logs_in(self, start: Start, spooled: Spooled, certificate: Any, password: str | None) -> None:
        tls, trusting = certificate
        source = start(access=Access(tls=tls, logins=(Secret("other", sha256="0" * 64), LOGIN)))
        assert self.sent(source, trusting, password) in (530, 535)
        assert spooled.texts == []
        assert source.signs().refused.get("log-in", 0) == (password is not None) * (2 if password is not None else 0)
        assert self.sent(source, trusting, SECRET) == 250

    def test_who_guesses_is_sent_away(self, start: Start) -> None:
        source = start(access=Access(logins=(LOGIN,)))
        with Client(source) as client:
            told = [client.say("AUTH PLAIN AHgAeA==")[:3] for _ in range(6)]
            assert told == ["535"] * 5 + ["421"]
            assert client.socket.recv(100) == b""
        assert source.signs().refused == {"log-in": 5, "too many log-ins": 1}

    @pytest.mark.parametrize(
        ("said", "told", "counted"),
        [
            (["AUTH PLAIN AHgAeA=="], ["535"], {"log-in": 1}),
            (["AUTH PLAIN", "AHgAeA=="], ["334", "535"], {"log-in": 1}),
            (["AUTH PLAIN x"], ["501"], {"malformed": 1}),
            (["AUTH PLAIN eA=="], ["501"], {"malformed": 1}),
            (["AUTH PLAIN", "x"], ["334", "501"], {"malformed": 1}),
            (["AUTH LOGIN", "*"], ["334", "501"], {}),
            (["AUTH LOGIN", "eA==", "x"], ["334", "334", "501"], {"malformed": 1}),
            (["AUTH"], ["501"], {"malformed": 1}),
            (["AUTH PLAIN x x"], ["501"], {"malformed": 1}),
            (["AUTH DIGEST-MD5"], ["504"], {"malformed": 1}),
            (["HELO me", "AUTH PLAIN AHgAeA=="], ["250", "500"], {"malformed": 1}),
            ([KNOWN, KNOWN], ["235", "503"], {"malformed": 1}),
        ],
    )
    def test_what_fails_is_answered_and_counted_once_as_what_it_is(
        self, start: Start, said: list[str], told: list[str], counted: dict[str, int]
    ) -> None:
        source = start(access=Access(logins=(LOGIN,)))
        with Client(source) as client:
            assert [client.say(each)[:3] for each in said] == told
            assert client.say("NOOP").startswith("250")
        assert source.signs().refused == counted

    def test_no_log_in_goes_over_the_wire_in_clear(self, start: Start, certificate: Any) -> None:
        source = start(access=Access(tls=certificate[0], logins=(LOGIN,)))
        assert self.sent(source, None, SECRET) == 0
        with Client(source) as client:
            assert client.say("AUTH PLAIN AGV4Y2hhbmdlAHg=").startswith("538")
            assert client.say("NOOP").startswith("250")
        assert source.signs().refused == {"not under TLS": 1}

    def test_without_a_certificate_log_ins_are_for_loopback(self, start: Start) -> None:
        assert self.sent(start(access=Access(logins=(LOGIN,))), None, SECRET) == 250

    @pytest.mark.parametrize(
        ("clients", "code"),
        [((), 250), (("127.0.0.0/8",), 250), (("::1/128", "127.0.0.1/32"), 250), (("10.0.0.0/8",), 554)],
    )
    def test_only_from_where_it_is_allowed(self, start: Start, clients: tuple[str, ...], code: int) -> None:
        source = start(access=Access(clients=clients))
        with socket.create_connection(("127.0.0.1", source.addresses[0].port), timeout=20) as raw:
            assert raw.recv(100).startswith(b"220" if code == 250 else b"554")
        assert source.signs().refused == ({} if code == 250 else {"client not allowed": 1})

    @pytest.mark.parametrize(
        ("peer", "let_in"),
        [
            (("10.1.2.3", 5), True),
            (("::ffff:10.1.2.3", 5, 0, 0), True),
            (("11.1.2.3", 5), False),
            (("fe80::1%eth0", 5, 0, 2), True),
            ("", True),
        ],
    )
    def test_whom_networks_let_in(self, peer: Any, let_in: bool) -> None:
        assert Doorkeeper(Access(clients=("10.0.0.0/8", "fe80::/64"))).lets_in(peer) is let_in

    def test_a_secret_or_certificate_that_can_not_be_had_stops_the_start(self, tmp_path: Path) -> None:
        missing = tmp_path / "missing"
        for access in (Access(logins=(Secret("x", file=str(missing)),)), Access(tls=Tls(missing, missing))):
            source = MailSource("test", (Address(),), access=access)
            for attempt in (source.probe, lambda source=source: source.start(Spooled())):
                with pytest.raises(EnvironmentFault):
                    attempt()
            source.stop()
