"""Events and rosters without one person (pure): what they said goes, and who they were; the rest stays as it was.

What an event is, when it was and to which message it belongs stays; every word, file, topic and unknown member of
theirs goes, and their address and name give way to a pseudonym. No digest of it stays either, since a short text can
be guessed from one. What others wrote stays as they wrote it. Finds nothing; `erasure` does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, Protocol

import msgspec
from msgspec import structs

from archiver.addresses import normal
from archiver.events import (
    EDITED,
    POLL_CLOSED,
    POLL_OPENED,
    POLL_VOTED,
    REACTED,
    RETRACTED,
    SENT,
    STARTED,
    TOPIC_CHANGED,
    Captured,
    Event,
    named,
    rewritten,
    target,
)
from archiver.types import Presence, Roster

MARK = "[…]"
"""Stands where something was said, in any language."""
_ATTRIBUTE = "archiverredacted"
_EVENT = {"specversion", "source", "id", "type", "time", "sequence", "datacontenttype"}
_DATA = {"actor", "removed", "until"}
_PLACE = {"id", "kind", "topic", "session", "participants", "history"}
_PERSON = {"address", "name", "hidden"}
_MESSAGE = {"id", "in_reply_to", "thread", "to"}
_ECHOES = {REACTED, RETRACTED, POLL_VOTED, POLL_CLOSED}
"""What others do to a message or poll is theirs, what they repeat of it isn't."""
_POLL = {"id", "choice", "tally"}
_SCHEME = re.compile(r"[A-Za-z]+:")

_decode = msgspec.json.Decoder(Event).decode

NOBODY: frozenset[str] = frozenset()
Fact = tuple[str, ...]
"""("act", source, id of an event), ("said", source, message), ("topic", source, place, topic)."""


class Known(Protocol):
    """A set of facts, however large it grows."""

    def add(self, fact: Fact, /) -> None: ...
    def __contains__(self, fact: Fact, /) -> bool: ...


def pseudonym(number: int) -> str:
    """What stands for a person: by the number of the audit log's entry that tells of their erasure.

    No address looks so, and it can't be guessed who it was, as it could from a digest.
    """
    return f"erased({number})"


