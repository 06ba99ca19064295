"""Events without what one person said in them (pure): the rest of a conversation stays as it was.

What an event is, who did it, when and to which message stays; every word, file and unknown member of theirs goes. No
digest of it stays either, since a short text can be guessed from one. Finds nothing; `erasure` does.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any

import msgspec
from msgspec import structs

from archiver.events import EDITED, REACTED, RETRACTED, SENT, Captured, Event, named, target

MARK = "[…]"
"""Stands where something was said, in any language."""
_ATTRIBUTE = "archiverredacted"
_EVENT = {"specversion", "source", "id", "type", "time", "sequence", "datacontenttype"}
_DATA = {"conversation", "actor", "subject", "removed", "language", "until"}
_MESSAGE = {"id", "in_reply_to", "thread", "to", "language"}

_decode = msgspec.json.Decoder(Event).decode


class Person:
    """Whose words go: one mailbox's address, under whatever form a source gives it. `said` are their messages,
    `acts` their events, each by source and id."""

    def __init__(self, whose: Callable[[str, str], str | None], mailbox: str) -> None:
        self._whose = whose
        self.mailbox = mailbox
        self.said: set[tuple[str, str]] = set()
        self.acts: set[tuple[str, str]] = set()

    def notice(self, events: Iterable[Captured]) -> None:
        """Learn which messages are theirs: others' events may repeat them."""
        for event in (captured.event for captured in events):
            about = target(event)
            if self._did(event):
                self.acts.add((event.source, event.id))
                if about is not None and event.type == SENT:
                    self.said.add((event.source, about))

    def is_in(self, captured: Captured) -> bool:
        """Whether something of theirs is in an event, that isn't withheld already."""
        return self._concerns(captured.event) and self.without(captured).body != captured.body

    def is_named(self, captured: Captured) -> bool:
        event = captured.event
        return any(self._whose(event.source, address) == self.mailbox for address in named(event))

    def may_be_in(self, source: str, position: str, content: bytes) -> bool:
        """Of quarantined input: whether it became an event of theirs, or at least names their address."""
        return (source, position) in self.acts or self.mailbox.encode() in content.lower()

    def _did(self, event: Event) -> bool:
        actor = event.data.actor
        return actor is not None and self._whose(event.source, actor.address) == self.mailbox

    def _concerns(self, event: Event) -> bool:
        about = target(event)
        return self._did(event) or (about is not None and (event.source, about) in self.said)

    def without(self, captured: Captured) -> Captured:
        """The same event without what is theirs in it."""
        if not self._concerns(captured.event):
            return captured
        whole = not (captured.event.type in (REACTED, RETRACTED) and not self._did(captured.event))
        body = msgspec.json.encode(_bare(msgspec.json.decode(captured.body), whole=whole), order="sorted")
        return captured if body == captured.body else structs.replace(captured, event=_decode(body), body=body)


def _bare(event: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """`whole` is False for what somebody else did to a message: then only the message's text goes."""
    data = event["data"]
    made = {key: value for key, value in event.items() if key in _EVENT} if whole else dict(event)
    kept = {key: value for key, value in data.items() if key in _DATA} if whole else dict(data)
    if isinstance(message := data.get("message"), dict):
        kept["message"] = _only(message, _MESSAGE)
        if whole and event["type"] in (SENT, EDITED):
            kept["message"]["text"] = MARK
    if whole and isinstance(poll := data.get("poll"), dict):
        kept["poll"] = _only(poll, {"id"})
    if whole and "reaction" in data:
        kept["reaction"] = MARK
    if not whole and kept == data:
        return event
    return {**made, "data": kept, _ATTRIBUTE: "erased"}


def _only(record: dict[str, Any], kept: Container[str]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key in kept}
