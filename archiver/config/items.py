"""The tables that say what bounds a conversation, and how its items read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Struct

from archiver.config import quantities, values
from archiver.config.settings import Setting
from archiver.config.values import Fault


class Conversations(Struct, frozen=True):
    """What bounds a conversation, and when it is ready. Times in microseconds."""

    idle: Annotated[int, Setting("10m", quantities.duration("1s", "7d"), "A pause this long ends a conversation.")]
    span: Annotated[int, Setting("12h", quantities.duration("1m", "31d"), "So does this time from its first event on.")]
    silence: Annotated[
        int, Setting("4h", quantities.duration("1m", "31d"), "An open session counts as ended after this silence.")
    ]
    tail: Annotated[
        int, Setting("5m", quantities.duration("0s", "1h"), "What comes this long after a session's end belongs to it.")
    ]
    lateness: Annotated[
        int, Setting("2m", quantities.duration("0s", "1h"), "How late an event of a live source may come.")
    ]
    part_events: Annotated[int, Setting(1000, quantities.whole(1, 100_000), "Events in one part of a conversation.")]
    part_bytes: Annotated[int, Setting("5MiB", quantities.size("1KiB", "256MiB"), "Bytes of events in one part.")]
    continuation: Annotated[
        int, Setting("7d", quantities.duration("0s", "366d"), "How long a filed conversation can still be continued.")
    ]
    partial_leave: Annotated[
        int,
        Setting(
            "30m",
            quantities.duration("1m", "7d"),
            "Who was silent this long has left, where a source records no leaves.",
        ),
    ]
    missed_quiet: Annotated[
        int,
        Setting("60m", quantities.duration("0s", "7d"), "Who acted this long before a conversation didn't miss it."),
    ]


def ordered(record: Conversations) -> Iterator[Fault]:
    if record.idle > record.span:
        yield "idle", f"{record.idle // 1_000_000}s", "must not be longer than conversations.span"
    if record.tail > record.silence:
        yield "tail", f"{record.tail // 1_000_000}s", "must not be longer than conversations.silence"


class Transcript(Struct, frozen=True):
    """How items read where a mailbox doesn't say."""

    locale: Annotated[str, Setting("en", values.locale, "Language of items.")]
    zone: Annotated[str, Setting("UTC", values.zone, "Time zone of items; never the machine's.")]
    show_retracted: Annotated[bool, Setting(False, values.boolean, "Whether retracted text stays readable.")]
    max_attachment: Annotated[
        int, Setting("25MiB", quantities.size("0B", "1GiB"), "Larger files are named in the item, and kept beside it.")
    ]


class History(Struct, frozen=True):
    """The user's own Conversation History."""

    enabled: Annotated[bool, Setting(True, values.boolean, "Whether Conversation History is filed at all.")]
