"""`--since` and `--until` as people write them: whole days in UTC, both included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from archiver.events import microseconds
from archiver.exceptions import UsageError


def span(since: str | None, until: str | None) -> tuple[int | None, int | None]:
    """From which time on, and before which, in microseconds."""
    first, last = _day(since), _day(until)
    if first is not None and last is not None and last < first:
        raise UsageError(f"--until {until} is before --since {since}")
    end = None if last is None else last + timedelta(days=1)
    return None if first is None else microseconds(first), None if end is None else microseconds(end)


def _day(text: str | None) -> datetime | None:
    try:
        day = None if text is None else datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        return None if day is None else day + timedelta(days=1) - timedelta(days=1)  # the last day there is has no end
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text}: is not a day; write it as YYYY-MM-DD") from error
