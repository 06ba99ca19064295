"""What a check gives. Holds no check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from archiver.config import Config


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    BAD = "bad"


class Finding(Struct, frozen=True):
    """One check: what was looked at, what was found, and what to do about it."""

    check: str
    verdict: Verdict
    found: str
    advice: str = ""


Check = Callable[[Config, Path, int], Iterator[Finding]]
"""Gets the configuration, the data directory and the time."""


def judged(check: str, good: bool, found: str, advice: str, *, otherwise: Verdict = Verdict.BAD) -> Finding:
    """OK where it is good; else the other verdict, and the advice."""
    return Finding(check, Verdict.OK if good else otherwise, found, "" if good else advice)
