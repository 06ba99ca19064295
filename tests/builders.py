"""Events for tests, in one line each. Times are seconds after BASE, so that a test reads like a log."""

from __future__ import annotations

from typing import Any

import msgspec

from archiver.events import SECOND, Captured, Event, moment

BASE = 1_350_000_000
MINUTE = 60
HOUR = 3600
DAY = 86400


def event(
    kind: str,
    at: float,
    actor: str | None = None,
    *,
    id: str = "",
    room: str = "room",
    where: str = "group",
    source: str = "test:one",
    session: str | None = None,
    present: list[str] | None = None,
    history: str | None = None,
    topic: str | None = None,
    sequence: str | None = None,
    received: float | None = None,
    number: int = 0,
    **data: Any,
) -> Captured:
    """One captured event. `data` are further members of its data; who is named by address only."""
    place: dict[str, Any] = {"id": room, "kind": where}
    for name, value in (("session", session), ("history", history), ("topic", topic)):
        if value is not None:
            place[name] = value
    if present is not None:
        place["participants"] = [{"address": who} for who in present]
    body: dict[str, Any] = {"conversation": place, **data}
    if actor is not None:
        body["actor"] = {"address": actor, "name": actor.split("@")[0].title()}
    time = round((BASE + at) * SECOND)
    wire: dict[str, Any] = {
        "specversion": "1.0",
        "source": source,
        "id": id or f"{kind}-{at}-{actor}-{sequence or ''}",
        "type": kind,
        "time": moment(time).isoformat(),
        "data": body,
    }
    if sequence is not None:
        wire["sequence"] = sequence
    line = msgspec.json.encode(wire, order="sorted")
    got = round((BASE + received) * SECOND) if received is not None else time
    return Captured(msgspec.json.decode(line, type=Event), time, got, line, number)


def say(actor: str, text: str, at: float, *, id: str = "", to: list[str] | None = None, **more: Any) -> Captured:
    identity = id or f"m-{at}-{actor}"
    message: dict[str, Any] = {"id": identity, "text": text}
    if to is not None:
        message["to"] = [{"address": who} for who in to]
    return event("message.sent", at, actor, id=identity, message=message, **more)


def edit(actor: str, of: str, text: str, at: float, **more: Any) -> Captured:
    return event("message.edited", at, actor, message={"id": of, "text": text}, **more)


def retract(actor: str, of: str, at: float, **more: Any) -> Captured:
    return event("message.retracted", at, actor, message={"id": of}, **more)


def react(actor: str, of: str, reaction: str, at: float, **more: Any) -> Captured:
    return event("message.reacted", at, actor, message={"id": of}, reaction=reaction, **more)


def join(who: str, at: float, **more: Any) -> Captured:
    return event("participant.joined", at, who, **more)


def leave(who: str, at: float, **more: Any) -> Captured:
    return event("participant.left", at, who, **more)


def rename(old: str, new: str, at: float, **more: Any) -> Captured:
    return event("participant.renamed", at, old, subject={"address": new, "name": new}, **more)


def invite(actor: str, subject: str, at: float, **more: Any) -> Captured:
    return event("participant.invited", at, actor, subject={"address": subject}, **more)
