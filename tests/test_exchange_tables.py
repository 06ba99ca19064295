"""Sections 2.1 (one row), 5.1, 5.2 and 9 of the facts about the original, each row a case: the data agree with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from archive_builder import Archive
from builders import DAY, MINUTE, say
from test_policy import ALL, EVERYTHING, NOW, ask, finding

from archiver.config import load, parse
from archiver.config.quantities import last_day
from archiver.decisions.capability import parse as version_of
from archiver.decisions.capability import products, supports
from archiver.decisions.policy import Configuration, Policy, Rules
from archiver.events import SECOND
from archiver.types import Archiving

PRODUCTS = """
2003|6.5|-|no|E-BUILD CSS
2007|8.0 8.1 8.2 8.3|Exchange2007 Exchange2007_SP1|no|E-BUILD CSS EWS-RSV
2010|14.0 14.1 14.2 14.3|Exchange2010 Exchange2010_SP1 Exchange2010_SP2|no|E-BUILD CSS EWS-RSV
2013|15.0|Exchange2013 Exchange2013_SP1|yes|E-BUILD CSS EWS-RSV
2016|15.1|Exchange2016|yes|E-BUILD CSS XLIB
2019|15.2.2561|Exchange2016|yes|E-BUILD CSS XLIB-221
SE|15.2.2562|Exchange2016|yes|CSS
Online|15.20|Exchange2016 V2017_07_11|via Azure token service|XLIB XLIB-221
"""
FIRST_BUILDS = {
    "2003": "RTM 6.5.6944; SP1 6.5.7226; SP2 6.5.7683",
    "2007": "RTM 8.0.685.25; SP1 8.1.240.6; SP2 8.2.176.2; SP3 8.3.83.6; SP3 8.3.517.0",
    "2010": "RTM 14.0.639.21; SP1 14.1.218.15; SP2 14.2.247.5; SP3 14.3.123.4; SP3 14.3.513.0",
    "2013": "RTM 15.0.516.32; CU1 620.29; CU2 712.24; CU3 775.38; SP1 847.32; CU5 913.22; CU6 995.29; CU7 1044.25; "
    "CU8 1076.9; CU9 1104.5; CU10 1130.7; CU11 1156.6; CU12 1178.4; CU13 1210.3; CU14 1236.3; CU15 1263.5; "
    "CU16 1293.2; CU17 1320.4; CU18 1347.2; CU19 1365.1; CU20 1367.3; CU21 1395.4; CU22 1473.3; CU23 1497.2",
    "2016": "RTM 15.1.225.42; CU1 396.30; CU2 466.34; CU3 544.27; CU4 669.32; CU5 845.34; CU6 1034.26; CU7 1261.35; "
    "CU8 1415.2; CU9 1466.3; CU10 1531.3; CU11 1591.10; CU12 1713.5; CU13 1779.2; CU14 1847.3; CU15 1913.5; "
    "CU16 1979.3; CU17 2044.4; CU18 2106.2; CU19 2176.2; CU20 2242.4; CU21 2308.8; CU22 2375.7; CU23 2507.6",
    "2019": "RTM 15.2.221.12; CU1 330.5; CU2 397.3; CU3 464.5; CU4 529.5; CU5 595.3; CU6 659.4; CU7 721.2; CU8 792.3; "
    "CU9 858.5; CU10 922.7; CU11 986.5; CU12 1118.7; CU13 1258.12; CU14 1544.4; CU15 1748.10",
    "SE": "RTM 15.2.2562.17; RTM 15.2.2562.53",
}
"""Of 5.2. A build without its first numbers is one of the product's."""


def rows() -> list[Any]:
    lines = [line.split("|") for line in PRODUCTS.strip().splitlines()]
    return [pytest.param(*line[:4], id=f"{line[0]} [{line[4]}]") for line in lines]


def builds() -> list[Any]:
    made = []
    for column, releases in FIRST_BUILDS.items():
        first = releases.split()[1].split(".")[:2]
        for release, build in (each.split() for each in releases.split("; ")):
            whole = build if build.split(".")[:2] == first or build.count(".") > 1 else ".".join([*first, build])
            made.append(pytest.param(column, release, whole, id=f"{column} {release} {whole} [E-BUILD CSS]"))
    return made


