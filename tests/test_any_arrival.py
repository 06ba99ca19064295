"""The whole pipeline, from the spool to the folders: the last items don't depend on how their events arrived.

The spool is a real one, the folders are those of the store's twin in memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from builders import BASE, DAY, MINUTE, edit, event, invite, join, leave, react, rename, retract, say
from conversation_builder import text_of
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.assembly import archive_of, open_spool, terms_of
from archiver.config import Config, load
from archiver.events import SECOND, Captured
from archiver.filing.pipeline import Filer
from archiver.store import MemoryStore

CONFIG: Config = load(None)
NOW = (BASE + DAY) * SECOND
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where a sync costs nothing: this is about order, not about durability."""
PEOPLE = ["a@x.org", "b@x.org", "c@x.org"]
KINDS = ["say"] * 5 + ["whisper", "edit", "retract", "react", "join", "leave", "rename", "invite", "end"]

people = st.sampled_from(PEOPLE)
times = st.integers(0, 30).map(lambda step: step * 2 * MINUTE) | st.integers(0, 20)
places = st.sampled_from([("talk", "im", None), ("room", "group", None), ("meeting", "conference", "one")])


@st.composite
def happenings(draw: st.DrawFn, number: int) -> Captured:
    kind, who, other, at = draw(st.sampled_from(KINDS)), draw(people), draw(people), draw(times)
    room, where, session = draw(places)
    about = {"id": f"e{number}", "room": room, "where": where, "session": session}
    present = {"present": PEOPLE[:2]} if where == "im" else {}
    of = f"e{draw(st.integers(0, 6))}"
    if kind == "say":
        return say(who, f"line {number}", at, **about, **present)
    if kind == "whisper":
        return say(who, f"line {number}", at, to=[other], **about, **present)
    if kind == "edit":
        return edit(who, of, f"better {number}", at, **about)
    if kind == "retract":
        return retract(who, of, at, **about)
    if kind == "react":
        return react(who, of, "+", at, **about)
    if kind == "rename":
        return rename(who, f"{other[0]}2@x.org", at, **about)
    if kind == "invite":
        return invite(who, other, at, **about)
    if kind == "end":
        return event("conversation.ended", at, **about)
    return {"join": join, "leave": leave}[kind](who, at, **about)


@st.composite
def logs(draw: st.DrawFn, most: int) -> list[Captured]:
    return [draw(happenings(number)) for number in range(draw(st.integers(2, most)))]


@st.composite
def arrivals(draw: st.DrawFn, most: int) -> tuple[list[Captured], list[list[Captured]]]:
    """Events, and the same in batches in another order, some of them twice."""
    log = draw(logs(most))
    shuffled = [*draw(st.permutations(log)), *draw(st.lists(st.sampled_from(log), max_size=2))]
    cuts = sorted(draw(st.sets(st.integers(1, len(shuffled) - 1), max_size=4)))
    return log, [shuffled[start:end] for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]


Result = tuple[dict[str, list[str]], int]
"""What the items in each mailbox tell at last, and how many conversations have no content."""


def filed(batches: Sequence[Sequence[Captured]], *, partial: bool) -> Result:
    """Append batch after batch, filing after each."""
    store = MemoryStore()
    with tempfile.TemporaryDirectory(dir=MEMORY) as data, open_spool(CONFIG, Path(data)) as spool:
        filer = Filer(spool, spool, store, archive_of(CONFIG, Path(data)), terms_of(CONFIG))
        for number, batch in enumerate(batches):
            now = NOW + number * SECOND
            feed = spool.open_feed(f"import:{number}", "import", partial=partial, now=now).number
            spool.append(batch, feed, now=now)
            spool.close_feed(feed, now)
            while leases := spool.claim(now, 100):
                tally = filer.run(leases, now)
                assert not tally.failed and not tally.waiting
        return items(store), spool.totals().empty


def items(store: MemoryStore) -> dict[str, list[str]]:
    told = {
        mailbox: sorted(
            text_of(store.read(mailbox, folder, found.name))
            for folder in store.folders(mailbox)
            for found in store.items(mailbox, folder)
        )
        for mailbox in store.mailboxes()
    }
    return {mailbox: texts for mailbox, texts in told.items() if texts}


def check(arrived: tuple[list[Captured], list[list[Captured]]], partial: bool) -> None:
    log, batches = arrived
    assert filed(batches, partial=partial) == filed([log], partial=partial)


@settings(max_examples=examples(60))
@given(arrivals(9), st.booleans())
def test_any_batches_in_any_order_end_with_the_same_items(
    arrived: tuple[list[Captured], list[list[Captured]]], partial: bool
) -> None:
    check(arrived, partial)


@pytest.mark.slow
@settings(max_examples=examples(150))
@given(arrivals(30), st.booleans())
def test_longer_ones_too(arrived: tuple[list[Captured], list[list[Captured]]], partial: bool) -> None:
    check(arrived, partial)
