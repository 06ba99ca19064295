"""Files as importers meet them after a bad disk or a bad person: real ones, changed here and there."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType

_TOKENS = (
    *(
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
        b"\r",
        b"\n\n",
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[" * 300,
        b"<a>" * 300,
        b"</",
        b"&#0;",
    ),
    *(b"-1", b"1e999", b"9" * 30, b"null", b"[]", b"{}", b"true", b"\xe2\x80\xae", b"../../x", b"%s%n", b"\x1b[2J"),
)


def spoilt(raw: bytes, random: Random) -> bytes:
    """One to five changes: bytes turned, taken out, doubled, or put in that mean something to a parser."""
    found = bytearray(raw)
    for _ in range(random.randint(1, 5)):
        at, length = random.randint(0, len(found)), int(random.paretovariate(0.6))
        match random.randrange(5):
            case 0 if found:
                found[at - 1] = random.randrange(256)
            case 1:
                del found[at : at + length]
            case 2:
                found[at:at] = found[at : at + min(length, 100_000)]
            case 3:
                other = random.randint(0, len(found))
                found[at:at] = found[other : other + min(length, 1_000)]
            case _:
                found[at : at + random.randrange(3)] = random.choice(_TOKENS)
    return bytes(found)


def spoilt_copy(path: Path, folder: Path, random: Random) -> Path:
    """A copy of a file, or of an export's folder in which one file is spoilt; what stood there before is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    copy = folder / path.parent.name / path.name
    copy.parent.mkdir(parents=True)
    if path.is_dir():
        shutil.copytree(path, copy)
        victim = random.choice(sorted(each for each in copy.rglob("*") if each.is_file()))
    else:
        victim = Path(shutil.copy(path, copy))
    victim.write_bytes(spoilt(victim.read_bytes(), random))
    return copy


@contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Breaks off what hangs, with its traceback."""
    with _broken_off(signal.ITIMER_REAL, signal.SIGALRM, seconds):
        yield


@contextmanager
def no_more_work_than(seconds: float) -> Iterator[None]:
    """Breaks off what takes more of the processor's time, with its traceback: however busy the machine is."""
    with _broken_off(signal.ITIMER_PROF, signal.SIGPROF, seconds):
        yield


@contextmanager
def _broken_off(timer: int, told_by: int, seconds: float) -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"still at work after {seconds} seconds")

    before = signal.signal(told_by, late)
    signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        signal.setitimer(timer, 0)
        signal.signal(told_by, before)
