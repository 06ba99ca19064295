"""One decision for each who was in a conversation, whatever order its events came in, for any rules and any holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from archive_builder import Archive
from builders import BASE, DAY, join, leave, react, say
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver import config as configuration
from archiver.config import Config
from archiver.events import SECOND, Captured
from archiver.types import DeliveryState, Destination

ALICE, BOB, EVE = "alice@example.org", "bob@example.org", "eve@elsewhere.example"
ARCHIVES = (Destination.ARCHIVE, Destination.LOCAL)
Made = Counter[tuple[str, Destination, DeliveryState]]


def mailbox(address: str) -> st.SearchStrategy[dict[str, Any]]:
    own = st.fixed_dictionaries(
        {"address": st.just(address)},
        optional={
            "version": st.sampled_from(["14.3.123.4", "15.0.1497.2", "nothing known"]),
            "exchange_archiving": st.sampled_from(["uninitialized", "local", "mailbox", "none"]),
        },
    )
    moving = {"address": address, "migration": "migrating", "migration_ends": "2099-12-31"}
    return own | st.just(moving)


configs = st.builds(
    lambda archiving, policy, mailboxes: configuration.parse(
        {
            "archiving": archiving,
            "policy": policy,
            "mailbox": list(mailboxes),
            "directory": {"domains": ["example.org"]},
        }
    ),
    st.fixed_dictionaries({"archive": st.sampled_from(["none", "im", "im+conference"]), "to_mailbox": st.booleans()}),
    st.fixed_dictionaries({"internal": st.booleans(), "external": st.booleans()}),
    st.tuples(mailbox(ALICE), mailbox(BOB)),
)
holds = st.lists(st.tuples(st.sampled_from([ALICE, BOB]), st.sampled_from(["", "kind:im", "word0", "eve"])), max_size=2)


@st.composite
def talks(draw: st.DrawFn) -> list[Captured]:
    kind = draw(st.sampled_from(["im", "group", "conference"]))
    people = [ALICE, BOB] if kind == "im" else [ALICE, BOB, EVE]
    made = []
    for n in range(draw(st.integers(1, 6))):
        who, what = draw(st.sampled_from(people)), draw(st.sampled_from(["say", "say", "join", "leave", "react"]))
        more: dict[str, Any] = {"where": kind, "id": str(n)}
        if what == "say":
            made.append(say(who, f"word{n}", n, **more))
        elif what == "react":
            made.append(react(who, "0", "+1", n, **more))
        else:
            made.append((join if what == "join" else leave)(who, n, **more))
    return made


def decided(made: Config, standing: Sequence[tuple[str, str]], said: Sequence[Captured]) -> Made:
    with TemporaryDirectory() as data:
        archive = Archive(Path(data), made)
        for address, query in standing:
            archive.spool.place_hold(address, by="counsel", reason="case", query=query, now=BASE * SECOND)
        archive.take(said, DAY)
        found = [(e.mailbox, e.destination, e.state) for lot in archive.spool.journalled() for e in lot]
        archive.spool.close()
    return Counter(found)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(configs, holds, talks(), st.randoms(use_true_random=False))
def test_exactly_one_destination_decision_comes_out_whatever_the_order(
    made: Config, standing: list[tuple[str, str]], said: list[Captured], random: Any
) -> None:
    found = decided(made, standing, said)
    migrating = {each.address for each in made.mailbox if each.migration == "migrating"}
    for address in {each for each, *_ in found}:
        archived = [to for who, to, _ in found.elements() if who == address and to in ARCHIVES]
        assert len(archived) <= 1 or (address in migrating and sorted(archived) == sorted(ARCHIVES)), "one, or both"
    assert max(found.values(), default=1) == 1, "nothing is decided twice"
    shuffled = list(said)
    random.shuffle(shuffled)
    assert decided(made, standing, shuffled) == found
    assert decided(made, standing[::-1], said[::-1]) == found
