"""What every command that decides something for others asks for: who, and why. Both go into the audit log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from archiver.decisions.holding import date_of
from archiver.events import moment


class Text(click.ParamType[str]):
    """A few words that a person wrote: text in any script, and not empty, unless that says something too."""

    name = "text"

    def __init__(self, *, may_be_empty: bool = False) -> None:
        self._may_be_empty = may_be_empty

    def convert(self, value: str, parameter: click.Parameter | None, context: click.Context | None) -> str:
        try:
            value.encode()
        except UnicodeEncodeError:
            self.fail("is not text in this terminal's charset", parameter, context)
        if not value.strip() and not self._may_be_empty:
            self.fail("is empty", parameter, context)
        return value.strip()


class Moment(click.ParamType[int]):
    """A date, or a date and a time; microseconds."""

    name = "date"

    def convert(self, value: str | int, parameter: click.Parameter | None, context: click.Context | None) -> int:
        found = value if isinstance(value, int) else date_of(value)
        if found is None:
            self.fail(f"{value!r} is not a date; write 2024-01-31 or 2024-01-31T09:30+01:00", parameter, context)
        return found


def in_order(since: int | None, until: int | None) -> None:
    """Raises `click.UsageError` for a time that would end before it begins."""
    if since is not None and until is not None and until <= since:
        raise click.UsageError("--until must be after --from")


def decides(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--by` and `--reason`."""
    command = click.option("--reason", type=Text(), required=True, help="Why: a case, a request, an agreement.")(
        command
    )
    return click.option("--by", type=Text(), required=True, metavar="NAME", help="Who decides this.")(command)


def exactly(time: int | None) -> str:
    """A moment to the second, in UTC."""
    return "" if time is None else f"{moment(time):%Y-%m-%d %H:%M:%S}"
