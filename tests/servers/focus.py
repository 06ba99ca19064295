"""A conference of SIP on loopback, behind a proxy: it passes on what it is told, and tells who is in.

A focus as RFC 4579 has it, with rosters of RFC 4575 for who subscribed. No Debian package has one. Lives on the running
event loop; `proxy` is the port that everything it sends goes to.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, ClassVar
from xml.sax.saxutils import escape

HOST = "127.0.0.1"
ADDRESS = "sip:room@example.org"
AGAIN = 0.5
"""Seconds until a request is sent again (RFC 3261, 17.1.2.2: T1)."""

_URI = re.compile(r"<(sip:[^>;]*)>")
_NAME = re.compile(r'"([^"]*)"')
_KEPT = ("via", "record-route", "from", "call-id", "cseq")


class Heard:
    """A message: its start line, headers by their lower-cased names (the first of each), body."""

    def __init__(self, content: bytes) -> None:
        head, _, self.body = content.decode().partition("\r\n\r\n")
        self.start, *lines = head.split("\r\n")
        self.lines = [
            (name.strip().lower(), value.strip()) for name, _, value in (each.partition(":") for each in lines)
        ]
        self.headers = dict(reversed(self.lines))

    @property
    def who(self) -> str:
        return _found(_URI, self.headers["from"])


class _Subscription:
    """One person's: where they are told, in a dialog of its own, with a version of its own (RFC 4575, 4.3)."""

    def __init__(self, heard: Heard) -> None:
        self.call = heard.headers["call-id"]
        self.to = heard.headers["from"]
        self.contact = _found(_URI, heard.headers["contact"])
        self.version = 0


class Focus(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.proxy = 0
        self.port = 0
        self.faults: list[str] = []
        """Who did not take what they were sent."""
        self._people: dict[str, str] = {}
        self._subscriptions: dict[str, _Subscription] = {}
        self._numbers = count(1)
        self._unanswered: dict[str, asyncio.Task[None]] = {}
        self._answered: dict[tuple[str, str], bytes] = {}
        self._again: dict[str, Callable[[], None]] = {}

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(HOST, 0))
        self.port = self._transport.get_extra_info("sockname")[1]

    def close(self) -> None:
        for each in self._unanswered.values():
            each.cancel()
        self._transport.close()

    async def quiet(self) -> None:
        """Until everybody has what it sent them."""
        while self._unanswered:
            await asyncio.gather(*self._unanswered.values(), return_exceptions=True)

    def tell_all(self) -> None:
        """A whole roster, as it may send at any time."""
        self._tell("".join(self._user(each) for each in self._people), "full")

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        heard = Heard(data)
        method = heard.start.partition(" ")[0]
        if method == "SIP/2.0":
            self._take_answer(heard)
        elif method in self._ACTS:
            self._once(method, heard)

    def _take_answer(self, heard: Heard) -> None:
        number, status = heard.headers["cseq"], int(heard.start.split()[1])
        if status >= 200 and (waiting := self._unanswered.pop(number, None)):
            waiting.cancel()
            again = self._again.pop(number, None)
            if status >= 500 and again is not None:
                again()  # RFC 3261, 21.5.1: a busy Kamailio says so now and then
            elif status >= 300:
                self.faults.append(f"{number}: {heard.start}")

    def _once(self, method: str, heard: Heard) -> None:
        """A request that comes again is answered as before."""
        key = (heard.headers["call-id"], heard.headers["cseq"])
        if key not in self._answered:
            self._answered[key] = _answer(heard, self.port)
            self._ACTS[method](self, heard)
        self._transport.sendto(self._answered[key], (HOST, self.proxy))

    def _invite(self, heard: Heard) -> None:
        """Comes; again within the call, to be called otherwise."""
        state = "partial" if heard.who in self._people else "full"
        self._people[heard.who] = _found(_NAME, heard.headers["from"])
        self._tell(self._user(heard.who, state), "partial")

    def _bye(self, heard: Heard) -> None:
        if self._people.pop(heard.who, None) is not None:
            self._subscriptions.pop(heard.who, None)
            self._tell(f'<user entity="{heard.who}" state="deleted"/>', "partial")

    def _subscribe(self, heard: Heard) -> None:
        made = self._subscriptions[heard.who] = _Subscription(heard)
        self._notify(made, "".join(self._user(each) for each in self._people), "full")

    def _message(self, heard: Heard) -> None:
        """Passed on to each but who said it, wrapped so that it says who did (RFC 3862)."""
        name = self._people[heard.who]
        body = f'From: "{name}" <{heard.who}>\r\nTo: <{ADDRESS}>\r\n\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n'
        for each in self._people:
            if each != heard.who:
                number = next(self._numbers)
                self._send("MESSAGE", each, f"<{each}>", f"m{number}", "message/cpim", body + heard.body)

    _ACTS: ClassVar = {"INVITE": _invite, "BYE": _bye, "SUBSCRIBE": _subscribe, "MESSAGE": _message}

    def _user(self, who: str, state: str = "full") -> str:
        endpoint = f'<endpoint entity="{who};gr=1"><status>connected</status></endpoint>' if state == "full" else ""
        name = escape(self._people[who])
        return f'<user entity="{who}" state="{state}"><display-text>{name}</display-text>{endpoint}</user>'

    def _tell(self, users: str, state: str) -> None:
        for each in self._subscriptions.values():
            self._notify(each, users, state)

    def _notify(self, to: _Subscription, users: str, state: str) -> None:
        body = (
            f'<conference-info xmlns="urn:ietf:params:xml:ns:conference-info" entity="{ADDRESS}" '
            f'state="{state}" version="{to.version}"><users state="{state}">{users}</users></conference-info>'
        )
        to.version += 1
        more = ("Event: conference", "Subscription-State: active;expires=3600")
        self._send("NOTIFY", to.contact, to.to, to.call, "application/conference-info+xml", body, *more)

    def _send(
        self, method: str, target: str, to: str, call: str, kind: str, body: str, *more: str, is_again: bool = False
    ) -> None:
        sequence = next(self._numbers)
        number = f"{sequence} {method}"
        head = (
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/UDP {HOST}:{self.port};branch=z9hG4bK{sequence}",
            "Max-Forwards: 70",
            f"From: <{ADDRESS}>;tag=focus",
            f"To: {to}",
            f"Call-ID: {call}",
            f"CSeq: {number}",
            f"Contact: <sip:room@{HOST}:{self.port}>;isfocus",
            *more,
            f"Content-Type: {kind}",
            f"Content-Length: {len(body.encode())}",
        )
        content = "\r\n".join((*head, "", body))
        if not is_again:
            self._again[number] = partial(self._send, method, target, to, call, kind, body, *more, is_again=True)
        self._unanswered[number] = asyncio.create_task(self._until_answered(number, content.encode()))

    async def _until_answered(self, number: str, content: bytes) -> None:
        for _ in range(20):
            self._transport.sendto(content, (HOST, self.proxy))
            await asyncio.sleep(AGAIN)
        del self._unanswered[number]
        self.faults.append(f"nobody answers {number}")


def _answer(heard: Heard, port: int) -> bytes:
    kept = [f"{name}: {value}" for name, value in heard.lines if name in _KEPT]
    to = heard.headers["to"]
    kept += [f"To: {to if ';tag=' in to else f'{to};tag=focus'}", f"Contact: <sip:room@{HOST}:{port}>;isfocus"]
    return "\r\n".join(["SIP/2.0 200 OK", *kept, "Expires: 3600", "Content-Length: 0", "", ""]).encode()


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    assert match is not None, text
    return match[1]
