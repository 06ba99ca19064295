"""What the intake says: what became of each event, or why a request was refused (RFC 9457)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from msgspec import Struct
from starlette.responses import Response

from archiver.events import Captured, Outcome, Rejected

PROBLEM = "application/problem+json"
LATER = 5
"""Seconds after which it is worth trying again where nothing says better."""
BLOCKED_LATER = 60
"""The same in critical mode, which lasts minutes at the least."""


class Result(Struct, frozen=True, omit_defaults=True):
    """What became of one event, in the order of the request."""

    outcome: Outcome
    source: str | None = None
    id: str | None = None
    reason: str | None = None


class Report(Struct, frozen=True):
    """All results, and how many there are of each outcome."""

    outcomes: Mapping[Outcome, int]
    results: Sequence[Result]


class Refusal(Exception):
    """A request that is not taken. `reason` is what it is counted under, `detail` is for whoever reads the reply."""

    def __init__(self, status: HTTPStatus, reason: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.headers = dict(headers or {})


def try_later(status: HTTPStatus, reason: str, detail: str, seconds: float = LATER) -> Refusal:
    return Refusal(status, reason, detail, {"Retry-After": str(max(1, -int(-seconds // 1)))})


def refused(refusal: Refusal) -> Response:
    status = refusal.status
    body = {"title": status.phrase, "status": status.value, "reason": refusal.reason, "detail": refusal.detail}
    return Response(msgspec.json.encode(body), status, refusal.headers, PROBLEM)


def reported(pieces: Sequence[Captured | Rejected], outcomes: Sequence[Outcome]) -> Response:
    """200 where every event is safe with us; 503 where one isn't: what isn't is to be sent again, and only that."""
    results = [_result(piece, outcome) for piece, outcome in zip(pieces, outcomes, strict=True)]
    body = msgspec.json.encode(Report(Counter(outcomes), results))
    if Outcome.BLOCKED in outcomes:
        headers = {"Retry-After": str(BLOCKED_LATER)}
        return Response(body, HTTPStatus.SERVICE_UNAVAILABLE, headers, "application/json")
    return Response(body, media_type="application/json")


def _result(piece: Captured | Rejected, outcome: Outcome) -> Result:
    if isinstance(piece, Rejected):
        return Result(outcome, reason=piece.reason)
    reason = "; ".join(piece.cleaned) or None
    if outcome is Outcome.BLOCKED:
        reason = "it can't be archived now"
    return Result(outcome, piece.event.source, piece.event.id, reason)
