"""How numbers of the configuration are read, with their units: times, sizes, days, file modes. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta

from archiver.config.values import Wrong, text

Quantity = Callable[[object], int]


def whole(least: int, most: int) -> Quantity:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Wrong(("", value, "must be a whole number"))
        if not least <= value <= most:
            raise Wrong(("", value, f"must be from {least} to {most}"))
        return value

    return read


_SECOND = 1_000_000
_TIMES = {"ms": 1000, "s": _SECOND, "m": 60 * _SECOND, "h": 3600 * _SECOND, "d": 86400 * _SECOND, "w": 604800 * _SECOND}
_SIZES = {"B": 1, "kB": 1000, "KiB": 1 << 10, "MB": 10**6, "MiB": 1 << 20, "GB": 10**9, "GiB": 1 << 30, "TiB": 1 << 40}
_QUANTITY = re.compile(r"([0-9]{1,9}) ?([A-Za-z]{1,3})")


def _quantity(units: dict[str, int], example: str, least: str, most: str) -> Quantity:
    def amount(value: object) -> int:
        parts = _QUANTITY.findall(value) if isinstance(value, str) else []
        plain = "".join(number + unit for number, unit in parts)
        if not parts or plain != str(value).replace(" ", "") or any(unit not in units for _, unit in parts):
            raise Wrong(("", value, f'must be a string like "{example}"; units are {", ".join(units)}'))
        return sum(int(number) * units[unit] for number, unit in parts)

    def read(value: object) -> int:
        found = amount(value)
        if not amount(least) <= found <= amount(most):
            raise Wrong(("", value, f"must be from {least} to {most}"))
        return found

    return read


def duration(least: str, most: str) -> Quantity:
    """Microseconds of "10m" or "1h 30m"."""
    return _quantity(_TIMES, "10m", least, most)


def size(least: str, most: str) -> Quantity:
    """Bytes of "5MiB"."""
    return _quantity(_SIZES, "5MiB", least, most)


_DAY = 86_400 * _SECOND
_FIRST_DAY = date(1970, 1, 1)


def last_day(value: object) -> int:
    """A date as TOML has it, or in quotes: the microsecond after that day, in UTC."""
    try:
        found = value if type(value) is date else date.fromisoformat(text(value))
    except ValueError:
        raise Wrong(("", value, "must be a day like 2027-03-31")) from None
    return ((found - _FIRST_DAY).days + 1) * _DAY


def day(ends: int) -> str:
    """The date that `last_day` came from."""
    return (_FIRST_DAY + timedelta(microseconds=ends - _DAY)).isoformat()


def mode(value: object) -> int:
    """A file mode in octal: its owner must read and write, and the world must not, mail being private."""
    if not re.fullmatch(r"0?[0-7]{3}", text(value)):
        raise Wrong(("", value, 'must be octal, in quotes, like "0600"'))
    bits = int(text(value), 8)
    if bits & 0o600 != 0o600:
        raise Wrong(("", value, "must let the owner read and write"))
    if bits & 0o117:
        raise Wrong(("", value, "must let nobody execute, and others neither read nor write"))
    return bits
