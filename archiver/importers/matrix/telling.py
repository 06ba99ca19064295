"""One Matrix event -> events. An event's id is Matrix' own, so that a live capture of the room gives the same.

An edit counts where it comes from who wrote the message; a reaction that was redacted is one taken back; what is
encrypted is said to be. Only the display name changing is no event: the name is in what they do next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from archiver.events import (
    EDITED,
    ENDED,
    INVITED,
    JOINED,
    LEFT,
    POLL_CLOSED,
    POLL_OPENED,
    POLL_VOTED,
    REACTED,
    RETRACTED,
    SENT,
    STARTED,
    TOPIC_CHANGED,
    Attachment,
    Data,
    Event,
    Message,
    Participant,
    Poll,
)
from archiver.exceptions import EventError
from archiver.importers import jsonfile
from archiver.importers.matrix.event import MESSAGES, Line, file_of, inner, text, unquoted, unquoted_html
from archiver.importers.matrix.poll import CLOSED, OPENED, VOTED, chosen, question_of, tally_of
from archiver.importers.matrix.survey import Room, Survey
from archiver.importers.protocol import Reading
from archiver.importers.telling import ENCRYPTED, from_milliseconds

GONE = "[retracted before it was captured]"
_FILES = frozenset(("m.image", "m.file", "m.audio", "m.video"))


class Telling(Struct, frozen=True):
    """One event of a room, being told."""

    source: str
    room: Room
    survey: Survey
    reading: Reading
    line: Line
    at: datetime
    files: Sequence[Attachment]

    def events(self) -> Iterator[Event]:
        """Raises `EventError` for an event that can't be meant."""
        tell = _TOLD.get(self.line.type)
        if self.line.is_emptied and (self.line.type in MESSAGES or self.line.type == "m.reaction"):
            yield from self._emptied()
        elif self.line.is_forged:
            self._pass("events named like a room's state")
        elif tell is None:
            self._pass(f"{self.line.type[:80]} of Matrix")
        else:
            yield from tell(self)

    def said(self) -> Iterator[Event]:
        line = self.line
        if line.text("msgtype") == "m.key.verification.request":
            return self._pass("verifications of devices")
        content = inner(line.content, "m.new_content") or line.content or {}
        words, markup = _words(content), unquoted_html(_markup(content)) or None
        return self._spoken(unquoted(words) if line.answered else words, markup)

    def encrypted(self) -> Iterator[Event]:
        return self._spoken(ENCRYPTED, None)

    def sticker(self) -> Iterator[Event]:
        return self._spoken(f"[{self.line.text('body')}]", None)

    def _spoken(self, words: str, markup: str | None) -> Iterator[Event]:
        line, shared = self.line, tuple(self.files) or None
        if not line.replaced:
            message = Message(line.event_id, words, markup, in_reply_to=line.answered, thread=line.thread)
            yield self._event(SENT, message=message, attachments=shared)
            return
        original = self.survey.meant.get(line.replaced)
        if original is not None and original.sender != line.sender:
            self._pass("edits by others than the author")
        else:
            yield self._event(EDITED, message=Message(line.replaced, words, markup), attachments=shared)

    def reaction(self) -> Iterator[Event]:
        relation = self.line.relation
        if not text(relation, "event_id") or not text(relation, "key"):
            raise EventError("a reaction to nothing")
        yield self._event(REACTED, message=Message(text(relation, "event_id")), reaction=text(relation, "key"))

    def redaction(self) -> Iterator[Event]:
        target = self.line.redacted
        if not target:
            raise EventError("a redaction of nothing")
        meant = self.survey.meant.get(target)
        reason = self.line.text("reason") or None
        if meant is None or (meant.type in MESSAGES and not meant.is_edit):
            yield self._event(RETRACTED, message=Message(target), reason=reason)
        elif meant.type == "m.reaction" and meant.target and meant.key:
            who = self._person(meant.sender)
            message = Message(meant.target)
            yield self._event(REACTED, who, message=message, reaction=meant.key, removed=True, reason=reason)
        else:
            self._pass("redactions of edits, states and reactions that are gone")

    def _emptied(self) -> Iterator[Event]:
        if self.line.event_id in self.survey.lost and self.line.type in MESSAGES:
            yield self._event(SENT, message=Message(self.line.event_id, GONE))
        yield from self._taken_away()

    def _taken_away(self) -> Iterator[Event]:
        """A redacted message tells who took it away, once: not where the redaction is in the file too."""
        unsigned = self.line.unsigned or {}
        because = inner(unsigned, "redacted_because")
        identity = text(because, "event_id") or text(unsigned, "redacted_by") or f"{self.line.event_id}/redacted"
        if identity in self.survey.redactions or self.line.type == "m.reaction" or self.line.replaced:
            return self._pass("redacted events")
        when = because.get("origin_server_ts")
        at = from_milliseconds(when) if isinstance(when, (int, float)) else self.at
        actor = self._person(text(because, "sender")) if text(because, "sender") else None
        reason = text(inner(because, "content"), "reason") or None
        place = self.room.place(self.line.origin_server_ts)
        data = Data(conversation=place, actor=actor, reason=reason, message=Message(self.line.event_id))
        return iter([Event(source=self.source, id=identity, type=RETRACTED, time=at, data=data)])

    def member(self) -> Iterator[Event]:
        line, who = self.line, self.line.state_key or ""
        membership, reason = line.text("membership"), line.text("reason") or None
        before = self._before(who)
        subject = None if who == line.sender else self._person(who or line.sender)
        if membership == "join" and before != "join":
            yield self._event(JOINED, subject=subject, reason=reason)
        elif membership == "invite" and before != "invite":
            yield self._event(INVITED, subject=subject, reason=reason)
        elif membership == "ban":
            yield self._event(LEFT, subject=subject, reason=f"banned: {reason}" if reason else "banned")
        elif membership == "leave" and before not in ("ban", "leave"):
            yield self._event(LEFT, subject=subject, reason=reason)
        else:
            self._pass("changes of names and pictures, and of who may come")

    def _before(self, who: str) -> str | None:
        """What somebody was before: as the event tells, else by the events before it."""
        stated = text(inner(self.line.unsigned, "prev_content"), "membership")
        return stated or self.room.membership_before(who, self.line.origin_server_ts)

    def name(self) -> Iterator[Event]:
        yield self._event(TOPIC_CHANGED, topic=self.line.text("name"))

    def topic(self) -> Iterator[Event]:
        """It stands for a name where a room has none."""
        if self.room.names.at(self.line.origin_server_ts):
            return self._pass("m.room.topic of Matrix")
        return iter([self._event(TOPIC_CHANGED, topic=self.line.text("topic"))])

    def created(self) -> Iterator[Event]:
        before = self.room.predecessor
        yield self._event(STARTED, reason=f"continues {before}" if before else None)

    def replaced(self) -> Iterator[Event]:
        """Upgraded: the talk goes on in another room, which says that it continues this one."""
        after = self.line.text("replacement_room")
        told = [self.line.text("body"), f"continued in {after}" if after else ""]
        yield self._event(ENDED, reason="; ".join(filter(None, told)) or None)

    def asked(self) -> Iterator[Event]:
        asked = question_of(self.line)
        if asked is None:
            return self._pass("polls that were edited or taken away")
        poll = Poll(self.line.event_id, asked.text or None, tuple(asked.options.values()))
        return iter([self._event(POLL_OPENED, poll=poll)])

    def answered(self) -> Iterator[Event]:
        asked = self.survey.polls.get(self.line.referred)
        if not self.line.referred:
            raise EventError("an answer to no poll")
        if self.line.is_emptied or (asked is not None and not asked.disclosed):
            return self._pass("answers to secret polls, and those taken back")
        choice = chosen(self.line, asked)
        poll = Poll(self.line.referred, choice=choice[0] if len(choice) == 1 else choice)
        return iter([self._event(POLL_VOTED, poll=poll)])

    def closed(self) -> Iterator[Event]:
        if not self.line.referred:
            raise EventError("the end of no poll")
        tally = tally_of(self.line, self.survey.polls.get(self.line.referred))
        yield self._event(POLL_CLOSED, poll=Poll(self.line.referred, tally=tally))

    def called(self) -> Iterator[Event]:
        yield self._event("call.started")

    def hung_up(self) -> Iterator[Event]:
        yield self._event("call.ended")

    def _event(self, type_: str, actor: Participant | None = None, **data: Any) -> Event:
        line = self.line
        actor = actor or (self._person(line.sender) if line.sender else None)
        made = Data(conversation=self.room.place(line.origin_server_ts), actor=actor, **data)
        return Event(source=self.source, id=line.event_id, type=type_, time=self.at, data=made)

    def _person(self, address: str) -> Participant:
        return self.room.person(address, self.line.origin_server_ts)

    def _pass(self, what: str) -> Iterator[Event]:
        self.reading.ignored[what] += 1
        return iter(())


