"""How one value of the configuration is read: readers that give the final value, or say why they can't.

Holds the tables a record is read from (`Table`, `Tables`), units, names of zones and locales, and the rules for
folders and path templates. Pure. Which keys there are, and their defaults, is config's business.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from difflib import get_close_matches
from functools import cache, lru_cache
from importlib import resources
from ipaddress import ip_network
from typing import Any, NamedTuple, get_type_hints

from babel import Locale, UnknownLocaleError
from msgspec import Struct

from archiver.addresses import domain_part, normal

Fault = tuple[str, object, str]
Reader = Callable[[object], object]
Rule = Callable[[Any], Iterable[Fault]]
REQUIRED = object()


class Wrong(ValueError):
    """What is wrong with a value: (key below it, value, why) each."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(why for _, _, why in faults))
        self.faults = faults


class Setting(NamedTuple):
    """One key: its default as it would be written, how it is read, and the sentence that explains it."""

    default: object
    read: Reader
    sentence: str
    key: str = ""


@cache  # every annotation is evaluated: half of what it takes to read a configuration
def settings_of(record: type) -> tuple[tuple[str, str, Setting], ...]:
    """(key, field, setting) of every field of a record, in order, those that must be written first."""
    found = [
        (setting.key or field, field, setting)
        for field, hint in get_type_hints(record, include_extras=True).items()
        for setting in getattr(hint, "__metadata__", ())
    ]
    return tuple(sorted(found, key=lambda each: each[2].default is not REQUIRED))


class Table:
    """Reads a TOML table into a record; `rules` look at the finished record.

    A record with a field `written` is told which keys stand in the table.
    """

    def __init__(self, record: type, *rules: Rule) -> None:
        self.record = record
        self.rules = rules

    def __call__(self, value: object) -> Any:
        if not isinstance(value, dict):
            raise Wrong(("", value, "must be a table"))
        known = {key: (field, setting) for key, field, setting in settings_of(self.record)}
        faults: list[Fault] = [(quoted(key), value[key], UNKNOWN) for key in value if key not in known]
        fields: dict[str, object] = {}
        for key, (field, setting) in known.items():
            try:
                fields[field] = _read(setting, value.get(key, setting.default))
            except Wrong as wrong:
                faults += [(joined(key, below), found, why) for below, found, why in wrong.faults]
        if faults:
            raise Wrong(*faults)
        if "written" in self.record.__struct_fields__:  # type: ignore[attr-defined]
            fields["written"] = frozenset(value)
        record = self.record(**fields)
        faults = [fault for rule in self.rules for fault in rule(record)]
        if faults:
            raise Wrong(*faults)
        return record


UNKNOWN = "is no key here"


def _read(setting: Setting, value: object) -> object:
    if value is REQUIRED:
        raise Wrong(("", "", "is missing"))
    return setting.read(value)


