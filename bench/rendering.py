"""What one message of a busy room costs: renderings, bytes, and how fast they are made.

A rendering is one event in one item. Two days: a real one of #ubuntu (leaves not recorded, so that only who spoke gets
an item) and a made-up one where 300 people join and leave twice and all of it is on record.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from msgspec import Struct

from archiver.assembly import terms_of
from archiver.config import load
from archiver.conversations import views as viewing
from archiver.conversations.conversation import conversations
from archiver.conversations.rules import order
from archiver.conversations.survey import survey
from archiver.events import SENT, Captured
from archiver.filing.pipeline import Terms
from archiver.filing.showing import Showing
from archiver.importers import Options, Reading, importer
from archiver.importers.recognising import document_at
from archiver.types import Conversation, Look, Roster
from bench import child, corpus
from bench.measure import ROOT, Bench, Figure, at_least, plain

AIM = 100_000
_ROOMS = 4
DAY = ROOT / "fixtures" / "irc" / "2016-12-19_20.raw.txt"
_RECEIVED = 1_700_000_000_000_000
_ALONE = Roster()

Job = tuple[Conversation, Sequence[Look]]


class Made(Struct):
    """What came of rendering all of a day once."""

    items: int = 0
    renderings: int = 0
    bytes: int = 0
    copies: int = 0
    seconds: float = 0.0


def run(bench: Bench) -> Iterator[Figure]:
    terms = terms_of(load())
    irc = importer("irc")
    log = _captured(irc.read(document_at(DAY), Options(channel="#ubuntu", network="libera"), Reading(_RECEIVED)))
    yield from _day(bench, terms, "irc", "a day of #ubuntu", log, partial=irc.partial_presence)
    messages, people = bench.sizes.room
    path = corpus.write_rooms(bench.fresh("room") / "room.ndjson", 1, messages, people)
    room = _captured(importer("events").read(document_at(path), Options(), Reading(_RECEIVED)))
    title = f"a made-up day of {people} people who join and leave twice"
    yield from _day(bench, terms, "room", title, room, partial=False)
    yield _backfill(bench)


def _captured(pieces: Iterable[object]) -> list[Captured]:
    return sorted((piece for piece in pieces if isinstance(piece, Captured)), key=order)


def _day(bench: Bench, terms: Terms, name: str, title: str, events: list[Captured], *, partial: bool) -> list[Figure]:
    jobs = list(_jobs(events, terms, partial=partial))
    rounds = []
    for number in range(bench.sizes.rounds):
        bench.say(f"rendering: {title}, round {number + 1} of {bench.sizes.rounds}")
        rounds.append(_rendered(jobs, terms))
    made = rounds[0]
    messages = sum(captured.event.type == SENT for captured in events)
    facts = {
        "messages": messages,
        "events": len(events),
        "conversations": len(jobs),
        "items": made.items,
        "mailboxes": made.copies,
        "bytes": made.bytes,
    }
    speeds = [each.renderings / each.seconds for each in rounds]
    items = [each.items / each.seconds for each in rounds]
    name, alone = f"rendering.{name}", f"{title}: rendering alone, one process"
    return [
        plain(f"{name}.renderings", f"{title}: a message", made.renderings / messages, "renderings", facts=facts),
        plain(f"{name}.bytes", f"{title}: a message on disk", made.bytes / messages, "bytes"),
        plain(f"{name}.speed", alone, median(speeds), "renderings/s", samples=speeds),
        plain(f"{name}.items", alone, median(items), "items/s", samples=items),
    ]


def _jobs(events: list[Captured], terms: Terms, *, partial: bool) -> Iterator[Job]:
    """Conversations with all looks that their views come to, as filing would choose them."""
    looked = survey(lambda: events, _ALONE, terms.rules, partial=partial)
    for each in conversations(events, looked, _ALONE, terms.rules, partial=partial):
        if viewing.is_content(each):
            yield each, _looks(each, terms)


def _looks(conversation: Conversation, terms: Terms) -> list[Look]:
    directory, looks = terms.directory, []
    for view in viewing.views(conversation, lambda who: directory.mailbox_of(conversation.source, who), terms.rules):
        box = directory.mailbox(view.mailbox)
        looks.append(Look(view.mask, view.role, view.side, box.locale, box.zone, terms.show_retracted))
    return looks


def _rendered(jobs: Sequence[Job], terms: Terms) -> Made:
    made = Made()
    started = time.perf_counter()
    for conversation, looks in jobs:
        showing = Showing(conversation, lambda digest: None, terms.rules, terms.limits)
        made.copies += len(looks)
        for look in sorted(set(looks), key=lambda look: look.mask):
            made.items += 1
            made.renderings += look.mask.bit_count()
            made.bytes += len(showing.item(look).content)
    made.seconds = time.perf_counter() - started
    return made


def _backfill(bench: Bench) -> Figure:
    """Several rooms: one is filed by one process, however many there are."""
    messages, people = bench.sizes.room
    path = corpus.write_rooms(bench.fresh("rooms") / "rooms.ndjson", _ROOMS, messages, people)
    speeds = []
    for number in range(min(3, bench.sizes.rounds)):
        bench.say(f"rendering: backfill of {_ROOMS} such rooms, round {number + 1}")
        done = child.ended(child.start(bench.fresh("rooms-data"), "events", path))
        speeds.append(done.tally["renderings"] / done.seconds)
    what = f"whole backfill of {_ROOMS} such rooms: read, spooled, rendered, filed"
    return at_least(AIM, "rendering.backfill", what, median(speeds), "renderings/s", samples=speeds)