def _words(content: dict[str, Any]) -> str:
    """A file's text is its caption alone: in `body`, where the name stands in `filename`."""
    kind, body = text(content, "msgtype"), text(content, "body")
    if kind in _FILES:
        return body if text(content, "filename") not in ("", body) else ""
    if kind == "m.location":
        return f"{body} ({text(content, 'geo_uri')})"
    return f"/me {body}" if kind == "m.emote" else body


def _markup(content: dict[str, Any]) -> str:
    told = text(content, "format") == "org.matrix.custom.html" and text(content, "msgtype") not in _FILES
    return text(content, "formatted_body") if told else ""


def attachment(line: Line) -> Attachment | None:
    """The file of a message, with its `mxc:` address: where it was is told, not fetched."""
    content = inner(line.content, "m.new_content") or line.content or {}
    if line.type != "m.sticker" and text(content, "msgtype") not in _FILES:
        return None
    info, url = inner(content, "info"), text(content, "url") or text(inner(content, "file"), "url")
    size = info.get("size")
    return Attachment(
        name=text(content, "filename") or text(content, "body") or None,
        media_type=text(info, "mimetype") or None,
        size=size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None,
        url=url if url.startswith("mxc://") else None,
    )


def fetchable(line: Line) -> Attachment | None:
    """The file of a message, where the homeserver has it as it is: what only its readers can decrypt is none."""
    if line.type not in MESSAGES or line.is_emptied:
        return None
    content = inner(line.content, "m.new_content") or line.content or {}
    return attachment(line) if file_of(text(content, "url")) else None


