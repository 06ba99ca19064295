"""How a record is read from a TOML table: what a key is (`Setting`), and the tables that have several.

Pure. How one value is read is the business of values and quantities; which keys there are, of whoever has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple, get_type_hints

from msgspec import Struct

from archiver.config.values import Fault, Reader, Wrong, choice, quoted

Rule = Callable[[Any], Iterable[Fault]]
REQUIRED = object()


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
