"""The routes of the intake. What comes is acknowledged once it is durable, and told event by event.

authorize ─► receive ─► unpack ─► read ─► may it write that ─► `Batching` ─► report
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from itertools import islice

from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from archiver.events import Captured, Rejected
from archiver.exceptions import EventError
from archiver.sources import cloudevents
from archiver.sources.http.description import document
from archiver.sources.http.receiving import Limits, body_of, bound_lines, coding_of, too_large, unpack
from archiver.sources.http.reception import Pieces, Reception, authorized
from archiver.sources.http.replies import Refusal, reported
from archiver.sources.http.senders import Known, Senders
from archiver.sources.protocol import Accept


class Intake(Reception):
    """CloudEvents, from senders that are known by a token."""

    def __init__(self, source: str, senders: Senders, limits: Limits, clock: Callable[[], int], accept: Accept) -> None:
        super().__init__(source, limits, accept)
        self._senders = senders
        self._clock = clock

    def application(self) -> Starlette:
        return self.opened(
            Route("/events", self.answering(self._events), methods=["POST"]),
            Route("/openapi.json", self._description),
            told="events are taken by POST at /events",
        )

    # Routes

    async def _description(self, request: Request) -> Response:
        return JSONResponse(document(self.limits))

    async def _events(self, request: Request) -> Response:
        sender = authorized(request, self._senders)
        media_type, coding = _media_type_of(request), coding_of(request)
        with self.memory.share() as share:
            body = await body_of(request, self.limits, share)
            content = await self.in_thread(unpack, body, coding, self.limits)
            share.take(len(content) - len(body))
            pieces = await self.in_thread(self._read, content, media_type, sender)
            sender.spend(len(pieces))
            return reported(pieces, await self.take(pieces))

    # Steps

    def _read(self, content: bytes, media_type: str, sender: Known) -> Pieces:
        """Blocks: to be called in a thread. All of it, since a request is refused whole or not at all."""
        if media_type == cloudevents.LINES:
            bound_lines(content, self.limits)
        found = cloudevents.pieces(content, media_type, name=f"from {sender.name}", received=self._clock())
        try:
            pieces = list(islice(found, self.limits.events + 1))
        except EventError as fault:
            raise Refusal(HTTPStatus.BAD_REQUEST, "not readable", str(fault)) from fault
        if len(pieces) > self.limits.events:
            raise too_large(self.limits)
        _refuse_others(pieces, sender)
        return [_named(piece, self.source) for piece in pieces]


def _media_type_of(request: Request) -> str:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in cloudevents.TYPES:
        detail = f"a body must be one of: {', '.join(cloudevents.TYPES)}"
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media type", detail)
    return media_type


def _refuse_others(pieces: Pieces, sender: Known) -> None:
    """A source that is only claimed, in what can't be read as an event, counts like one."""
    claimed: dict[str | None, int] = {}
    for number, piece in enumerate(pieces, 1):
        claimed.setdefault(piece.event.source if isinstance(piece, Captured) else piece.source, number)
    for source, number in claimed.items():
        if source is not None and not sender.may_write(source):
            detail = f"event {number} is of a source that this token may not write"
            raise Refusal(HTTPStatus.FORBIDDEN, "another's source", detail)


def _named(piece: Captured | Rejected, source: str) -> Captured | Rejected:
    """What can't be read comes from us where it doesn't say whom it is from."""
    return replace(piece, source=source) if isinstance(piece, Rejected) and piece.source is None else piece
