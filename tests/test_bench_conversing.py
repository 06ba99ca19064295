"""The measure of where conversations end: counted anew, plainly, on two annotated logs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from archiver.conversations.rules import MINUTE, Rules

ROOT = Path(__file__).parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from bench.conversing import adaptive, anywhere, calm, figures, fixed, read  # noqa: E402

IRC = ROOT / "fixtures" / "irc"
LOGS = ("2004-11-15_03", "2016-12-19_20")


@pytest.mark.parametrize("name", LOGS)
def test_the_share_is_what_a_plain_count_finds(name: str) -> None:
    """One item a run of minutes without a gap over five, no parts: by the clock of the file alone."""
    clock, item, where = None, 0, {}
    rows = (IRC / f"{name}.raw.txt").read_text("utf-8", errors="replace").split("\n")
    for number, row in enumerate(rows):
        stamp = re.match(r"\[(\d\d):(\d\d)\]", row)
        if stamp:
            now = int(stamp[1]) * 60 + int(stamp[2])
            item += clock is not None and (now - clock) % (12 * 60) > 5
            clock = now
        where[number] = item  # an action after `===` has no time of its own
    log = read(IRC / f"{name}.raw.txt")
    found = figures([log], lambda each: fixed(each, Rules(idle=5 * MINUTE, part_events=10**6)))
    together = sum(where[a] == where[b] for a, b in log.links)
    assert found["links"] == len(log.links) > 150
    assert found["apart"] == len(log.links) - together


@pytest.mark.parametrize("name", LOGS)
def test_the_default_keeps_answers_with_what_they_answer(name: str) -> None:
    log = read(IRC / f"{name}.raw.txt")
    default = figures([log], lambda each: fixed(each, Rules()))
    assert default["together"] > 0.95
    # A longer gap brings nothing.
    assert figures([log], lambda each: fixed(each, Rules(idle=30 * MINUTE)))["together"] <= default["together"] + 0.005


def test_where_parts_begin_is_no_more_than_chance() -> None:
    """A part of a thousand events that ends among the marked lines tears answers apart; one that doesn't, none."""
    log = read(IRC / "2016-12-19_20.raw.txt")
    gapless = Rules(idle=10**12, span=10**15)
    torn = anywhere([log], lambda each: fixed(each, gapless))
    assert 0.9 < torn < 1.0
    assert anywhere([log], lambda each: fixed(each, Rules(idle=10**12, span=10**15, part_events=10**6))) == 1.0


def test_every_rule_puts_each_message_into_one_item() -> None:
    log = read(IRC / "2016-12-19_20.raw.txt")
    every = sorted(number for item in fixed(log, Rules()) for number in item)
    for items in (calm(log, 10 * MINUTE), adaptive(log, 10, 2 * MINUTE)):
        assert sorted(number for item in items for number in item) == every
