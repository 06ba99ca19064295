"""Checks of what the archiver stands on, each with advice. Looks and reports; mends nothing.

configured   people file, owner, gate: what the configuration comes to
machine      directories, file system, room, listeners: what it runs on
capturing    live sources: whether each could be started
archived     migrations and holds: what archiving comes to
spooled      the spool: whether it is sound, and what waits in it for a person
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from archiver.config import Config
from archiver.doctor import archived, capturing, configured, machine, spooled
from archiver.doctor.finding import Check, Finding, Verdict
from archiver.exceptions import ArchiverError

__all__ = ["Finding", "Verdict", "examine"]

CHECKS: tuple[Check, ...] = (*configured.CHECKS, *machine.CHECKS, *capturing.CHECKS, *archived.CHECKS, *spooled.CHECKS)


def examine(config: Config, data: Path, now: int) -> list[Finding]:
    """All checks, in the order in which a person would mend what they find. Raises `ConfigError` with every problem
    of the configuration that only shows on this machine."""
    configured.refuse_problems(config, data)
    return list(chain.from_iterable(_checked(check, config, data, now) for check in CHECKS))


def _checked(check: Check, config: Config, data: Path, now: int) -> Iterator[Finding]:
    try:
        yield from check(config, data, now)
    except ArchiverError as error:
        yield Finding(check.__name__.replace("_", " "), Verdict.BAD, str(error), error.hint)