@pytest.mark.parametrize(("column", "numbers", "schemas", "tokens"), rows())
def test_5_1_product_to_number(column: str, numbers: str, schemas: str, tokens: str) -> None:
    for number in numbers.split():
        assert {each.column for each in products(version_of(number))} >= {column}
    for schema in schemas.replace("-", "").split():
        found = products(version_of(schema))
        assert column in {each.column for each in found} or not found, "a name that nothing is known of closes"
    assert supports(12, version_of(numbers.split()[-1])).allowed is (tokens == "yes")


@pytest.mark.parametrize(("column", "release", "build"), builds())
def test_5_2_first_builds(column: str, release: str, build: str) -> None:
    (product,) = products(version_of(build))
    assert product.column == column
    assert release in product.release or release in str(product)


# --- section 9: rules the archiver has taken over


def test_9_1_each_check_says_no_on_its_own_with_a_reason() -> None:
    assert ask(EVERYTHING, exchange_archiving="mailbox").allowed
    broken: dict[str, tuple[Any, dict[str, Any]]] = {
        "capability": (EVERYTHING, {"exchange_archiving": "mailbox", "version": "14.3.123.4"}),
        "exchange_archiving": (EVERYTHING, {"exchange_archiving": "none"}),
        "archive": (Rules(Configuration(archive="none"), ALL), {}),
        "policy": (Rules(Configuration(archive="im"), Policy()), {"exchange_archiving": "local"}),
    }
    for check, (rules, own) in broken.items():
        decision = ask(rules, **own)
        assert not decision.allowed or decision.archiving is Archiving.NONE, check
        assert not finding(decision, check).allowed and finding(decision, check).reason


def test_9_2_an_unknown_version_is_closed_with_a_visible_reason_XLIB() -> None:
    decision = ask(EVERYTHING, exchange_archiving="mailbox", version="Exchange 2525")
    assert not decision.allowed and "Exchange 2525" in decision.reason


def test_9_3_both_stores_at_once_need_a_migration_with_an_end_SEED() -> None:
    moving = {"migration": "migrating", "migration_ends": last_day("2027-03-31")}
    assert ask(EVERYTHING, now=NOW, exchange_archiving="uninitialized", **moving).archiving is Archiving.BOTH
    for meant in ("uninitialized", "local", "mailbox", "none"):
        assert ask(EVERYTHING, exchange_archiving=meant).archiving is not Archiving.BOTH


def test_9_4_a_conversation_ends_when_nobody_speaks_and_a_continued_one_is_one_item_OC_HELP(tmp_path: Path) -> None:
    assert load(None).conversations.idle == 10 * MINUTE * SECOND
    archive = Archive(tmp_path)
    archive.take([say("alice@example.org", "first", 0, id="1", present=["bob@example.org"])], DAY)
    archive.take([say("alice@example.org", "second", 5 * MINUTE, id="2", present=["bob@example.org"])], 2 * DAY)
    (text,) = archive.texts("bob@example.org")
    assert "first" in text and "second" in text
    archive.take([say("alice@example.org", "third", 16 * MINUTE, id="3", present=["bob@example.org"])], 3 * DAY)
    assert len(archive.texts("bob@example.org")) == 2
    archive.spool.close()


def test_9_5_one_item_in_each_participants_mailbox_L_CDR(tmp_path: Path) -> None:
    archive, people = Archive(tmp_path), [f"{name}@example.org" for name in ("alice", "bob", "carol")]
    for instance in ("monday", "tuesday"):
        archive.take([say(people[0], instance, 0, id=instance, session=instance, present=people)], DAY)
    assert [len(archive.texts(who)) for who in people] == [2, 2, 2]
    archive.spool.close()


def test_9_6_critical_mode_is_off_by_default_PS_ARCHCFG() -> None:
    assert not load(None).archiving.block_on_failure
    assert parse({"archiving": {"block_on_failure": True}}).archiving.block_on_failure


def test_2_1_archive_duplicate_messages_has_no_key_since_each_is_archived_once_PS_ARCHCFG(tmp_path: Path) -> None:
    """As with False in the original: whichever pools a message comes by, its identity is accepted once."""
    archive = Archive(tmp_path, parse({"archiving": {"archive": "im"}, "policy": {"internal": True}}))
    said = [say("alice@example.org", "once", 0, id="1", present=["bob@example.org"])]
    archive.take(said, DAY)
    archive.take(said, 2 * DAY)
    (item,) = archive.spool.local_items()
    assert item.mailboxes == ("alice@example.org", "bob@example.org")
    assert archive.spool.totals().spooled == 1
    archive.spool.close()
