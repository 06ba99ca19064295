"""What works beside a homeserver's transactions needs of who takes them: they come in turn, and so does all else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from archiver.events import Outcome
from archiver.sources.http.reception import Pieces
from archiver.sources.matrix.translating import Opened, Translator


class Turns(Protocol):
    """Lives on one loop. Who holds `turn` is the only one to tell anything; `clock` gives microseconds."""

    source: str
    translator: Translator
    turn: asyncio.Lock
    clock: Callable[[], int]

    async def work(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Run it where what is known of rooms lives, in one thread."""
        ...

    async def take_in(self, opened: Opened, context: Sequence[Any] = ()) -> None:
        """Tell it, and keep what it taught of rooms. Raises `Refusal` and `TryLater`."""
        ...

    async def take(self, pieces: Pieces) -> list[Outcome]: ...