def saved_at(url: str) -> str | None:
    """Where a file lies beside a history that was saved with its files; hidden, so that nobody takes it for input."""
    found = file_of(url)
    return f"media/{found[0]}/.{found[1]}" if found is not None else None


def line_of(element: Any) -> Line:
    """Raises `EventError` for what is no event of Matrix."""
    try:
        return jsonfile.record(element, Line)
    except jsonfile.Broken as fault:
        raise EventError(str(fault)) from fault


_TOLD: dict[str, Callable[[Telling], Iterator[Event]]] = {
    "m.room.message": Telling.said,
    "m.room.encrypted": Telling.encrypted,
    "m.sticker": Telling.sticker,
    "m.reaction": Telling.reaction,
    "m.room.redaction": Telling.redaction,
    "m.room.member": Telling.member,
    "m.room.name": Telling.name,
    "m.room.topic": Telling.topic,
    "m.room.create": Telling.created,
    "m.room.tombstone": Telling.replaced,
    **dict.fromkeys(OPENED, Telling.asked),
    **dict.fromkeys(VOTED, Telling.answered),
    **dict.fromkeys(CLOSED, Telling.closed),
    "m.call.invite": Telling.called,
    "m.call.hangup": Telling.hung_up,
    "m.call.reject": Telling.hung_up,
}
