"""What happened, in SIP's words -> an event. Whatever is the same request gives the same id, whenever it comes."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from archiver.events import Captured, Participant, Rejected, capture, moment
from archiver.exceptions import EventError
from archiver.sources.sip.happening import Happening
from archiver.sources.sip.message import Party
from archiver.sources.sip.saying import said_in


def events_of(happening: Happening, *, source: str, received: int) -> list[Captured | Rejected]:
    """Nothing where nobody said anything; what can't be an event is rejected, whole."""
    try:
        if happening.what == "unreadable":
            raise EventError(happening.reason)
        events = _sent(happening) if happening.what == "sent" else _moved(happening)
        return [_captured(event, happening, source, received) for event in events]
    except EventError as fault:
        return [Rejected(_whole(happening), f"call {happening.message.call}", str(fault), source)]


def _sent(happening: Happening) -> list[dict[str, Any]]:
    message = happening.message
    said = said_in(message)
    if said is None:
        return []
    author, identity = _author(happening), _identity(happening)
    content: dict[str, Any] = {"id": identity, "text": said.text}
    if said.html is not None:
        content["html"] = said.html
    data: dict[str, Any] = {"conversation": _place(happening), "message": content}
    if author is not None:
        data["actor"] = author
    if happening.status >= 300 and author is not None:  # nobody but its author ever saw it
        content["to"] = [author]
        _note(data, "status", happening.status)
    subject = said.wrapped.subject if said.wrapped is not None else message.first("subject")
    if subject:
        _note(data, "subject", subject)
    if said.files:
        data["attachments"] = [_attachment(each.name, each.media_type, each.content) for each in said.files]
    return [{"type": "message.sent", "id": identity, "data": data}]


def _author(happening: Happening) -> Participant | None:
    """None where a conference doesn't say whose words it passes on: it is nobody that has a mailbox."""
    who, focus = happening.who or happening.message.author, happening.focus
    return None if focus is not None and who.place == focus.place else _person(who)


def _note(data: dict[str, Any], name: str, value: object) -> None:
    data.setdefault("sip", {})[name] = value


_BY_ROSTER = {"came": "participant.joined", "went": "participant.left"}


def _moved(happening: Happening) -> list[dict[str, Any]]:
    """A call, and who comes and goes in a conference."""
    who = _person(happening.who or happening.message.author)
    data = {"conversation": _place(happening), "actor": who}
    kind = _BY_ROSTER.get(happening.what)
    if kind is not None:
        return [{"type": kind, "id": f"{_identity(happening)} {who.address} {kind}", "data": data}]
    return [{"type": each, "id": f"{happening.message.call} {each}", "data": data} for each in _called(happening)]


def _called(happening: Happening) -> list[str]:
    """In a conference the first and the last bring the call itself."""
    began = happening.what == "began"
    call, move = ("call.started", "participant.joined") if began else ("call.ended", "participant.left")
    if happening.focus is None:
        return [call]
    if not happening.edge:
        return [move]
    return [move, call] if began else [call, move]


def _place(happening: Happening) -> dict[str, Any]:
    focus = happening.focus
    if focus is None:
        parties = (_person(happening.message.recipient), _person(happening.message.author))
        people = sorted({each.address: each for each in parties}.values(), key=lambda each: each.address)
        return {"id": " ".join(each.address for each in people), "kind": "im", "participants": people}
    place = {"id": focus.place, "kind": "conference"}
    if focus.conference:
        place["session"] = focus.conference
    return place if happening.topic is None else {**place, "topic": happening.topic}


def _person(who: Party) -> Participant:
    if not who.address:
        raise EventError("names somebody by no address of SIP")
    return Participant(who.address, who.name)


def _identity(happening: Happening) -> str:
    method, call, tag, number, *words = happening.key
    return " ".join((call, tag, number, method, *words))


def _attachment(name: str | None, media_type: str, content: bytes) -> dict[str, str]:
    described = {"media_type": media_type, "content": base64.b64encode(content).decode("ascii")}
    return described if name is None else {"name": name, **described}


def _captured(event: dict[str, Any], happening: Happening, source: str, received: int) -> Captured:
    if happening.message.correlation:
        _note(event["data"], "correlation", happening.message.correlation)
    envelope = {"specversion": "1.0", "source": source, "time": moment(happening.time).isoformat(), **event}
    written = msgspec.json.encode(envelope, order="sorted")
    return capture(written, received=received, original=_whole(happening))


def _whole(happening: Happening) -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in happening.message.headers)
    return head.encode("utf-8", "replace") + b"\r\n" + happening.message.body
