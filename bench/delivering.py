"""Mails over SMTP into a running daemon: deliveries a second over parallel connections, each answered once durable."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

from bench.measure import Bench, Figure, at_least, percentile
from bench.serving import daemon, share

AIM = 500
_CLIENTS = 20
_WARMED_UP = 200


class Deliverer:
    """A mail server that keeps its connection, and pipelines (RFC 2920)."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._replies = self._socket.makefile("rb")
        self._expect(b"220")
        self._socket.sendall(b"EHLO bench\r\n")
        while self._replies.readline()[3:4] == b"-":
            pass

    def deliver(self, number: int) -> float:
        """Milliseconds from the first command to the reply to the mail."""
        began = time.monotonic()
        self._socket.sendall(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<journal@example.org>\r\nDATA\r\n")
        for code in (b"250", b"250", b"354"):
            self._expect(code)
        self._socket.sendall(_letter(number))
        self._expect(b"250")
        return (time.monotonic() - began) * 1_000

    def close(self) -> None:
        self._socket.close()

    def _expect(self, code: bytes) -> None:
        reply = self._replies.readline()
        if not reply.startswith(code):
            raise RuntimeError(f"the daemon answered {reply!r}")


def run(bench: Bench) -> Iterator[Figure]:
    mails = min(10_000, max(100, bench.sizes.events // 10))
    bench.say(f"smtp: {mails:,} mails over {_CLIENTS} connections")
    with daemon(bench.fresh("smtp")) as running:

        def deliver(numbers: range) -> list[float]:
            return share(numbers, _CLIENTS, lambda: Deliverer(running.smtp), Deliverer.deliver)

        deliver(range(-_WARMED_UP, 0))
        began = time.monotonic()
        took = deliver(range(mails))
        seconds = time.monotonic() - began
    facts = {
        "mails": mails,
        "connections": _CLIENTS,
        "median_ms": round(percentile(took, 50), 1),
        "p99_ms": round(percentile(took, 99), 1),
    }
    yield at_least(AIM, "smtp.deliveries", "mails taken over SMTP", mails / seconds, "mails/s", facts=facts)


def _letter(number: int) -> bytes:
    return (
        f"From: User {number % 100} <user{number % 100}@example.org>\r\nTo: user{number % 7 + 100}@example.org\r\n"
        f"Date: Fri, 12 Oct 2012 10:00:00 +0000\r\nMessage-ID: <{number}@example.org>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        f"What was said in mail {number}, and a few more words.\r\n.\r\n"
    ).encode()
