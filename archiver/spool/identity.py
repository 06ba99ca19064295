"""What makes two events the same one: numbers of 64 bits over identity and compared content (pure).

Small keys keep a spool of many millions of identities in a few hundred MiB. Two different events under one key
(once in some ten thousand spools of a hundred million) are seen as a conflict: kept aside and reported, never lost.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct

from msgspec import msgpack

from archiver.events import Event

_pack = msgpack.Encoder().encode
_hash = blake2b(digest_size=8).copy  # a copy costs two thirds of a new one with its parameter
_signed = Struct("<q").unpack
_MILLISECOND = 1_000
_DIGITS = "0123456789."
_MOST_DIGITS = 18  # they fit 63 bits


def number(content: bytes) -> int:
    """A signed 64-bit number, as SQLite's INTEGER holds it."""
    made = _hash()
    made.update(content)
    found: int = _signed(made.digest())[0]
    return found


def key(source: str, identifier: str) -> int:
    # The length in front: no source and id can run together into another pair.
    return number(f"{len(source)}:{source}{identifier}".encode())


def serial(identifier: str) -> int:
    """The number an id ends in, points left out; 0 if in none. It says where a key is kept, never what is the same.

    Hashed keys of a million events lie all over their table, and each batch writes most of its pages anew. Sources
    that number what they send (also by time: `1400000000.000100`) give ids that stay together by this.
    """
    tail = identifier[len(identifier.rstrip(_DIGITS)) :].replace(".", "")
    return int(tail[-_MOST_DIGITS:] or 0)


def digest(event: Event, time: int) -> int:
    """Over what event-format.md compares for an `id` seen again, and nothing else."""
    data = event.data
    message = data.message
    return number(
        _pack(
            (
                event.type,
                time // _MILLISECOND,
                data.conversation.id,
                data.actor and data.actor.address,
                message and (message.id, message.text, message.html, message.to and [to.address for to in message.to]),
                data.attachments and [shared.sha256 for shared in data.attachments if shared.sha256],
                data.poll and data.poll.choice,
            )
        )
    )
