"""What is asked of a homeserver with the service's own token. Knows no rooms and keeps nothing.

Source: Matrix specification, client-server API; application service API, "Identity assertion", "Pinging".
"""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx2
from msgspec import Struct

from archiver.exceptions import ArchiverError
from archiver.importers.matrix.event import file_of, text

_TRUSTED = ssl.create_default_context
"""The machine's own authorities: a homeserver within an organisation has a certificate by one of its."""
CLIENT = "/_matrix/client/v3"
LARGEST = 256 * 1024 * 1024
"""Bytes of an answer: the state of a room with a million members has more, and is then not taken."""
PATIENCE = 30.0


class NotNow(ArchiverError):
    """It can't be had at the moment: no connection, no answer in time, an error of the homeserver's."""


class No(ArchiverError):
    """The homeserver answered, and will answer the same again. `errcode` is Matrix' own."""

    def __init__(self, status: int, errcode: str, told: str) -> None:
        super().__init__(f"{status} {errcode} {told}".rstrip())
        self.status = status
        self.errcode = errcode


class Page(Struct, frozen=True):
    """Some of a room's history. `end` is None where there is no more of it."""

    events: list[Any]
    end: str | None


class Homeserver:
    """Lives on one loop. Every method raises `NotNow` and `No`; `user` is on whose behalf it is asked."""

    def __init__(self, url: str, token: str, *, patience: float = PATIENCE) -> None:
        # It tells of every request, with rooms and people in it.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        headers = {"Authorization": f"Bearer {token}"}
        # No proxy of the environment: what it would learn is every token.
        self._client = httpx2.AsyncClient(
            base_url=url.rstrip("/"), headers=headers, timeout=patience, trust_env=False, verify=_TRUSTED()
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def whoami(self) -> str:
        return str((await self._asked("GET", f"{CLIENT}/account/whoami")).get("user_id", ""))

    async def ping(self, identity: str) -> None:
        """Have it try whether it can reach us."""
        await self._asked("POST", f"/_matrix/client/v1/appservice/{_part(identity)}/ping", content={})

    async def state_at(self, room: str, event: str, user: str | None) -> list[Any]:
        """The state events in force just after an event."""
        found = await self._asked("GET", f"{CLIENT}/rooms/{_part(room)}/context/{_part(event)}", user, limit="0")
        return _list(found, "state")

    async def event(self, room: str, event: str, user: str | None) -> Any:
        return await self._asked("GET", f"{CLIENT}/rooms/{_part(room)}/event/{_part(event)}", user)

    async def messages(self, room: str, user: str | None, since: str | None, limit: int) -> Page:
        """Newest first, from `since` (an earlier page's `end`) back, else from now."""
        more = {"dir": "b", "limit": str(limit)} | ({"from": since} if since else {})
        found = await self._asked("GET", f"{CLIENT}/rooms/{_part(room)}/messages", user, **more)
        end = found.get("end")
        return Page(_list(found, "chunk"), end if isinstance(end, str) and end else None)

    async def is_direct(self, room: str, user: str | None) -> bool:
        """Whether somebody has it among their direct talks."""
        if user is None:
            return False
        found = await self._asked("GET", f"{CLIENT}/user/{_part(user)}/account_data/m.direct", user)
        return any(isinstance(rooms, list) and room in rooms for rooms in found.values())

    async def joined_rooms(self, user: str | None) -> list[str]:
        found = _list(await self._asked("GET", f"{CLIENT}/joined_rooms", user), "joined_rooms")
        return [each for each in found if isinstance(each, str)]

    async def every_room(self) -> list[str]:
        """Of the whole homeserver, where the token is an administrator's. Source: Synapse's admin API, "List room"."""
        found: list[str] = []
        start: object = 0
        while start is not None:
            page = await self._asked("GET", "/_synapse/admin/v1/rooms", limit="500", **{"from": str(start)})
            rooms = [text(each, "room_id") for each in _list(page, "rooms")]
            found += [each for each in rooms if each]
            start = page.get("next_batch") if rooms else None
        return found

    async def members(self, room: str) -> list[str]:
        """Who is in a room, where the token is an administrator's."""
        found = _list(await self._asked("GET", f"/_synapse/admin/v1/rooms/{_part(room)}/members"), "members")
        return [each for each in found if isinstance(each, str)]

    async def media(self, url: str, most: int) -> AsyncIterator[bytes]:
        """The content behind an mxc address, piece by piece. `No` where it is none, or has over `most` bytes."""
        found = file_of(url)
        if found is None:
            raise No(400, "M_UNKNOWN", "no address of a file")
        place = "/".join(map(_part, found))
        try:
            async for piece in self._pieces(f"/_matrix/client/v1/media/download/{place}", most):
                yield piece
            return
        except No as fault:
            if fault.errcode != "M_UNRECOGNIZED":
                raise
        # Before version 1.11 of the specification, where nobody had to say who they are.
        async for piece in self._pieces(f"/_matrix/media/v3/download/{place}", most):
            yield piece

    async def _pieces(self, path: str, most: int) -> AsyncIterator[bytes]:
        came = 0
        try:
            async with self._client.stream("GET", path, headers={"Accept-Encoding": "identity"}) as answer:
                stated = answer.headers.get("content-length", "0")
                if answer.status_code == 200 and stated.isdecimal() and int(stated) > most:
                    raise No(413, "M_TOO_LARGE", f"{int(stated):,} bytes")
                if answer.status_code != 200:
                    raise _fault(answer.status_code, await _bounded(answer))
                async for piece in answer.aiter_bytes():
                    came += len(piece)
                    if came > most:
                        raise No(413, "M_TOO_LARGE", f"over {most:,} bytes")
                    yield piece
        except httpx2.HTTPError as fault:
            raise NotNow(_told(fault)) from fault

    async def _asked(
        self, method: str, path: str, user: str | None = None, content: Any = None, **query: str
    ) -> Mapping[str, Any]:
        query |= {"user_id": user} if user else {}
        try:
            async with self._client.stream(method, path, params=query, json=content) as answer:
                body = await _bounded(answer)
        except httpx2.HTTPError as fault:
            raise NotNow(_told(fault)) from fault
        if answer.status_code != 200:
            raise _fault(answer.status_code, body)
        return _object(body)


async def _bounded(answer: httpx2.Response) -> bytes:
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > LARGEST:
            raise No(answer.status_code, "M_TOO_LARGE", f"an answer of over {LARGEST:,} bytes")
    return bytes(body)


def _part(name: str) -> str:
    """One part of a path, whatever it holds; "." and ".." would lead elsewhere."""
    return quote(name, safe="") if name.strip(".") else "%2E" * len(name)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as fault:
        raise NotNow("an answer that is no JSON") from fault
    if not isinstance(found, dict):
        raise NotNow("an answer that is no object")
    return found


def _list(found: Mapping[str, Any], name: str) -> list[Any]:
    value = found.get(name)
    return value if isinstance(value, list) else []


def _fault(status: int, body: bytes) -> ArchiverError:
    try:
        found = _object(body)
    except NotNow:
        found = {}
    errcode, told = (str(found.get(name, ""))[:200] for name in ("errcode", "error"))
    # 429: ask less. 5xx is also what a proxy says of a homeserver that restarts.
    if status == 429 or status >= 500:
        return NotNow(f"{status} {errcode} {told}".rstrip())
    return No(status, errcode, told)


def _told(fault: httpx2.HTTPError) -> str:
    return str(fault) or type(fault).__name__
