"""What a stanza means where it was said: one reading for archives and live capture, so that both give the same events.

Corrections (XEP-0308), retractions (0424, 0425), reactions (0444), replies (0461), files (0066, 0447). What refers to
a message counts where its author, or the room, sent it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element

from archiver.events import EDITED, REACTED, RETRACTED, SENT, TOPIC_CHANGED, Event, Kind, Message
from archiver.exceptions import EventError
from archiver.importers.telling import ENCRYPTED
from archiver.importers.xmpp import stanza as look
from archiver.importers.xmpp.memory import Memory
from archiver.importers.xmpp.said import Said, fingerprint
from archiver.importers.xmpp.stanza import FASTEN, MODERATE, RETRACT, core


class Meaning:
    """`passed` counts what is no conversation, by kind."""

    def __init__(self, memory: Memory, passed: Counter[str]) -> None:
        self._memory = memory
        self._passed = passed

    def of(self, said: Said) -> Iterator[Event]:
        stanza = said.stanza
        reactions = stanza.find("{urn:xmpp:reactions:0}reactions")
        replaced = stanza.find("{urn:xmpp:message-correct:0}replace")
        if (gone := look.either(stanza, RETRACT, "retracted")) is not None:
            yield self._tombstone(said, gone)
        elif (target := _retracted(stanza)) is not None:
            yield from self._retraction(said, target)
        elif reactions is not None:
            yield from self._reacted(said, reactions)
        elif core(stanza, "subject") is not None and core(stanza, "body") is None and said.place.kind != "im":
            subject = core(stanza, "subject")
            yield said.event(TOPIC_CHANGED, topic="".join(subject.itertext()) if subject is not None else "")
        else:
            yield from self._spoken(said, replaced)

    def _spoken(self, said: Said, replaced: Element | None) -> Iterator[Event]:
        stanza = said.stanza
        files = look.attachments(stanza)
        text = ENCRYPTED if look.is_encrypted(stanza) else look.words(stanza)
        if text is None and not files:
            self._passed["receipts, states of typing and the like"] += 1
            return
        if text in [each.url for each in files]:
            text = ""
        body, thread = core(stanza, "body"), core(stanza, "thread")
        language = look.language(body) if body is not None else None
        shared = files or None
        if replaced is not None and replaced.get("id"):
            yield from self._corrected(said, replaced.get("id") or "", text or "", language, shared)
            return
        self._note(said)
        message = Message(
            said.id,
            text or "",
            language=language,
            in_reply_to=_answered(stanza, said.place.kind),
            thread=(thread.text or None) if thread is not None else None,
            to=said.to,
        )
        yield said.event(SENT, message=message, attachments=shared)

    def _corrected(self, said: Said, given: str, text: str, language: str | None, files: Any) -> Iterator[Event]:
        """XEP-0308: by who wrote it alone; the id is always the sender's, of the first version."""
        target = self._target(said, given)
        if not self._is_own(said, target):
            self._passed["corrections by others than the author"] += 1
        else:
            message = Message(target, text, language=language, to=said.to)
            yield said.event(EDITED, message=message, attachments=files)

    def _retraction(self, said: Said, target: tuple[str, bool, str | None]) -> Iterator[Event]:
        given, is_moderated, reason = target
        wanted = self._target(said, given)
        if said.author if is_moderated else not self._is_own(said, wanted):
            self._passed["retractions by others than the author or the room"] += 1
        else:
            yield said.event(RETRACTED, message=Message(wanted), reason=reason)

    def _tombstone(self, said: Said, gone: Element) -> Event:
        stamp = gone.get("stamp")
        at = look.time_of(stamp) if stamp else None
        reason = next((gone.findtext(f"{space}reason") for space in MODERATE if gone.findtext(f"{space}reason")), None)
        return said.event(RETRACTED, key="/retracted", at=at, message=Message(said.id), reason=reason)

    def _reacted(self, said: Said, reactions: Element) -> Iterator[Event]:
        """XEP-0444: each tells all that somebody has to say; what is new and what is gone are events."""
        target = reactions.get("id")
        if not target:
            raise EventError("reactions to nothing")
        target = self._target(said, target)
        given = [(each.text or "").strip() for each in reactions.findall("{urn:xmpp:reactions:0}reaction")]
        now = tuple(dict.fromkeys(each for each in given if each and "\n" not in each))
        known = ("reactions", said.place.id, target, said.author)
        before = tuple((self._memory.recall(*known) or "").split("\n"))
        if said.place.kind == "conference":
            now = tuple(dict.fromkeys((*before, *now)))  # Jitsi Meet's clients tell only what is new
        self._memory.note("\n".join(now), *known)
        for each in filter(None, (*now, *before)):
            if (each in now) != (each in before):
                message = Message(target)
                removed = each not in now
                yield said.event(REACTED, key=f"/{each}", message=message, reaction=each, removed=removed)

    # What is remembered

    def _note(self, said: Said) -> None:
        self._memory.note(said.id, "id", said.place.id, said.author, said.stanza.get("id") or "")
        self._memory.note(fingerprint(said.author), "author", said.place.id, said.id)

    def _target(self, said: Said, given: str) -> str:
        """The id of the message that its author's client calls `given`."""
        return self._memory.recall("id", said.place.id, said.author, given) or given

    def _is_own(self, said: Said, target: str) -> bool:
        known = self._memory.recall("author", said.place.id, target)
        return known is None or known == fingerprint(said.author)


def _answered(stanza: Element, kind: Kind) -> str | None:
    """The message that one replies to. Jitsi Meet's clients name it in a form of their own."""
    reply = stanza.find("{urn:xmpp:reply:0}reply")
    if reply is not None:
        return reply.get("id")
    own = core(stanza, "reply") if kind == "conference" else None
    return own.get("to") if own is not None else None


def _retracted(stanza: Element) -> tuple[str, bool, str | None] | None:
    """What is taken back, whether by moderation (XEP-0425), and why: in today's form, or fastened as before."""
    fastened = stanza.find(FASTEN)
    about = fastened if fastened is not None else look.either(stanza, RETRACT, "retract")
    if about is None or not about.get("id"):
        return None
    moderated = look.either(about, MODERATE, "moderated")
    if fastened is not None and moderated is None and look.either(fastened, RETRACT, "retract") is None:
        return None
    around = [about, *([moderated] if moderated is not None else [])]
    names = [f"{space}reason" for space in (*MODERATE, *RETRACT)]
    reason = next((found for each in around for name in names if (found := each.findtext(name))), None)
    return about.get("id") or "", moderated is not None, reason
