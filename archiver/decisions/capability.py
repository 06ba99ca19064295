"""Which Exchange a version means, and what that Exchange can do.

Holds the reading of versions in every form servers give them, and the capability matrix, whose data stand in
capability.toml. Pure but for reading that file once. It doesn't decide what is filed: the gate asks it. Whatever
it doesn't know for certain is no.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import ElementTree
from msgspec import Struct, convert

_LONGEST = 1_000_000
_FLAGGED = 30_000
"""Active Directory's serialNumber adds this to the build: `Version 15.1 (Build 32507.6)` is 15.1.2507.6."""


class Version(Struct, frozen=True):
    """A version as far as it is known: None parts were not said.

    `name` is what was said where it wasn't (only) numbers: an EWS schema, which names the product but never the
    patch level, or a product.
    """

    major: int
    minor: int | None = None
    build: int | None = None
    revision: int | None = None
    name: str = ""

    @property
    def known(self) -> int:
        """How many parts of the number are known, 1 to 4."""
        return len(self.numbers)

    @property
    def numbers(self) -> tuple[int, ...]:
        parts = (self.major, self.minor, self.build, self.revision)
        return tuple(part for part in parts if part is not None)

    def __str__(self) -> str:
        return self.name or ".".join(map(str, self.numbers))


class Release(Struct, frozen=True):
    name: str
    build: str
    pack: int = 0

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.build.split("."))


class Line(Struct, frozen=True):
    """One product as the data file has it: the numbers it goes by and its releases, oldest first."""

    column: str
    title: str
    numbers: tuple[str, ...]
    first: int = 0
    last: int | None = None
    releases: tuple[Release, ...] = ()


class Product(Struct, frozen=True):
    """A product that a version may be. `pack` is its service pack, None where that isn't known."""

    column: str
    title: str
    release: str = ""
    pack: int | None = None

    def __str__(self) -> str:
        return f"{self.title} {self.release}".rstrip()


class Row(Struct, frozen=True):
    """One line of the matrix: `cells` by product column, in the words of the table; `keys` name the documents."""

    number: int
    name: str
    cells: dict[str, str]
    keys: tuple[str, ...]
    note: str = ""


class Answer(Struct, frozen=True):
    """What one row says of one version. `products` are all it may be; allowed only if each of them can."""

    allowed: bool
    row: Row
    version: Version | None
    products: tuple[Product, ...]
    cells: tuple[str, ...]


def _load() -> dict[str, Any]:
    return tomllib.loads(resources.files("archiver.decisions").joinpath("capability.toml").read_text("utf-8"))


_DATA = _load()
LINES: tuple[Line, ...] = convert(_DATA["product"], tuple[Line, ...])
COLUMNS = tuple(line.column for line in LINES)
ROWS: dict[int, Row] = {
    raw["number"]: convert({**raw, "cells": {column: raw[column] for column in COLUMNS}}, Row) for raw in _DATA["row"]
}
OPENS: dict[str, int] = _DATA["opens"]
"""Which row opens `im`, `group` and `conference` history and the `archive`."""
_SCHEMAS: dict[str, dict[str, Any]] = _DATA["schemas"]
_EXCEPTIONS: dict[str, dict[str, Any]] = _DATA["exceptions"]


# --- what a version is -------------------------------------------------------------------------------------------


def products(version: Version | None) -> tuple[Product, ...]:
    """Every product that a version may be: none if it is unknown, several if too little of it is known."""
    if version is None:
        return ()
    if version.name in _SCHEMAS:
        schema = _SCHEMAS[version.name]
        return tuple(_by_schema(line, schema.get("pack", 0)) for line in LINES if line.column in schema["columns"])
    if version.name:
        return tuple(Product(line.column, line.title) for line in LINES if line.title == version.name)
    return tuple(_by_release(line, version) for line in LINES if _belongs(line, version))


def _by_schema(line: Line, pack: int) -> Product:
    return Product(line.column, line.title, f"SP{pack} or later" if pack else "", pack or None)


def _belongs(line: Line, version: Version) -> bool:
    if f"{version.major}.{version.minor}" not in line.numbers:
        return False
    return version.build is None or line.first <= version.build <= (line.last or version.build)


