"""Words, dates and zones: every catalogue complete, the machine's own settings without influence."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

import archiver
from archiver.events import EPOCH, GUESSES, OTHER_GUESS, SECOND, microseconds, moment
from archiver.exceptions import ItemError
from archiver.rendering.entries import _HAPPENINGS
from archiver.rendering.wording import (
    clock_of,
    folder_name,
    header_date,
    known_zone,
    locales,
    negotiate,
    offset_text,
    words,
)

PACKAGE = Path(archiver.__file__).parent / "rendering"
SAYING = {"words", "_words", "_subject", "_by"}
"""What messages are passed to in the code."""


def used() -> set[str]:
    found = {sentence for pair in _HAPPENINGS.values() for sentence in pair} | {*GUESSES.values(), OTHER_GUESS}
    for name in ("entries", "people", "transcript", "envelope", "wording"):
        for node in ast.walk(ast.parse((PACKAGE / f"{name}.py").read_text("utf-8"))):
            if isinstance(node, ast.Call) and _name(node.func) in (SAYING | ({"self"} if name == "wording" else set())):
                for argument in node.args:
                    found |= {n.value for n in ast.walk(argument) if _is_text(n)}
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Call) and _name(node.func.func) == "words":
                found |= {n.value for n in node.args if _is_text(n)}
    return found


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def catalogue(name: str) -> dict[str, str]:
    with (PACKAGE / "locales" / name).open("rb") as stream:
        return {message.id: message.string for message in read_po(stream) if message.id}


def test_the_template_holds_exactly_the_words_in_use():
    assert set(catalogue("archiver.pot")) == used()
    assert len(used()) > 50


@pytest.mark.parametrize("locale", sorted(locales()))
def test_catalogues_are_complete_and_keep_placeholders(locale):
    made = catalogue(f"{locale}.po")
    assert set(made) == used()
    for message, string in made.items():
        assert string, message
        assert sorted(re.findall(r"{\w*}", string)) == sorted(re.findall(r"{\w*}", message))


def test_both_languages_are_there():
    assert {"en", "zh_Hant"} <= locales()
    assert folder_name("en") == "Conversation History"
    assert folder_name("zh-TW") == "交談歷程記錄"


@pytest.mark.parametrize(
    ("tag", "chosen"),
    [
        ("zh-TW", "zh_Hant"),
        ("zh_HK.UTF-8", "zh_Hant"),
        ("zh-Hant", "zh_Hant"),
        ("zh-CN", "en"),
        ("en-GB", "en"),
        ("xx", "en"),
        ("", "en"),
        ("../../etc", "en"),
        ("C", "en"),
    ],
)
def test_negotiation(tag, chosen):
    assert negotiate(tag) == chosen


def test_names_can_hold_braces():
    assert words("en")("{name} joined", name="{0.__class__} %s") == "{0.__class__} %s joined"


def test_zones_come_from_the_package_and_nothing_else():
    assert known_zone("Asia/Taipei")
    assert known_zone("UTC")
    for name in ("", "Mars/Base", "../UTC", "/etc/localtime", "Asia", "__init__.py", "asia/taipei"):
        assert not known_zone(name)
        with pytest.raises(ItemError):
            clock_of(name)


@given(
    st.sampled_from(["Europe/Berlin", "America/St_Johns", "Asia/Taipei", "Africa/Monrovia", "Pacific/Apia", "UTC"]),
    st.integers(0, 4_000_000_000 * SECOND),
)
def test_offsets_are_those_of_zoneinfo(zone, time):
    expected = moment(time).astimezone(ZoneInfo(zone)).utcoffset()
    assert timedelta(seconds=clock_of(zone).offset(time)) == expected
    offset, until = clock_of(zone).stretch(time)
    assert until > time
    assert timedelta(seconds=offset) == expected
    assert timedelta(seconds=clock_of(zone).offset(until - 1)) == expected


def test_an_odd_minute_change_is_exact():
    """St. John's went back at 00:01 local, in the middle of a quarter of an hour."""
    change = microseconds(datetime(2010, 11, 7, 2, 31, tzinfo=UTC))
    clock = clock_of("America/St_Johns")
    assert (clock.offset(change - 1), clock.offset(change)) == (-9000, -12600)


@given(st.sampled_from(["Europe/Berlin", "Asia/Kolkata", "America/New_York"]), st.integers(0, 4_000_000_000))
def test_header_dates_are_those_of_the_standard_library(zone, seconds):
    expected = format_datetime((EPOCH + timedelta(seconds=seconds)).astimezone(ZoneInfo(zone)))
    assert header_date(clock_of(zone), seconds * SECOND) == expected


def test_an_offset_with_seconds_is_said_in_utc():
    assert header_date(clock_of("Africa/Monrovia"), 0) == "Thu, 01 Jan 1970 00:00:00 +0000"
    assert offset_text(clock_of("Africa/Monrovia").offset(0)) == "-00:44:30"


def test_days_are_worded_by_locale():
    assert words("en").day(0) == "Thursday, January 1, 1970"
    assert words("zh-TW").day(0) == "1970年1月1日 星期四"
