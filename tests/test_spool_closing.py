"""A spool is closed while threads still have connections to it, at rest or in the middle of a statement."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from builders import say

from archiver.spool import Spool

LONG = 30.0


def opened(path: Path) -> int:
    """How often this process has a file open."""
    names = [f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd")]
    return sum(os.path.exists(name) and os.path.samefile(name, path) for name in names)


def test_what_threads_at_rest_had_open_is_closed(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    asked, ended = threading.Event(), threading.Event()

    def rest() -> None:
        spool.open_feed("rests", "import")
        asked.set()
        ended.wait(LONG)

    resting = threading.Thread(target=rest)
    resting.start()
    assert asked.wait(LONG)
    assert opened(tmp_path / "spool.db") == 2
    spool.close()
    assert opened(tmp_path / "spool.db") == 0
    assert not (tmp_path / "spool.db-wal").exists()
    ended.set()
    resting.join(LONG)


def test_a_thread_that_hangs_in_a_statement_is_left_alone(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    feed = spool.open_feed("hangs", "import").number
    hangs, goes_on = threading.Event(), threading.Event()
    accepted = []

    def hang() -> int:
        hangs.set()
        goes_on.wait(LONG)
        return 0

    def capture() -> None:
        spool._connections.db.conn.set_progress_handler(hang, 50)
        accepted.append(spool.append([say("ann@x", "one", 1)], feed).accepted)

    capturing = threading.Thread(target=capture, daemon=True)
    closing = threading.Thread(target=spool.close, daemon=True)
    try:
        capturing.start()
        assert hangs.wait(LONG)
        closing.start()
        closing.join(LONG / 3)
        assert not closing.is_alive(), "closing waits for the thread that hangs"
    finally:
        goes_on.set()
        capturing.join(LONG)
    assert accepted == [1]
    with Spool.open(tmp_path) as again:
        assert again.append([say("ann@x", "one", 1)], feed).duplicates == 1
