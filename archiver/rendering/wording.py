"""Words, days and clocks of an item: message catalogues by locale, zone rules by name.

Catalogues are the `.po` files beside this module, read at first use; adding a language is adding a file. Zone rules
come from the `tzdata` package alone, so that every machine renders alike. Holds no sentence of its own and never
asks for the present time.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.messages.pofile import read_po

from archiver.events import SECOND
from archiver.exceptions import ItemError

SOURCE_LOCALE = "en"
"""The language that the words in the code are written in."""

DAY = 86_400
_QUARTER = 900 * SECOND
_EPOCH = date(1970, 1, 1)

HOURS_MINUTES = tuple(f"{minute // 60:02}:{minute % 60:02}" for minute in range(DAY // 60))
SECONDS = tuple(f":{second:02}" for second in range(60))


class Words:
    """The words of one locale. Called with a message of the source language, gives it in this one, filled in."""

    def __init__(self, locale: str) -> None:
        self.locale = locale
        self.tag = locale.replace("_", "-")
        with (resources.files("archiver.rendering") / "locales" / f"{locale}.po").open("rb") as stream:
            catalogue = read_po(stream, locale=locale)
        self._strings = {m.id: m.string for m in catalogue if isinstance(m.id, str) and m.id and m.string}
        self._days: dict[int, str] = {}

    def __call__(self, message: str, /, **values: object) -> str:
        text = str(self._strings.get(message, message))
        return text.format(**values) if values else text

    def join(self, names: list[str]) -> str:
        return self(", ").join(names)

    def day(self, number: int) -> str:
        """The full name of a day, counted from 1970-01-01."""
        if number not in self._days:
            if len(self._days) > 4_000:
                self._days.clear()
            self._days[number] = format_date(_EPOCH + timedelta(days=number), "full", locale=self.locale)
        return self._days[number]


@cache
def locales() -> frozenset[str]:
    """The languages there are catalogues for."""
    names = (entry.name for entry in (resources.files("archiver.rendering") / "locales").iterdir())
    return frozenset(name.removesuffix(".po") for name in names if name.endswith(".po"))


@lru_cache(1_000)
def negotiate(tag: str) -> str:
    """The catalogue that serves a BCP 47, POSIX or Babel locale name best; English where none does."""
    plain = tag.partition(".")[0].partition("@")[0].replace("-", "_")
    try:
        locale = Locale.parse(plain)
    except (ValueError, TypeError, UnknownLocaleError):
        return SOURCE_LOCALE
    tries = (
        str(locale),
        f"{locale.language}_{locale.script}",
        f"{locale.language}_{locale.territory}",
        locale.language,
    )
    return next((name for name in tries if name in locales()), SOURCE_LOCALE)


@cache
def _words(locale: str) -> Words:
    return Words(locale)


def words(tag: str) -> Words:
    return _words(negotiate(tag))


def folder_name(locale: str) -> str:
    """What Conversation History is called in a mailbox of this locale."""
    return words(locale)("Conversation History")


@cache
def _zones() -> frozenset[str]:
    return frozenset((resources.files("tzdata") / "zones").read_text("ascii").split())


def known_zone(name: str) -> bool:
    """True for the zones that can be rendered; the configuration is checked with this."""
    return name in _zones()


class Clock:
    """Local time in one zone. Offsets are looked up once a quarter of an hour, not once a message."""

    def __init__(self, zone: str) -> None:
        self.zone = zone
        path = resources.files("tzdata").joinpath("zoneinfo", *zone.split("/"))
        with path.open("rb") as stream:
            self._rules = ZoneInfo.from_file(stream, key=zone)
        self._offsets: dict[int, int | None] = {}

    def offset(self, time: int) -> int:
        """Seconds east of UTC at a moment."""
        bucket = time // _QUARTER
        try:
            known = self._offsets[bucket]
        except KeyError:
            known = self._remember(bucket)
        # Some zones changed at odd minutes (St. John's at 00:01); there each moment is asked for.
        return self._exact(time) if known is None else known

    def stretch(self, time: int) -> tuple[int, int]:
        """The offset at a moment, and until when it surely is the same."""
        offset = self.offset(time)
        bucket = time // _QUARTER
        return offset, time + 1 if self._offsets.get(bucket) is None else (bucket + 1) * _QUARTER

    def local(self, time: int) -> tuple[int, int, int]:
        """Day (from 1970-01-01), second of that day, and offset in seconds."""
        offset = self.offset(time)
        day, second = divmod(time // SECOND + offset, DAY)
        return day, second, offset

    def _remember(self, bucket: int) -> int | None:
        if len(self._offsets) > 100_000:
            self._offsets.clear()
        first, last = self._exact(bucket * _QUARTER), self._exact((bucket + 1) * _QUARTER - 1)
        self._offsets[bucket] = first if first == last else None
        return self._offsets[bucket]

    def _exact(self, time: int) -> int:
        offset = datetime.fromtimestamp(time // SECOND, UTC).astimezone(self._rules).utcoffset()
        return 0 if offset is None else round(offset.total_seconds())


@cache
def _clock(zone: str) -> Clock:
    return Clock(zone)


def clock_of(zone: str) -> Clock:
    if not known_zone(zone):
        raise ItemError(f"unknown time zone {zone!r}", hint="name one of the IANA database, such as Europe/Berlin")
    return _clock(zone)


def clock(second: int) -> str:
    """HH:MM:SS of a second of the day."""
    return HOURS_MINUTES[second // 60] + SECONDS[second % 60]


def iso_day(number: int) -> str:
    return (_EPOCH + timedelta(days=number)).isoformat()


def offset_text(offset: int) -> str:
    """An offset for people: +08:00, with seconds for the few old zones that had them."""
    sign, rest = ("-", -offset) if offset < 0 else ("+", offset)
    text = f"{sign}{rest // 3600:02}:{rest // 60 % 60:02}"
    return f"{text}:{rest % 60:02}" if rest % 60 else text


def duration(seconds: int) -> str:
    """H:MM:SS."""
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


_DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@lru_cache(4_000)
def _header_day(number: int) -> str:
    day = _EPOCH + timedelta(days=number)
    return f"{_DAY_NAMES[day.weekday()]}, {day.day:02} {_MONTH_NAMES[day.month - 1]} {day.year:04}"


def header_date(clock_: Clock, time: int) -> str:
    """RFC 5322 3.3 date-time; an offset that isn't whole minutes can't be said there, so UTC is."""
    day, second, offset = clock_.local(time)
    if offset % 60:
        day, second = divmod(time // SECOND, DAY)
        offset = 0
    sign, rest = ("-", -offset) if offset < 0 else ("+", offset)
    return f"{_header_day(day)} {clock(second)} {sign}{rest // 3600:02}{rest // 60 % 60:02}"
