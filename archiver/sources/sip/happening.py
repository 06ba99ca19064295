"""What a stream of SIP messages is found to tell. What an event of it looks like is `telling`'s."""

from __future__ import annotations

from msgspec import Struct

from archiver.sources.sip.message import Message, Party

Key = tuple[str, ...]
"""Method, Call-ID, the author's tag, CSeq: the same for all copies of a request and for its answers."""


class Happening(Struct, frozen=True):
    """Something to tell. `time` in microseconds since 1970; `focus` is the conference it was in, None for none.

    `what` is "sent" (`status` is the answer, 0 for none), "began" or "ended" of a call (`edge`: its conference began or
    ended with it), "came" or "went" by a roster, or "unreadable" (`reason`). In a conference `who` said it, came or
    went, by the name it shows them by.
    """

    what: str
    key: Key
    message: Message
    time: int
    status: int = 0
    focus: Party | None = None
    edge: bool = False
    who: Party | None = None
    topic: str | None = None
    reason: str = ""


def key_of(message: Message) -> Key:
    return (message.method, message.call, message.author.tag, str(message.number))
