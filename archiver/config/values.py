"""How one value of the configuration is read: readers that give the final value, or say why they can't.

Holds plain words, names of zones and locales, addresses, folders and places to listen at. Pure. What counts and
measures is read by quantities.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import lru_cache
from importlib import resources
from ipaddress import ip_network

from babel import Locale, UnknownLocaleError
from msgspec import Struct

from archiver.addresses import domain_part, normal

Fault = tuple[str, object, str]
"""What is wrong: the key, the value, and why."""
Reader = Callable[[object], object]


class Wrong(ValueError):
    """What is wrong with a value: (key below it, value, why) each."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(why for _, _, why in faults))
        self.faults = faults


def quoted(key: str) -> str:
    """A key as TOML writes it; anything odd is quoted and escaped, since it may go to a terminal."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", key) else f'"{ascii(key)[1:-1][:60]}"'


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
