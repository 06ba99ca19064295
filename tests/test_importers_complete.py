"""No format of `archiver backfill --list` lacks its proof: the contract, a golden run, a count made without it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from inspect import isclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from contracts.importer import EXPECTED, ImporterContract

from archiver.importers import IMPORTERS

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("test_importers*.py"))


@pytest.fixture(scope="module")
def modules() -> list[ModuleType]:
    return [import_module(name) for name in MODULES]


def all_tests(holder: Any) -> Iterator[Any]:
    for name, each in vars(holder).items():
        if name.startswith("test_"):
            yield each
        elif isclass(each) and name.startswith("Test"):
            yield from all_tests(each)


def test_every_format_joins_the_contract_once(modules: list[ModuleType]) -> None:
    joined = [each.importer.name for each in ImporterContract.__subclasses__() if each.__module__ in MODULES]
    assert sorted(joined) == sorted(IMPORTERS)


def test_every_format_has_a_golden_run_and_no_other_is_there(modules: list[ModuleType]) -> None:
    assert sorted(path.name for path in EXPECTED.iterdir()) == sorted(f"{name}.ndjson" for name in IMPORTERS)
    assert all(path.stat().st_size for path in EXPECTED.iterdir())


def test_every_format_is_counted_without_its_importer(modules: list[ModuleType]) -> None:
    marks = [
        mark
        for module in modules
        for each in all_tests(module)
        for mark in getattr(each, "pytestmark", ())
        if mark.name == "counted"
    ]
    assert sorted({name for mark in marks for name in mark.args}) == sorted(IMPORTERS)
