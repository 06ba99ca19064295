"""How a backfill's progress is shown: a bar while a terminal looks on, elsewhere a line in the log now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from archiver.backfill import Forecast, Show, Stage
from archiver.backfill import Progress as Step
from archiver.cli.output import size
from archiver.logs import plain

EVERY = 60.0
"""Seconds between lines: what is over before leaves a log as it was."""

log = structlog.get_logger("archiver.backfill")


@contextmanager
def shown() -> Iterator[Show]:
    if sys.stderr.isatty():
        with _Bars() as bars:
            yield bars.show
    else:
        yield _Lines(time.monotonic()).show


def remaining(seconds: float) -> str:
    """As one says it: `40 s`, `12 min`, `3 h 05 min`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{round(seconds)} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def amount(step: Step) -> str:
    """`1.2 of 3.0 GiB`, `12,000 of 50,000 events`."""
    if step.stage is Stage.FILING:
        return f"{step.done:,} of {step.total:,} events"
    return f"{size(step.done)} of {size(step.total)}" if step.total else size(step.done)


class _Bars:
    """One for each stage that was reached."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            BarColumn(16),
            TextColumn("{task.fields[amount]}", table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[pace]}", table_column=Column(no_wrap=True, min_width=21)),
        )
        self._bars = Progress(*columns, console=Console(stderr=True), transient=True, expand=True)
        self._tasks: dict[Stage, TaskID] = {}
        self._forecast = Forecast()

    def __enter__(self) -> _Bars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, step: Step) -> None:
        self._forecast.note(time.monotonic(), step)
        name = plain(Path(step.position).name)
        self._bars.update(
            self._task(step.stage),
            description=f"{step.stage} {name}".rstrip().replace("[", "\\["),
            completed=step.done,
            total=step.total or None,
            amount=amount(step),
            pace="" if step.stage is Stage.LOOKING else self._pace(),
        )

    def _task(self, stage: Stage) -> TaskID:
        """What was looked through is no longer of interest once it is read."""
        looking = self._tasks.get(Stage.LOOKING)
        if looking is not None:
            self._bars.update(looking, visible=stage is Stage.LOOKING)
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=None, amount="", pace="")
        return self._tasks[stage]

    def _pace(self) -> str:
        rate, left = self._forecast.rate, self._forecast.left
        told = f"{rate:,.0f}/s" if rate is not None else ""
        return f"{told}  {remaining(left)} left" if left is not None else told


class _Lines:
    """In the log, so that they look as it does."""

    def __init__(self, now: float) -> None:
        self._next = now + EVERY
        self._forecast = Forecast()

    def show(self, step: Step) -> None:
        now = time.monotonic()
        self._forecast.note(now, step)
        if now < self._next:
            return
        self._next = now + EVERY
        told: dict[str, object] = {"done": amount(step), "events": step.events}
        if step.position:
            told["document"] = step.position
        if step.stage is not Stage.LOOKING and (rate := self._forecast.rate) is not None:
            told["events_a_second"] = round(rate)
        if step.stage is not Stage.LOOKING and (left := self._forecast.left) is not None:
            told["left"] = remaining(left)
        log.info(step.stage, **told)
