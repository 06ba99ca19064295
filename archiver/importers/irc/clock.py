"""Times of day, in the order a log has them -> microseconds. Never goes back.

A log states the day once, or not at all, and its clock may jump. Back by six hours or more is a new day (or, in a log
that never wrote an hour past twelve, the other half of the day: the logs of 2004 to 2006 used a twelve-hour clock
without saying which half). Back by less is a clock set right, or the end of summer time: the time stays at its
predecessor's until the clock has caught up; so it does for a time that is still to come. Where the zone says that an
hour came twice, and its first is minutes over, it is the second.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, tzinfo

from archiver.events import guess_mark, microseconds
from archiver.importers.protocol import fold_guess, in_turn

NEW_DAY = timedelta(hours=6)
HALF = timedelta(hours=12)


class Clock:
    """`now` is the time of the last line, `local` the same as the log's own clock shows it; `raised` is what the log
    said of the line where that couldn't be used, else None. `day_guess` is the mark of the day it starts on."""

    def __init__(self, start: datetime, zone: tzinfo, latest: int, day_guess: str | None = None) -> None:
        self._zone = zone
        self._latest = latest
        self._past_noon = False
        self._halves = False
        self._year_guess = day_guess if day_guess == "year-of-name" else None
        self._assumed = {day_guess} if day_guess else set[str]()
        self.local = start
        self.now = self._utc(start)
        self.raised: datetime | None = None

    def set(self, at: time, day: date | None = None) -> None:
        """The next line's time of day; `day` where the line states one."""
        if day is not None:
            self._assumed.clear()
            self._move(datetime.combine(day, at))
            return
        if at.hour > 12:
            self._past_noon, self._halves = True, False
        stated = datetime.combine(self.local.date(), at)
        if not self._halves and self.local - stated >= NEW_DAY:
            self._halves = not self._past_noon
            if self._past_noon:
                self._assumed.add("next-day")
                stated += timedelta(days=1)
        self._move(self._half_day(stated) if self._halves else stated)

    def open_day(self, start: datetime) -> None:
        """The log says that a day (or the log itself) begins."""
        self._assumed.clear()
        self._move(start)
        self.raised = None

    @property
    def guessed(self) -> str | None:
        """The mark of what had to be guessed of this time, or of one before that it hangs on."""
        fold = fold_guess(self.raised or self.local, self._zone)
        return guess_mark(*sorted({*self._assumed, *filter(None, (self._year_guess, fold))}))

    def _half_day(self, stated: datetime) -> datetime:
        """The first moment this clock face can mean that isn't hours before the last line."""
        self._assumed.add("half-day")
        shown = stated - HALF if stated.hour >= 12 else stated
        while self.local - shown >= NEW_DAY:
            shown += HALF
        return shown

    def _move(self, shown: datetime) -> None:
        shown = in_turn(shown, self._zone, self.now)
        now = self._utc(shown)
        if self.now <= now <= self._latest:
            self.now, self.local, self.raised = now, shown, None
        else:
            self.raised = shown

    def _utc(self, local: datetime) -> int:
        return microseconds(local.replace(tzinfo=self._zone))
