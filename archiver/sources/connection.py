"""What one SMTP or LMTP client says, and what it is answered, on aiosmtpd. Not what becomes of its mails.

Replies of ours never repeat what a client sent.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
import time
from collections import defaultdict
from contextlib import suppress
from typing import Any, AnyStr, Protocol

import structlog
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session, TLSSetupException
from msgspec import Struct

from archiver.sources.access import Access, Doorkeeper
from archiver.sources.crowding import Waiting, giving_way, since

log = structlog.get_logger("archiver.sources")

END = b"\r\n.\r\n"
"""RFC 5321, 4.1.1.4. Nothing else ends the data: a lone LF before the dot is how mails are smuggled into others."""

PIECE = 64 * 1024
TIMEOUT = 300.0
FINAL_TIMEOUT = 600.0
"""Seconds for a command, and from the final dot to its reply (RFC 5321, 4.5.3.2)."""

DONE = "250 2.0.0 Kept"
LATER = "451 4.3.0 Try again later"
FULL = "452 4.3.1 Too much at once, try again later"
OUSTED = "421 4.3.1 Too much at once, try again later"
CROWDED = "421 4.7.0 Too many connections, try again later"
CLOSING = "421 4.3.2 Shutting down, try again later"
CROWD = "452 4.5.3 Too many recipients"
TOO_BIG = "552 5.3.4 Message too big"
STRANGER = "554 5.7.1 Not from there"
UNCLEAR = "550 5.5.2 A line with only a dot must stand between CR LF"

_UNCLEAR = re.compile(rb"(?:\A|[\r\n])\.[\r\n]")
"""A dot that some servers take for the end of a mail, and we don't: what follows it is another mail to them."""

SLOW = "421 4.4.2 Too slow, try again later"
BLOCK_TIMEOUT = 180.0
"""Seconds for a piece of data, however much came before: as long as a client tries to send one (RFC 5321, 4.5.3.2.5).

The five minutes of 4.5.3.2.7 are for the next command.
"""
LEAST_RATE = 1024
"""A mail must come at this many bytes a second, after the first `TIMEOUT`: else who dribbles holds a place for ever."""

_TOLD_BY_BASE = {
    "530 5.7.0": "not logged in",
    "530 Must": "not under TLS",
    "538": "not under TLS",
    "552 Error": "too big",
    "500 ": "malformed",
    "502 5.5.1": "malformed",
    "501 5.5.2": "malformed",
    "501 Not enough": "malformed",
    "501 Too many": "malformed",
    "503 Already": "malformed",
    "504 ": "malformed",
    "535 ": "log-in",
    "421 4.7.0 AUTH": "too many log-ins",
}
"""How replies of aiosmtpd begin that refuse something, and what each is counted under."""

LOG_INS = 5
"""Tries to log in on one connection: who guesses has to come anew for more."""

PARTING = 0.25
"""Seconds for a client to say QUIT after its last mail, before it is sent away."""

LEAVING = 1.0
"""Seconds for who is sent away to take in why, and to end its TLS: who does neither would stay for ever."""

RECIPIENTS = 1000
"""Of one mail. We take it once, whoever it is for; a server sends the others as another mail."""


class Limits(Struct, frozen=True):
    """`size` of one mail, `memory` of all that are being received together, in bytes."""

    size: int = 64 * 1024 * 1024
    memory: int = 256 * 1024 * 1024
    connections: int = 200


class Host(Protocol):
    """What all connections of a source share. `held` are the bytes that are being received."""

    source: str
    hostname: str
    limits: Limits
    access: Access
    door: Doorkeeper
    tls: ssl.SSLContext | None
    closing: bool
    held: int
    connections: set[Connection]

    async def take(self, content: bytes, sender: str, recipients: tuple[str, ...]) -> str:
        """Make durable all that one mail gives; the reply to it."""

    def refuse(self, reason: str, client: object) -> None:
        """Count it, and tell it."""