def _by_release(line: Line, version: Version) -> Product:
    exception = _EXCEPTIONS.get(str(version))
    if exception is not None:
        return Product(line.column, line.title, exception["name"], exception["pack"])
    if version.build is None:
        return Product(line.column, line.title)
    found = None
    for release in line.releases:
        # What is not known of the revision is taken as enough: OWA's path and the POX form leave it out.
        if version.numbers >= release.numbers[: version.known]:
            found = release
    return Product(line.column, line.title, found.name if found else "", found.pack if found else None)


# --- what it can do ----------------------------------------------------------------------------------------------


def supports(number: int, version: Version | None, *, pairing: str = "") -> Answer:
    """Ask one row of the matrix. `pairing` names the pairing that the configuration vouches for, if any."""
    row = ROWS[number]
    found = products(version)
    cells = tuple(row.cells[product.column] for product in found)
    able = bool(found) and all(_says_yes(cell, product, pairing) for cell, product in zip(cells, found, strict=True))
    return Answer(able, row, version, found, cells)


def _says_yes(cell: str, product: Product, pairing: str) -> bool:
    if cell in ("y", "y g"):
        return True
    if cell == "p (pairing)":
        return bool(pairing)
    needed = re.fullmatch(r"y \(SP([0-9])\+\)", cell)
    return needed is not None and product.pack is not None and product.pack >= int(needed[1])


# --- reading it --------------------------------------------------------------------------------------------------

_DOTTED = re.compile(r"[vV]?([0-9]{1,2})\.([0-9]{1,2})(?:\.([0-9]{1,5})(?:\.([0-9]{1,5}))?)?")
_DISPLAY = re.compile(r"Version ([0-9]{1,2})\.([0-9]{1,2}) \(Build ([0-9]{1,5})(?:\.([0-9]{1,5}))?\)", re.I)
_HEX = re.compile(r"(?:0x)?([0-9a-f]{1,8})", re.I)
_OWA = re.compile(r"/owa/(?:[a-z]{1,10}/)?([0-9]{1,2}\.[0-9]{1,2}\.[0-9]{1,5}(?:\.[0-9]{1,5})?)(?![0-9.])", re.I)
_LABEL = re.compile(r"(?:X-OWA-Version|CasVersion|ServerVersion|(?:Admin)?DisplayVersion|serialNumber)\s*[:=]\s*", re.I)
_PRODUCT = re.compile(
    r"(?:(?:Microsoft )?Exchange )?(?:Server )?"
    r"(2003|2007|2010|2013|2016|2019|SE|Subscription Edition|Online)(?: (RTM|SP[1-3]|CU[0-9]{1,2}))?",
    re.I,
)
_PARTS = ("majorversion", "minorversion", "majorbuildnumber", "minorbuildnumber")
_FIELDS = ("x-owa-version", "casversion", "serverversion", "ewssupportedschemas", "version")


def parse(given: object) -> Version | None:
    """Read a version in any form a server reveals it; None for everything else, never an exception.

    Text: dotted short or long, `Version 15.0 (Build 1497.2)`, a product's name, an EWS schema or a list of them,
    POX hex, an OWA path, XML of Autodiscover or EWS. Mapping: ServerVersionInfo's attributes, or HTTP headers.
    Where one answer names several servers, the oldest counts: a mailbox may live behind a newer front.
    """
    if isinstance(given, Mapping):
        return _from_mapping(given)
    if isinstance(given, bytes):
        given = given[:_LONGEST].decode("utf-8", "replace")
    return _from_text(given) if isinstance(given, str) else None


def _from_text(text: str) -> Version | None:
    if len(text) > _LONGEST:
        return None
    text = _LABEL.sub("", text.strip(), count=1) if _LABEL.match(text.strip()) else text.strip()
    if text.startswith("<"):
        return _oldest(_from_xml(text)) or _oldest(_from_pages(text))
    for read in (_from_dotted, _from_display, _from_product, _from_schemas, _from_hex):
        version = read(text)
        if version is not None:
            return version
    return _oldest(_from_pages(text))


