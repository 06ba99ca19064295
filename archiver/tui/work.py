"""Work that panes begin and don't wait for: the last of a group counts, and what is refused is told."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from textual.dom import DOMNode
from textual.worker import Worker

from archiver.exceptions import ArchiverError

Work = Callable[[], Coroutine[Any, Any, None]]


def begin(node: DOMNode, group: str, work: Work, tell: Callable[[str], None]) -> None:
    """Instead of what was begun in this group before. `tell` hears of a fault of folders, files or the asker."""
    _: Worker[None] = node.run_worker(partial(_told, work, tell), group=group, exclusive=True)


async def _told(work: Work, tell: Callable[[str], None]) -> None:
    try:
        await work()
    except (ArchiverError, OSError) as fault:
        tell(str(fault))