class Person:
    """Who is erased: one mailbox's address, under whatever form a source gives it.

    `notice` everything first, since others' events may repeat what is theirs; `pseudonym` is what stands for them
    then. Addresses passed as `aliases` are theirs too, in this one item: what they were hidden under.
    """

    def __init__(self, whose: Callable[[str, str], str | None], mailbox: str, known: Known | None = None) -> None:
        self._whose = lru_cache(16_384)(whose)
        self.mailbox = mailbox
        self.pseudonym = pseudonym(0)
        self._known: Known = set[Fact]() if known is None else known
        self._forms: dict[str, set[str]] = {}
        """Their addresses as identifiers may contain them, by source; "" for those that are one everywhere."""
        self._patterns: dict[tuple[str, _Reach], re.Pattern[str]] = {}
        self._add_form("", mailbox)

    # Learning

    def notice(self, events: Iterable[Captured]) -> None:
        for event in (captured.event for captured in events):
            source = event.source
            self.meet(source, named(event))
            if self._did(event, NOBODY):
                self._known.add(self._fact("act", source, event.id))
                if event.type in (SENT, POLL_OPENED) and (about := target(event)) is not None:
                    self._known.add(self._fact("said", source, about))
                if event.type in (TOPIC_CHANGED, STARTED):
                    self._notice_topics(event)

    def meet(self, source: str, addresses: Iterable[str]) -> None:
        """Learn how a source writes their address."""
        for address in addresses:
            if self.is_them(source, address):
                self._learn_form(source, address)

    def _notice_topics(self, event: Event) -> None:
        """Everything said in the place from then on repeats it."""
        place = event.data.conversation
        for topic in (event.data.topic, place.topic):
            if topic:
                self._known.add(self._topic(event.source, place.id, place.kind, topic))

    def _fact(self, what: str, source: str, identifier: str) -> Fact:
        return what, source, self._plain(self._pattern(source, _Reach.WORDS), identifier)

    def _topic(self, source: str, place: str, kind: str, topic: str) -> Fact:
        return "topic", source, self._plain(self._pattern(source, _reach(kind)), place), topic

    def _plain(self, pattern: re.Pattern[str], identifier: str) -> str:
        """The same before their address gave way in it and after."""
        return pattern.sub("\0", identifier).replace(self.pseudonym, "\0")

    def _learn_form(self, source: str, address: str) -> None:
        """The shortest forms that are still theirs: a resource is nobody's name, a room's address not theirs alone."""
        head = address.partition("/")[0]
        short = {form for form in (normal(source, address), head, _SCHEME.sub("", head)) if form}
        whole = {form for form in short if "@" in form and self.is_them(source, form)}
        for form in whole if whole and "@" in address else {*whole, address}:
            self._add_form("" if "@" in form else source, form.casefold() if "@" in form else form)

    def _add_form(self, source: str, form: str) -> None:
        if form not in (forms := self._forms.setdefault(source, set())) and form != self.pseudonym:
            forms.add(form)
            self._patterns.clear()

    # Asking

    def is_them(self, source: str, address: str) -> bool:
        return address == self.pseudonym or self._whose(source, address) == self.mailbox

    def is_named(self, captured: Captured) -> bool:
        event = captured.event
        return any(self.is_them(event.source, address) for address in named(event))

    def is_present(self, source: str, roster: Roster) -> bool:
        return any(self.is_them(source, address) for each in roster.present for address in each.addresses)

    def is_in(self, captured: Captured, aliases: frozenset[str] = NOBODY) -> bool:
        """Whether something of theirs is in an event, that isn't withheld already."""
        return self.without(captured, aliases).body != captured.body

    def did_one_of(self, events: Iterable[Captured]) -> bool:
        return any(self._fact("act", each.event.source, each.event.id) in self._known for each in events)

    def aliases(self, events: Sequence[Captured], hidden: frozenset[str], *, suspected: bool) -> frozenset[str]:
        """Under which of an item's pseudonyms they were `hidden`: known by what they did.

        Where that can't be told any more, and they are `suspected` to be one of them, all are taken to be theirs.
        """
        theirs = {
            actor.address
            for each in events
            if (actor := each.event.data.actor) is not None and actor.address in hidden and self.did_one_of([each])
        }
        return frozenset(theirs) or (hidden if suspected else NOBODY)

    def did(self, source: str, position: str) -> bool:
        """Of quarantined input: whether it became an event of theirs. Its id stands alone, or in brackets last."""
        ids = [position]
        if position.endswith(")"):
            ids += [position[found.end() : -1] for found in re.finditer(r" \(", position)]
        return any(self._fact("act", source, each) in self._known for each in ids)

    def is_written_in(self, source: str, content: bytes) -> bool:
        """Whether bytes name them, as a source does, or any if that isn't known."""
        text = content.decode("utf-8", "replace")
        return any(self._pattern(each, _Reach.NAMES).search(text) for each in ([source] if source else self._forms))

    # Withholding

    def without(self, captured: Captured, aliases: frozenset[str] = NOBODY) -> Captured:
        """The same event without what is theirs in it."""
        event = captured.event
        if not self._concerns(captured, aliases):
            return captured
        made = before = msgspec.json.decode(captured.body)
        did = self._did(event, aliases)
        if did or self._is_of_theirs(event):
            made = _bare(before, whole=did or event.type not in _ECHOES)
        made = self._renamed(made, event, aliases)
        if made == before:
            return captured
        body = msgspec.json.encode({**made, _ATTRIBUTE: "erased"}, order="sorted")
        return structs.replace(captured, event=_decode(body), body=body)

    def _concerns(self, captured: Captured, aliases: frozenset[str]) -> bool:
        event = captured.event
        return (
            self._is_of_theirs(event)
            or any(address in aliases or self.is_them(event.source, address) for address in named(event))
            or self._their_topic(event.source, event.data.conversation.id, event.data.conversation.kind, event)
            or self._pattern(event.source, _Reach.ADDRESSES).search(captured.body.decode()) is not None
        )

    def _did(self, event: Event, aliases: frozenset[str]) -> bool:
        actor = event.data.actor
        return actor is not None and (actor.address in aliases or self.is_them(event.source, actor.address))

    def _is_of_theirs(self, event: Event) -> bool:
        """Who sent a message is told by the event that sends it: another one's is never theirs, whatever its id."""
        about = None if event.type in (SENT, POLL_OPENED) else target(event)
        return about is not None and self._fact("said", event.source, about) in self._known

    def _their_topic(self, source: str, place: str, kind: str, event: Event) -> bool:
        topics = (event.data.topic, event.data.conversation.topic)
        return any(topic and self._set_topic(source, place, kind, topic) for topic in topics)

    def _set_topic(self, source: str, place: str, kind: str, topic: str) -> bool:
        return self._topic(source, place, kind, topic) in self._known

    def _renamed(self, made: dict[str, Any], event: Event, aliases: frozenset[str]) -> dict[str, Any]:
        def people(who: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
            if who["address"] not in aliases and not self.is_them(event.source, who["address"]):
                return {**other, "address": who["address"]}
            hidden = {"hidden": True} if who.get("hidden") is True else {}
            return {"address": self.pseudonym, **hidden}

        source, place = event.source, event.data.conversation
        made = {**rewritten(made, lambda text: self.text(source, text), people), "source": source}
        data: dict[str, Any] = made["data"]
        data["conversation"]["id"] = self.place(source, place.id, place.kind)
        for holder in (data, data["conversation"]):
            topic = holder.get("topic")
            if isinstance(topic, str) and self._set_topic(source, place.id, place.kind, topic):
                holder["topic"] = MARK
        return made

    def roster(self, source: str, place: str, kind: str, roster: Roster, aliases: frozenset[str] = NOBODY) -> Roster:
        present = tuple([self._presence(source, each, aliases) for each in roster.present])
        is_theirs = roster.topic and self._set_topic(source, place, kind, roster.topic)
        return structs.replace(roster, present=present, topic=MARK if is_theirs else roster.topic)

    def _presence(self, source: str, presence: Presence, aliases: frozenset[str]) -> Presence:
        addresses = self.addresses(source, presence.addresses, aliases)
        if addresses == presence.addresses:
            return presence
        return structs.replace(presence, addresses=addresses, name=None)

    def addresses(self, source: str, found: Iterable[str], aliases: frozenset[str] = NOBODY) -> tuple[str, ...]:
        theirs = (self.pseudonym if each in aliases or self.is_them(source, each) else each for each in found)
        return tuple(dict.fromkeys(theirs))

    def text(self, source: str, identifier: str) -> str:
        """An identifier without their address, and without a nick of theirs where it stands as a word."""
        return self._pattern(source, _Reach.WORDS).sub(self.pseudonym, identifier)

    def place(self, source: str, place: str, kind: str) -> str:
        """The key of a conversation. A room may be called as somebody is; one-to-one, it is named after people."""
        return self._pattern(source, _reach(kind)).sub(self.pseudonym, place)

    def _pattern(self, source: str, reach: _Reach) -> re.Pattern[str]:
        made = self._patterns.get((source, reach))
        if made is None:
            forms = sorted(self._forms[""], key=lambda form: (-len(form), form))
            patterns = [_address(form, reach) for form in forms]
            if reach is not _Reach.ADDRESSES:
                nicks = sorted(self._forms.get(source, ()) if source else (), key=lambda form: (-len(form), form))
                patterns += [_nick(nick, reach) for nick in nicks]
            made = self._patterns[source, reach] = re.compile("|".join(patterns))
        return made


class _Reach(Enum):
    """What is taken to be somebody's in a text.

    ADDRESSES: whole ones alone. NAMES: nicks too. WORDS: also what only ends as an address does; where it is known to
    be about them.
    """

    ADDRESSES = 1
    NAMES = 2
    WORDS = 3


def _reach(kind: str) -> _Reach:
    return _Reach.NAMES if kind == "im" else _Reach.ADDRESSES


def _address(address: str, reach: _Reach) -> str:
    """However it is spelt: in capitals, or quoted as in a URL; but not the end or the beginning of another's."""
    at = re.escape(address).replace("@", "(?:@|%40)")
    before = r"[\w.+]" if reach is _Reach.WORDS else r"[\w.+-]"
    return rf"(?i:(?:(?<!{before})|(?<=%[0-9a-f][0-9a-f])){at}(?!\w|\.\w|-[\w-]*\.[a-z]))"


def _nick(nick: str, reach: _Reach) -> str:
    """It may be any word: only where it stands for itself is it theirs."""
    beside = r"[\w@]" if reach is _Reach.WORDS else r"[^\s;,|<>:]"
    return rf"(?<!{beside}){re.escape(nick)}(?!{beside})"


def _bare(event: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """`whole` is False for what somebody else did to a message: then only the message's text goes."""
    data = event["data"]
    made = {key: value for key, value in event.items() if key in _EVENT or key == _ATTRIBUTE} if whole else dict(event)
    kept = {key: value for key, value in data.items() if key in _DATA} if whole else dict(data)
    if whole:
        kept["conversation"] = _with_people(_only(data["conversation"], _PLACE), "participants")
        if isinstance(subject := data.get("subject"), dict):
            kept["subject"] = _only(subject, _PERSON)
    if isinstance(message := data.get("message"), dict):
        kept["message"] = _with_people(_only(message, _MESSAGE), "to")
        if whole and event["type"] in (SENT, EDITED):
            kept["message"]["text"] = MARK
    if isinstance(poll := data.get("poll"), dict):
        kept["poll"] = _only(poll, {"id"} if whole else _POLL)
    if whole and event["type"] == TOPIC_CHANGED and data.get("topic"):
        kept["topic"] = MARK
    if whole and "reaction" in data:
        kept["reaction"] = MARK
    return {**made, "data": kept}


def _with_people(record: dict[str, Any], which: str) -> dict[str, Any]:
    people = record.get(which)
    return record if people is None else {**record, which: [_only(each, _PERSON) for each in people]}


def _only(record: dict[str, Any], kept: Container[str]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key in kept}