class _Hooks:
    """What aiosmtpd asks of a handler. The reply to an exception of ours is never a permanent one."""

    async def handle_exception(self, error: Exception) -> str:
        if not isinstance(error, TLSSetupException):  # told where it failed
            log.error("mail_connection_failed", exc_info=error)
        return LATER

    async def handle_EHLO(
        self, server: Connection, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        # RFC 2920; LMTP demands it (RFC 2033, 5). Commands are read one by one from a buffer that is never flushed.
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_RCPT(
        self, server: Connection, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= RECIPIENTS:
            return CROWD
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"


class _NoAnswer(Exception):
    """To a challenge of ours."""


class Connection(SMTP):
    """One client over SMTP: one reply for a mail, whoever it is for.

    aiosmtpd's own DATA refuses long lines for good and lets a long mail run into the idle timeout: it isn't used.
    """

    # RFC 6531 and RFC 5321, 4.5.3.1: the base's 512 octets are for ASCII paths without parameters.
    command_size_limit = 2048
    command_size_limits: dict[str, int] = defaultdict(lambda: 2048)  # noqa: RUF012  (the base's own is the class's too)
    # The base takes the reader's buffer from this as well.
    line_length_limit = PIECE

    def __init__(self, host: Host) -> None:
        super().__init__(
            _Hooks(),
            data_size_limit=host.limits.size,
            enable_SMTPUTF8=True,
            hostname=host.hostname,
            ident="conversation archiver",
            timeout=TIMEOUT,
            loop=asyncio.get_running_loop(),
            tls_context=host.tls,
            require_starttls=host.access.require_tls,
            auth_required=host.door.required,
            authenticator=host.door.authenticate,
            command_call_limit={"AUTH": LOG_INS, "*": sys.maxsize},
        )
        # Without a certificate log-ins are for loopback and socket files: the configuration sees to that.
        self._auth_require_tls = host.tls is not None or not host.door.required
        self._host = host
        self._receiving = False
        self._ended = False
        self._since: float | None = None
        self._held = 0

    def task(self) -> asyncio.Task[None] | None:
        return self._handler_coroutine

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._host.connections.add(self)
        super().connection_made(transport)
        task = self.task()
        if task is not None:  # a client that goes away mid-reply is no news
            task.add_done_callback(lambda ended: None if ended.cancelled() else ended.exception())

    def connection_lost(self, error: Exception | None) -> None:
        self._host.connections.discard(self)
        super().connection_lost(error)

    def eof_received(self) -> bool | None:
        """The base gives all up; a mail that came whole is taken and answered first, where TLS still lets us speak."""
        if not self._receiving or self.session is None or self.session.ssl is not None:
            return super().eof_received()
        self._ended = True
        return super(SMTP, self).eof_received()

    async def _handle_client(self) -> None:
        if self._host.closing:
            self._leave(CLOSING)
        elif not self._host.door.lets_in(self._peer()):
            self._refuse("client not allowed")
            self._leave(STRANGER)
        elif self._finds_room():
            try:
                await super()._handle_client()
            finally:
                self._see_off()

    def _finds_room(self) -> bool:
        staying = [each for each in self._host.connections if not each._is_leaving()]
        if len(staying) <= self._host.limits.connections:
            return True
        going = giving_way(self, staying, Connection._waiting)
        going._refuse("too many connections")
        going._leave(CROWDED)
        return going is not self

    def _waiting(self) -> Waiting | None:
        """Whether it has logged in, and since when it is waited for; None while its mail is taken, and on leaving."""
        if self._is_leaving() or self._since is None:
            return None
        return self.session is not None and bool(self.session.authenticated), self._since

    def _reset_timeout(self, duration: float | None = None) -> None:
        self._since = time.monotonic()
        super()._reset_timeout(duration)

    def _is_leaving(self) -> bool:
        return self.transport is None or self.transport.is_closing()

    async def push(self, status: AnyStr) -> None:
        said = status if isinstance(status, str) else status.decode("ascii", "replace")
        if reason := next((why for begin, why in _TOLD_BY_BASE.items() if said.startswith(begin)), None):
            self._refuse(reason)
        await super().push(status)

    def _timeout_cb(self) -> None:
        """RFC 5321, 3.8: who is sent away is told. A client that is merely idle did nothing wrong."""
        if self._is_leaving():
            self._cut_off()
            return
        if self._receiving:
            self._refuse("too slow")
        self._leave(SLOW)

    async def smtp_VRFY(self, arg: str | None) -> None:
        # RFC 5321, 7.3: says nothing of who is known here, nor repeats what was asked.
        await self.push("252 2.1.5 Send it and see" if arg else "501 5.5.4 Syntax: VRFY address")

    async def smtp_DATA(self, arg: str | None) -> None:
        if await self.check_helo_needed():
            return
        if arg or not self._mail().rcpt_tos:
            await self.push("501 5.5.4 Syntax: DATA" if arg else "503 5.5.1 No recipients yet")
            return
        if self._host.closing:
            self._leave(CLOSING)
            return
        self._receiving = True
        try:
            await self.push("354 End with a dot on a line of its own")
            reply = await self._receive_and_take()
            self._since = time.monotonic()  # that it takes in the reply is waited for
            for _ in range(self.replies()):
                await self.push(reply)
        finally:
            self._receiving = False
        if self._ended:
            raise ConnectionResetError  # ends the connection behind the reply
        self.envelope = self._create_envelope()
        if self._host.closing:
            self.loop.call_later(PARTING, self.leave_if_idle)

    async def smtp_AUTH(self, arg: str) -> None:
        with suppress(_NoAnswer):
            await super().smtp_AUTH(arg)

    async def challenge_auth(self, *arguments: Any, **options: Any) -> bytes:
        """Raises `_NoAnswer` where the client was told that its isn't one: the base would give it a second reply."""
        answer = await super().challenge_auth(*arguments, **options)
        if not isinstance(answer, bytes):
            raise _NoAnswer
        return answer

    def replies(self) -> int:
        return 1

    def _peer(self) -> object:
        return self.session.peer if self.session is not None else None

    def _refuse(self, reason: str) -> None:
        peer = self._peer()
        self._host.refuse(reason, peer[0] if isinstance(peer, tuple) else "")

    def _mail(self) -> Envelope:
        # No property: the base reads all of those before there is a mail.
        assert self.envelope is not None
        return self.envelope

    def leave_if_idle(self) -> None:
        if not self._receiving:
            self._leave(CLOSING)

    async def _receive_and_take(self) -> str:
        try:
            content, refusal = await self._receive()
            if refusal:
                return refusal
            self._reset_timeout(FINAL_TIMEOUT)
            self._since = None
            # RFC 5321, 4.5.5: the null sender of a notification is nobody's address.
            sender = (self._mail().mail_from or "").removeprefix("<>")
            return await self._host.take(content, sender, tuple(self._mail().rcpt_tos))
        finally:
            self._let_go()

    async def _receive(self) -> tuple[bytes, str]:
        """The mail up to its final dot, and why it can't be had: then the rest is read all the same, and dropped."""
        data, refusal, size, tail = bytearray(), "", 0, b""
        began = time.monotonic()
        while tail != END and not (size == 3 and tail == END[2:]):
            left = began + TIMEOUT + size / LEAST_RATE - time.monotonic()
            self._reset_timeout(min(BLOCK_TIMEOUT, max(0.1, left)))  # 0 would be the base's own
            self._since = since(began, size)
            piece = await self._piece()
            size += len(piece)
            tail = (tail + piece[-5:])[-5:]
            refusal = refusal or self._refusal(size, len(piece))
            if refusal:
                data.clear()
                self._let_go()
            else:
                data += piece
        if not refusal and _UNCLEAR.search(data, 0, len(data) - 3):
            self._refuse("unclear end")
            return b"", UNCLEAR
        # RFC 5321, 4.5.2: a dot put before a line that begins with one.
        return bytes(data[:-3]).removeprefix(b".").replace(b"\r\n.", b"\r\n"), refusal

    async def _piece(self) -> bytes:
        try:
            return bytes(await self._reader.readuntil(END[2:]))
        except asyncio.LimitOverrunError as longer:
            return bytes(await self._reader.readexactly(longer.consumed))
        except asyncio.IncompleteReadError:
            raise ConnectionResetError from None

    def _refusal(self, size: int, more: int) -> str:
        limits = self._host.limits
        if size - len(END[2:]) > limits.size:
            self._refuse("too big")
            return TOO_BIG
        if not self._finds_memory(more):
            self._refuse("too much at once")
            return FULL
        self._host.held += more
        self._held += more
        return ""

    def _finds_memory(self, more: int) -> bool:
        while self._host.held + more > self._host.limits.memory:
            going = giving_way(self, (each for each in self._host.connections if each._held), Connection._waiting)
            if going is self:
                return False
            going._give_way()
        return True

    def _give_way(self) -> None:
        """Its memory is free at once; what it brought goes as soon as its task runs."""
        self._refuse("too much at once")
        self._let_go()
        self._leave(OUSTED)
        if (task := self.task()) is not None:
            task.cancel()

    def _let_go(self) -> None:
        self._host.held -= self._held
        self._held = 0

    def _leave(self, reply: str) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self._writer.write(reply.encode("ascii") + b"\r\n")
            self.transport.close()
            self._see_off()

    def _cut_off(self) -> None:
        self._writer.transport.abort()
        if self._tls_protocol is not None and self.session is not None and self.session.ssl is None:
            self.connection_lost(None)  # within a handshake asyncio tells of it nobody but the handshake

    def _see_off(self) -> None:
        if self.transport is not None:
            self._reset_timeout(LEAVING)


class LocalConnection(Connection, LMTP):
    """LMTP: LHLO for EHLO, and one reply for each recipient, in their order (RFC 2033, 4.2)."""

    def replies(self) -> int:
        return len(self._mail().rcpt_tos)