def _from_dotted(text: str) -> Version | None:
    match = _DOTTED.fullmatch(text)
    return _make(match.groups()) if match else None


def _from_display(text: str) -> Version | None:
    match = _DISPLAY.fullmatch(text)
    if not match:
        return None
    version = _make(match.groups())
    if version.build is None or version.build < _FLAGGED:
        return version
    return Version(version.major, version.minor, version.build - _FLAGGED, version.revision)


def _make(parts: Iterable[str | None]) -> Version:
    return Version(*(None if part is None else int(part) for part in parts))  # type: ignore[arg-type]


def _from_product(text: str) -> Version | None:
    match = _PRODUCT.fullmatch(text)
    if not match:
        return None
    named = "SE" if match[1].lower() == "subscription edition" else match[1].upper()
    line = next(line for line in LINES if line.column.upper() == named)
    if match[2] is None:
        return _named(line)
    release = next((each for each in line.releases if match[2].upper() in re.split(r"[ ()]+", each.name)), None)
    return _from_dotted(release.build) if release else None


def _named(line: Line) -> Version:
    major, minor = map(int, line.numbers[0].split("."))
    return Version(major, minor if len(line.numbers) == 1 else None, name=line.title)


def _from_schemas(text: str) -> Version | None:
    """The newest of a comma list; a name we don't know means a newer server than we know: None."""
    names = [name.strip() for name in text[:2000].split(",")]
    if not all(name in _SCHEMAS for name in names):
        return None
    newest = max(names, key=list(_SCHEMAS).index)
    line = next(line for line in LINES if line.column == _SCHEMAS[newest]["columns"][0])
    return Version(int(line.numbers[0].split(".")[0]), name=newest)


def _from_hex(text: str) -> Version | None:
    """ServerVersion of POX Autodiscover: 4 bits to ignore, 6 major, 6 minor, 1 flag, 15 build; left-padded."""
    match = _HEX.fullmatch(text)
    if not match:
        return None
    bits = int(match[1], 16)
    version = Version(bits >> 22 & 0x3F, bits >> 16 & 0x3F, bits & 0x7FFF)
    # Any short word of hex digits would be a number: only one that is a product's counts.
    return version if products(version) else None


def _from_pages(text: str) -> Iterator[Version]:
    for match in _OWA.finditer(text):
        version = _from_dotted(match[1])
        if version is not None:
            yield version


def _from_mapping(given: Mapping[Any, Any]) -> Version | None:
    fields = {key.lower(): value for key, value in given.items() if isinstance(key, str)}
    texts = [_number(fields.get(part)) for part in _PARTS]
    if texts[0] and texts[1]:
        known = texts[: texts.index("")] if "" in texts else texts
        return _from_dotted(".".join(known))
    for field in _FIELDS:
        if isinstance(value := fields.get(field), str):
            return _from_text(value)
    return None


def _number(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if 0 <= value < 100_000 else ""
    return value.strip() if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,5}\s*", value) else ""


def _from_xml(text: str) -> Iterator[Version]:
    try:
        root = ElementTree.fromstring(text, forbid_dtd=True)
    except (ParseError, ValueError, LookupError):  # DefusedXmlException is a ValueError
        return
    if _local(root) == "ServerVersion":
        yield from _known(_from_hex((root.text or "").strip()))
    for element in root.iter():
        fields = {_local(child): (child.text or "").strip() for child in element}
        match _local(element):
            case "ServerVersionInfo":
                yield from _known(_from_mapping({**fields, **element.attrib}))
            case "Protocol" if fields.get("Type") in ("EXCH", "EXPR"):
                yield from _known(_from_hex(fields.get("ServerVersion", "")))
            case "UserSetting" if fields.get("Name") in ("CasVersion", "EwsSupportedSchemas"):
                yield from _known(_from_text(fields.get("Value", "")))


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _known(version: Version | None) -> Iterator[Version]:
    if version is not None:
        yield version


def _oldest(versions: Iterable[Version]) -> Version | None:
    """Numbers say more than names; of equals the lowest."""
    return min(versions, key=lambda version: (bool(version.name), version.numbers), default=None)