class Tables:
    """Reads an array of TOML tables into a tuple of records; `one` reads each."""

    def __init__(self, record: type, *rules: Rule, one: Callable[[object], Any] | None = None) -> None:
        self.record = record
        self.rules = rules
        self.one = one or Table(record)

    def __call__(self, value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise Wrong(("", value, "must be an array of tables, in double brackets"))
        faults: list[Fault] = []
        records = []
        for number, each in enumerate(value, 1):
            try:
                records.append(self.one(each))
            except Wrong as wrong:
                faults += [(joined(f"[{number}]", below), found, why) for below, found, why in wrong.faults]
        faults += [fault for rule in self.rules for fault in rule(records)]
        if faults:
            raise Wrong(*faults)
        return tuple(records)


class Variants:
    """Reads an array of TOML tables whose key `type` says which record each is read into."""

    def __init__(self, records: Mapping[str, type], *rules: Rule) -> None:
        self.records = records
        self._read_all = Tables(Struct, *rules, one=self._one)

    def __call__(self, value: object) -> tuple[Any, ...]:
        return self._read_all(value)

    def _one(self, value: object) -> Any:
        if not isinstance(value, dict):
            raise Wrong(("", value, "must be a table"))
        if "type" not in value:
            raise Wrong(("type", "", "is missing"))
        try:
            kind = choice(*self.records)(value["type"])
        except Wrong as wrong:
            raise Wrong(*(("type", found, why) for _, found, why in wrong.faults)) from wrong
        return Table(self.records[str(kind)])(value)


def joined(key: str, below: str) -> str:
    return key + below if not below or below.startswith("[") else f"{key}.{below}"


def quoted(key: str) -> str:
    """A key as TOML writes it; anything odd is quoted and escaped, since it may go to a terminal."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", key) else f'"{ascii(key)[1:-1][:60]}"'


# --- plain values ------------------------------------------------------------------------------------------------


def boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise Wrong(("", value, "must be true or false"))
    return value


def text(value: object) -> str:
    if not isinstance(value, str):
        raise Wrong(("", value, "must be a string, in quotes"))
    if len(value) > 4096 or any(unicodedata.category(char) in ("Cc", "Cs") for char in value):
        raise Wrong(("", value, "must be one line of plain text"))
    return value


def path(value: object) -> str:
    """Of a file, from the root: a daemon's own directory is nobody's to rely on."""
    if not text(value).startswith("/"):
        raise Wrong(("", value, "must be a path from the root, like /etc/archiver/key.pem"))
    return text(value)


def prose(value: object) -> str:
    """Text of several lines."""
    if not isinstance(value, str):
        raise Wrong(("", value, "must be a string, in quotes"))
    plain = value.replace("\n", "").replace("\t", "")
    if len(value) > 16_384 or any(unicodedata.category(char) in ("Cc", "Cs") for char in plain):
        raise Wrong(("", value, "must be plain text of at most 16,384 characters"))
    return value.strip()


def matching(pattern: str, why: str) -> Reader:
    def read(value: object) -> str:
        if not re.fullmatch(pattern, text(value)):
            raise Wrong(("", value, why))
        return text(value)

    return read


def choice(*allowed: str, because: dict[str, str] | None = None) -> Reader:
    """One of the allowed words; `because` says for some others why not."""

    def read(value: object) -> str:
        word = text(value)
        if word not in allowed:
            names = ", ".join(f'"{name}"' for name in allowed)
            raise Wrong(("", value, (because or {}).get(word.lower(), f"must be one of {names}")))
        return word

    return read


password = matching(
    r"(scrypt\$[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=)?",
    "must be a line that `archiver inspect --web --make-password` printed, never the password itself",
)
"""A hash, as `archiver.web.password` makes it, or nothing."""

_ORIGINAL = {
    "uselyncarchivingpolicy": 'is written "local" here',
    "archivingtoexchange": 'is written "mailbox" here',
    "noarchiving": 'is written "none" here',
}
exchange_archiving = choice("uninitialized", "local", "mailbox", "none", because=_ORIGINAL)


def whole(least: int, most: int) -> Reader:
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


def _quantity(units: dict[str, int], example: str, least: str, most: str) -> Reader:
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


def duration(least: str, most: str) -> Reader:
    """Microseconds of "10m" or "1h 30m"."""
    return _quantity(_TIMES, "10m", least, most)


def size(least: str, most: str) -> Reader:
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


# --- names -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("ascii").split())


def zone(value: object) -> str:
    """A zone of the tzdata package, which is the one the renderer uses; never the machine's."""
    if text(value) not in _zones():
        near = get_close_matches(text(value), _zones(), 1)
        raise Wrong(("", value, 'is no time zone; write one like "Europe/Berlin"' + did_you_mean(near)))
    return text(value)


def locale(value: object) -> str:
    """Babel's name of a locale: `zh-TW` comes out as zh_Hant_TW."""
    try:
        if not re.fullmatch(r"[A-Za-z0-9_-]{2,40}", text(value)):
            raise ValueError
        return str(Locale.parse(text(value).replace("-", "_")))
    except (UnknownLocaleError, ValueError):
        raise Wrong(("", value, 'is no locale; write one like "en" or "zh_Hant"')) from None


def did_you_mean(near: Iterable[str]) -> str:
    return "".join(f"; did you mean {name}?" for name in near)


def address(value: object) -> str:
    plain = normal("", text(value))
    if plain is None:
        raise Wrong(("", value, "is not an address like alice@example.org"))
    return plain


def domain(value: object) -> str:
    plain = domain_part(text(value))
    if plain is None:
        raise Wrong(("", value, "is not a domain like example.org"))
    return plain


def several(read: Callable[[object], str], what: str, *, least: int = 0) -> Callable[[object], tuple[str, ...]]:
    """A list, each of its values once."""

    def read_all(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) < least:
            raise Wrong(("", value, f"must be a list of {what}" + (" with something in it" if least else "")))
        return tuple(dict.fromkeys(_each(read, value)))

    return read_all


def _each(read: Callable[[object], str], values: list[object]) -> list[str]:
    faults: list[Fault] = []
    found: list[str] = []
    for number, value in enumerate(values, 1):
        try:
            found.append(read(value))
        except Wrong as wrong:
            faults += [(f"[{number}]", shown, why) for _, shown, why in wrong.faults]
    if faults:
        raise Wrong(*faults)
    return found


def network(value: object) -> str:
    try:
        return str(ip_network(text(value)))
    except ValueError:
        raise Wrong(("", value, "is no network like 10.0.0.0/8 or fe80::/64")) from None


domains = several(domain, "domains")
networks = several(network, "networks")
names = several(text, "names", least=1)


def pattern(value: object) -> str:
    """A source, in which * stands for anything and ? for one character."""
    if not 0 < len(text(value)) <= 200:
        raise Wrong(("", value, "must be a source, or a pattern for some, of at most 200 characters"))
    return text(value)


patterns = several(pattern, "sources", least=1)


def folder(value: object) -> str:
    """A folder's name, not a path: `.` is Maildir++'s own separator (LAYOUT=fs isn't offered)."""
    name = text(value)
    if not name.strip():
        raise Wrong(("", value, "must not be empty"))
    for sign, why in ((".", "separates folders in Maildir++"), ("/", "separates folders")):
        if sign in name:
            raise Wrong(("", value, f"a folder's name can't contain {sign!r}, which {why}"))
    if len(name.encode()) > 240:
        raise Wrong(("", value, "is too long: at most 240 bytes"))
    return name


def optional(read: Reader) -> Reader:
    """An empty string means not set."""
    return lambda value: None if value == "" else read(value)


class Endpoint(Struct, frozen=True):
    """Where to listen: a host and port, or the path of a socket; all empty: nowhere."""

    host: str = ""
    port: int = 0
    path: str = ""


def endpoint(value: object) -> Endpoint:
    given = text(value)
    if given.startswith("/"):
        return Endpoint(path=given)
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/\s]*)):([0-9]{1,5})", given)
    if not match or int(match[3]) > 65535:
        raise Wrong(("", value, 'must be "host:port", "[::1]:port" or the path of a socket'))
    return Endpoint(match[1] or match[2], int(match[3]))


def people(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise Wrong(("", value, 'must be a table of "address" = "mailbox"'))
    faults: list[Fault] = []
    seen: dict[str, str] = {}
    for key, mailbox in value.items():
        try:
            plain = address(mailbox)
        except Wrong as wrong:
            faults += [(quoted(key), mailbox, why) for _, _, why in wrong.faults]
            continue
        if seen.setdefault(normal("", key) or key.casefold(), plain) != plain:
            faults.append((quoted(key), mailbox, "is the same address as one above, in another mailbox"))
    if faults:
        raise Wrong(*faults)
    return tuple((key, address(mailbox)) for key, mailbox in value.items())
