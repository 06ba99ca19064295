"""What deciding where to archive adds to a delivery: microseconds, with many mailboxes and policies of their own.

Warm is each further decision of a mailbox, cold the first in a process, where nothing is known yet. Every tenth mailbox
is held, by a hold of its own; the sources are of pools, of a site, and of none.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from statistics import median

from archiver.decisions import policy
from archiver.decisions.policy import Asked, Configuration, Policy, Pool, Rules, Site
from archiver.directory import Directory, Person
from archiver.events import Kind
from archiver.types import Archiving, Hold, Mailbox
from bench.measure import Bench, Figure, at_most

AIM = 20
"""Microseconds a delivery."""
_NOW = 1_800_000_000_000_000
_VERSIONS = ("14.3.123.4", "15.0.1497.2", "15.1.2507.6", "15.2.2562.17", "15.20.7452.28", "")
_KINDS: tuple[frozenset[Kind], ...] = (frozenset({"im"}), frozenset({"group"}), frozenset({"conference"}))


def run(bench: Bench) -> list[Figure]:
    directory, rules = _directory(bench.sizes.mailboxes), _rules(bench.sizes.policies)
    held = {
        _address(number): (Hold(number + 1, _address(number), "legal", "case", _NOW),)
        for number in range(0, bench.sizes.mailboxes, 10)
    }
    cold: list[float] = []
    warm: list[float] = []
    for number in range(bench.sizes.rounds):
        bench.say(f"policy: round {number + 1} of {bench.sizes.rounds}")
        order = list(range(bench.sizes.mailboxes))
        random.Random(number).shuffle(order)  # noqa: S311
        policy._decide.cache_clear()
        cold.append(_microseconds(order, directory, rules, held))
        warm.append(_microseconds(order, directory, rules, held))
    facts = {"mailboxes": bench.sizes.mailboxes, "policies": bench.sizes.policies, "held": len(held)}
    return [
        _figure("policy.warm", "a decision where each mailbox had one before", warm, facts),
        _figure("policy.cold", "the first decision of each mailbox in a process", cold, facts),
    ]


def _figure(name: str, what: str, samples: Sequence[float], facts: dict[str, int]) -> Figure:
    return at_most(AIM, name, what, median(samples), "µs/delivery", samples=samples, facts=facts)


def _microseconds(order: Sequence[int], directory: Directory, rules: Rules, held: dict[str, tuple[Hold, ...]]) -> float:
    """As a delivery asks: the mailbox is known by then, its holds are."""
    asked = [
        Asked(
            directory.mailbox(_address(number)),
            f"xmpp:chat{number % 7}.example.org",
            _KINDS[number % 3],
            number % 4 > 0,
            held.get(_address(number), ()),
            _NOW + number,
        )
        for number in order
    ]
    archived = 0
    started = time.perf_counter()
    for each in asked:
        archived += policy.decide(each, rules).archiving is not Archiving.NONE
    spent = time.perf_counter() - started
    assert 0 < archived < len(asked)
    return spent / len(asked) * 1_000_000


def _directory(mailboxes: int) -> Directory:
    default = Mailbox("", "15.2.2562.17", "en", "UTC")
    people = [Person("", _address(n), version=_VERSIONS[n // 3 % len(_VERSIONS)]) for n in range(0, mailboxes, 3)]
    return Directory(default, people)


def _rules(policies: int) -> Rules:
    pools = [Pool(f"chat{n}", (f"xmpp:chat{n}.*",), _configuration(f"pool chat{n}") if n else None) for n in range(5)]
    return Rules(
        Configuration(archive="im"),
        Policy(internal=True),
        pools=pools,
        sites=[Site("berlin", ("chat0", "chat1"), _configuration("site berlin"), Policy("site berlin", external=True))],
        users={_address(n * 7): Policy(f"user {_address(n * 7)}", True, n % 2 > 0) for n in range(policies)},
    )


def _configuration(scope: str) -> Configuration:
    return Configuration(scope, archive="im+conference", to_mailbox=True)


def _address(number: int) -> str:
    return f"person{number}@example.org"
