"""What happened, in SIP's words -> an event. Whatever is the same request gives the same id, whenever it comes."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from archiver.events import Captured, Participant, Rejected, capture, moment
from archiver.exceptions import EventError
from archiver.sources.sip.cpim import Named
from archiver.sources.sip.message import Party, address_of
from archiver.sources.sip.saying import Said, said_in
from archiver.sources.sip.tracking import Happening


def events_of(happening: Happening, *, source: str, received: int) -> list[Captured | Rejected]:
    """Nothing where nobody said anything; what can't be an event is rejected, whole."""
    try:
        events = _sent(happening) if happening.what == "sent" else _called(happening)
        return [_captured(event, happening, source, received) for event in events]
    except EventError as fault:
        return [Rejected(_whole(happening), f"call {happening.message.call}", str(fault), source)]


def _sent(happening: Happening) -> list[dict[str, Any]]:
    message = happening.message
    said = said_in(message)
    if said is None:
        return []
    author, others = _people(happening, said)
    identity = _identity(happening)
    content: dict[str, Any] = {"id": identity, "text": said.text}
    if said.html is not None:
        content["html"] = said.html
    data: dict[str, Any] = {
        "conversation": _place(happening, author, others),
        "actor": author,
        "message": content,
    }
    if happening.status >= 300:  # nobody but its author ever saw it
        content["to"] = [author]
        data["sip"] = {"status": happening.status}
    subject = said.wrapped.subject if said.wrapped is not None else message.first("subject")
    if subject:
        data.setdefault("sip", {})["subject"] = subject
    if said.files:
        data["attachments"] = [_attachment(each.name, each.media_type, each.content) for each in said.files]
    return [{"type": "message.sent", "id": identity, "data": data}]


def _called(happening: Happening) -> list[dict[str, Any]]:
    """A call; in a conference who comes and goes, and with the first and the last the call itself."""
    message, began = happening.message, happening.what == "began"
    call = "call.started" if began else "call.ended"
    types = [call]
    if happening.focus is not None:
        comes = "participant.joined" if began else "participant.left"
        types = [comes, call] if began else [call, comes]
        types = types if happening.edge else [comes]
    actor, other = message.author, message.recipient
    if happening.focus is not None and actor.address == happening.focus.address:
        actor, other = other, actor
    data = {"conversation": _place(happening, _person(actor), [_person(other)]), "actor": _person(actor)}
    return [{"type": each, "id": f"{message.call} {each}", "data": data} for each in types]


def _place(happening: Happening, author: Participant, others: list[Participant]) -> dict[str, Any]:
    focus = happening.focus
    if focus is None:
        people = sorted({each.address: each for each in (*others, author)}.values(), key=lambda each: each.address)
        kind = "im" if len(people) <= 2 else "group"
        return {"id": " ".join(each.address for each in people), "kind": kind, "participants": people}
    if focus.conference:
        return {"id": f"{focus.address};{focus.conference}", "kind": "conference", "session": focus.conference}
    return {"id": focus.address, "kind": "conference"}


def _people(happening: Happening, said: Said) -> tuple[Participant, list[Participant]]:
    """A proxy vouches for From and To; CPIM's names count only where a conference passes on what somebody said."""
    author, recipient = happening.message.author, happening.message.recipient
    wrapped, focus = said.wrapped, happening.focus
    if focus is not None and author.address == focus.address and wrapped is not None and wrapped.author is not None:
        return _person(_party(wrapped.author)), []
    return _person(author), [_person(recipient)]


def _party(named: Named) -> Party:
    address, conference = address_of(named.uri)
    return Party(address, named.name, "", conference)


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
    envelope = {"specversion": "1.0", "source": source, "time": moment(happening.time).isoformat(), **event}
    written = msgspec.json.encode(envelope, order="sorted")
    return capture(written, received=received, original=_whole(happening))


def _whole(happening: Happening) -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in happening.message.headers)
    return head.encode("utf-8", "replace") + b"\r\n" + happening.message.body
