"""Versions in every form, and the matrix cell by cell."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from archiver.decisions.capability import COLUMNS, LINES, OPENS, ROWS, Version, parse, products, supports

calm = profile(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Number, cells from 2003 to Online, source keys: a second copy, to notice a slip in the data.
TABLE = """\
1|p (MAPI write only)|y (SP1+)|y|y|y|y g|y g|y|L-COMPAT BLOG-LC
2|n|y (SP1+)|y|y|y|y g|y g|y|L-COMPAT S-COMPAT
3|n|n|n|y|y|y|y|y|XLIB
4|?|?|y|y|y|y g|y g|y|S-FEAT18 S-FEATNOW
5|n|n|n|y|y|y g|y g|p (pairing)|SEED L-ESI
6|n|n|n (conflict, 4.5)|y|y|y g|y g|y|S-FEAT18 GH-2756 S-HYBPLAN
7|n|n|n|y|y|y|y g|p (pairing)|L-NEWEX L-OWA S-FEAT18 E-HOLD S-FEATNOW
8|n|n|n|y|y|y|y g|p (pairing)|L-NEWEX L-OWA S-FEAT18 E-HOLD S-FEATNOW
9|n|n|n (Litigation Hold only)|y|y|y|y|n since 2020 (Litigation Hold etc.)|E13-HOLD EXO-IPH PS-MBXSEARCH
10|n|n|n|y|y|y g|y g|p (pairing)|L-COMPAT L-OWA S-FEAT18 S-FEATNOW
11|n|n|n|y|y|y g|y g|p (pairing)|L-COMPAT L-PHOTO S-FEATNOW
12|n|n|n|y|y|y|y|via Azure token service|L-PARTNER E16-INT S-OAUTHX
13|?|?|y|y|p: not with Lync Server 2013, y with SfB Server|p (same)|y g|y (edge hosting provider)|\
L-OWA E16-OWAIM S-FEATNOW L-EXO
14|?|?|conflict: "new with 2013" vs y|y|y|y g|y g|y|L-INT S-FEAT18
15|n?|y (SP1+)|y|y|y|n (removed)|n|hosted UM, later retired: Cloud Voicemail|L-UM E19-DISC S-FEATNOW
16|?|?|y|y|y|y g|y g|y|S-FEAT18 S-HYB
17|n|n|y|y|y|y g|y g|y?|L-COMPAT
18|n|y (SP1+)|y|y|y|y g|y g|y|L-COMPAT
"""
PARSED = [line.split("|") for line in TABLE.splitlines()]
NEWEST = {
    "2003": "6.5.7683",
    "2007": "8.3.517.0",
    "2010": "14.3.513.0",
    "2013": "15.0.1497.48",
    "2016": "15.1.2507.6",
    "2019": "15.2.1748.10",
    "SE": "15.2.2562.53",
    "Online": "15.20.7452.28",
}


@pytest.mark.parametrize("line", PARSED, ids=lambda line: f"row {line[0]}")
def test_the_data_say_what_the_table_says(line):
    row = ROWS[int(line[0])]
    assert [row.cells[column] for column in COLUMNS] == line[1:9]
    assert list(row.keys) == line[9].split()
    assert row.name


def test_there_are_no_other_rows_and_columns():
    assert list(ROWS) == list(range(1, 19))
    assert list(COLUMNS) == list(NEWEST)


def test_which_row_opens_what():
    assert OPENS == {"im": 6, "group": 6, "conference": 5, "archive": 7}


@pytest.mark.parametrize("line", PARSED, ids=lambda line: f"row {line[0]}")
def test_yes_is_only_what_is_plainly_yes(line):
    for column, cell in zip(COLUMNS, line[1:9], strict=True):
        version = parse(NEWEST[column])
        answer = supports(int(line[0]), version)
        assert (answer.allowed, answer.cells) == (cell in ("y", "y g", "y (SP1+)"), (cell,)), column
        assert supports(int(line[0]), version, pairing="online").allowed == (answer.allowed or cell == "p (pairing)")


@pytest.mark.parametrize(
    ("version", "allowed"),
    [
        ("8.0.685.25", False),
        ("8.1.240.6", True),
        ("8.1.239.9", False),
        ("8.3.83.6", True),
        ("8.1", False),
        ("Exchange2007", False),
        ("Exchange2007_SP1", True),
        ("Exchange 2007", False),
        ("Exchange 2007 SP1", True),
    ],
)
def test_a_service_pack_is_told_by_the_build(version, allowed):
    assert supports(1, parse(version)).allowed is allowed


# --- products ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.column)
def test_every_first_build_is_found_as_its_release(line):
    for release in line.releases:
        version = parse(release.build)
        assert version is not None and str(version) == release.build
        (product,) = products(version)
        assert (product.column, product.release, product.pack) == (line.column, release.name, release.pack)


@pytest.mark.parametrize(
    ("version", "column", "release"),
    [
        ("15.2.2561.99", "2019", "CU15"),
        ("15.2.2562.0", "SE", ""),
        ("15.2.2562", "SE", "RTM"),
        ("15.2.9999.1", "SE", "RTM"),
        ("15.0.1497.48", "2013", "CU23"),
        ("15.0.846.9", "2013", "CU3"),
        ("15.01.0160.004", "2016", ""),
        ("14.3.328.5", "2010", "SP2 rollup 5"),
        ("14.2.390.3", "2010", "SP2"),
        ("15.20.1.1", "Online", ""),
        ("6.5.7638", "2003", "SP1"),
    ],
)
def test_a_product_is_told_by_the_build(version, column, release):
    (product,) = products(parse(version))
    assert (product.column, product.release) == (column, release)


@pytest.mark.parametrize("version", ["15.3.1.1", "16.0.1.1", "8.4.1.1", "14.4", "6.0.1", "15.21.1.1", "0.0", "99.99"])
def test_an_unknown_number_is_no_product_and_can_do_nothing(version):
    assert products(parse(version)) == ()
    assert not any(supports(number, parse(version), pairing="online").allowed for number in ROWS)


def test_nothing_is_known_of_no_version():
    assert products(None) == ()
    assert not any(supports(number, None, pairing="online").allowed for number in ROWS)


def test_where_several_products_are_possible_all_must_say_yes():
    answer = supports(5, parse("Exchange2016"))
    assert [product.column for product in answer.products] == ["2016", "2019", "SE", "Online"]
    assert not answer.allowed and supports(6, parse("Exchange2016")).allowed
    assert [product.column for product in products(parse("15.2"))] == ["2019", "SE"]


# --- forms -------------------------------------------------------------------------------------------------------

SOAP = """<?xml version="1.0" encoding="utf-8"?>
<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header>
<h:ServerVersionInfo MajorVersion="15" MinorVersion="0" MajorBuildNumber="1497" MinorBuildNumber="2" Version="V2_23"
 xmlns:h="http://schemas.microsoft.com/exchange/services/2006/types"/></s:Header></s:Envelope>"""
ELEMENTS = """<h:ServerVersionInfo xmlns:h="http://schemas.microsoft.com/exchange/2010/Autodiscover">
<h:MajorVersion>15</h:MajorVersion><h:MinorVersion>0</h:MinorVersion><h:MajorBuildNumber>1497</h:MajorBuildNumber>
<h:MinorBuildNumber>2</h:MinorBuildNumber><h:Version>Exchange2013_SP1</h:Version></h:ServerVersionInfo>"""
SETTINGS = """<UserSettings xmlns="http://schemas.microsoft.com/exchange/2010/Autodiscover">
<UserSetting><Name>EwsSupportedSchemas</Name><Value>Exchange2007, Exchange2013, Exchange2013_SP1</Value></UserSetting>
<UserSetting><Name>CasVersion</Name><Value>15.00.1497.002</Value></UserSetting></UserSettings>"""
POX = """<Autodiscover><Response><Account><Protocol><Type>EXCH</Type><ServerVersion>73C085D9</ServerVersion></Protocol>
<Protocol><Type>WEB</Type><ServerVersion>738180DA</ServerVersion></Protocol></Account></Response></Autodiscover>"""
ATTRIBUTES = {"MajorVersion": 15, "MinorVersion": "0", "MajorBuildNumber": "1497", "MinorBuildNumber": 2}
FULL = Version(15, 0, 1497, 2)
SHORT = Version(15, 0, 1497)


@pytest.mark.parametrize(
    ("given", "version"),
    [
        ("15.0.1497.2", FULL),
        (" 15.00.1497.002\n", FULL),
        (b"15.0.1497.2", FULL),
        ("v15.0.1497.2", FULL),
        ("Version 15.0 (Build 1497.2)", FULL),
        ("Version 15.0 (Build 31497.2)", FULL),
        ("AdminDisplayVersion : Version 15.0 (Build 1497.2)", FULL),
        ("CasVersion: 15.00.1497.002", FULL),
        ("X-OWA-Version: 15.0.1497.2", FULL),
        ({"X-OWA-Version": "15.0.1497.2"}, FULL),
        (ATTRIBUTES, FULL),
        (SOAP, FULL),
        (SOAP.encode(), FULL),
        (ELEMENTS, FULL),
        (SETTINGS, FULL),
        (POX, SHORT),
        ("<ServerVersion>73C085D9</ServerVersion>", SHORT),
        ("73C085D9", SHORT),
        ("0x73c085d9", SHORT),
        ("3C085D9", SHORT),
        ("738180DA", Version(14, 1, 218)),
        ("73C08204", Version(15, 0, 516)),
        ("73C189CB", Version(15, 1, 2507)),
        ("73C28A02", Version(15, 2, 2562)),
        ("https://mail.example.org/owa/auth/15.0.1497/themes/x.css", SHORT),
        ('<html><link rel=icon href="/owa/auth/15.0.1497/favicon.ico"><br>', SHORT),
        ("/owa/prem/15.20.7452.28/scripts", Version(15, 20, 7452, 28)),
        ("15.0", Version(15, 0)),
        ("Exchange2013_SP1", Version(15, name="Exchange2013_SP1")),
        ("Exchange2007,Exchange2010, Exchange2013", Version(15, name="Exchange2013")),
        ({"Version": "Exchange2010_SP2"}, Version(14, name="Exchange2010_SP2")),
        ('<ServerVersionInfo Version="Exchange2010"/>', Version(14, name="Exchange2010")),
        ("Exchange Server 2013 CU23", FULL),
        ("Microsoft Exchange Server 2013 SP1", Version(15, 0, 847, 32)),
        ("exchange 2016", Version(15, 1, name="Exchange 2016")),
        ("Exchange Online", Version(15, 20, name="Exchange Online")),
        ("Exchange SE", Version(15, 2, name="Exchange Subscription Edition")),
    ],
)
def test_every_form(given, version):
    assert parse(given) == version
    assert products(version)


def test_how_much_is_known():
    assert (FULL.known, SHORT.known, parse("15.0").known, parse("Exchange2016").known) == (4, 3, 2, 1)
    assert (str(FULL), str(SHORT), str(parse("Exchange2016"))) == ("15.0.1497.2", "15.0.1497", "Exchange2016")


def test_of_several_servers_in_one_answer_the_oldest_counts():
    both = POX.replace("WEB", "EXPR")
    assert parse(both) == Version(14, 1, 218)
    assert parse("<a href='/owa/auth/15.1.2507/x'/><a href='/owa/auth/15.0.1497/x'/>") == SHORT


@pytest.mark.parametrize(
    "given",
    [
        None,
        15,
        15.0,
        [],
        {},
        {"MajorVersion": True, "MinorVersion": False},
        {"MajorVersion": "15", "MinorVersion": "-1"},
        {1: 2},
        "",
        "15",
        "2012",
        "not 15.0.1497.2",
        "15.0.1497.2.1",
        "15..0",
        "15.0.1497.99999999999999999999",
        "9" * 5000,
        "1٥.0.1497.2",
        "deadbeef",
        "V2017_07_11",
        "Exchange2013, Exchange2030",
        "Exchange 2013 CU99",
        "Version 15.0",
        "Version 15.0 (Build )",
        "<ServerVersion>738180DA",
        "<!DOCTYPE a [<!ENTITY b 'x'>]><a>&b;</a>",
        "<a>" * 50_000,
        "\ud800",
        "<\ud800/>",
        b"\xff\xfe",
        POX.replace("EXCH", "WEB").replace("73C085D9", "73C189CB"),
    ],
)
def test_what_is_no_version_is_none(given):
    assert parse(given) is None


DIGITS = st.integers(0, 99_999)


@calm
@given(st.integers(0, 99), st.integers(0, 99), DIGITS, DIGITS)
def test_long_short_and_attribute_forms_are_one_version(major, minor, build, revision):
    version = Version(major, minor, build, revision)
    assert parse(str(version)) == version
    assert parse(f"{major:02}.{minor:02}.{build:04}.{revision:03}") == version
    attributes = zip(ATTRIBUTES, (major, minor, build, revision), strict=True)
    assert parse({name: str(value) for name, value in attributes}) == version


@calm
@given(st.sampled_from(LINES), st.integers(0, 0x7FFF), st.integers(0, 15))
def test_pox_hex_is_read_by_its_bits(line, build, ignored):
    major, minor = map(int, line.numbers[0].split("."))
    bits = ignored << 28 | major << 22 | minor << 16 | 1 << 15 | build
    if products(Version(major, minor, build)):
        assert parse(f"{bits:08X}") == Version(major, minor, build)
        assert parse(f"{bits & 0xFFFFFFF:x}") == Version(major, minor, build)


HOSTILE = st.one_of(
    st.text(max_size=60),
    st.binary(max_size=60),
    st.builds(
        "".join, st.lists(st.sampled_from([*"0159.,<>/ ", "Version ", "(Build ", ")", "/owa/auth/", "Exchange"]))
    ),
    st.dictionaries(st.sampled_from([*ATTRIBUTES, "Version", "X-OWA-Version"]), st.text(max_size=9) | st.integers()),
    st.text(max_size=20).map(lambda text: f'<ServerVersionInfo MajorVersion="15" MinorVersion="{text}"/>'),
)


@calm
@given(HOSTILE)
def test_any_input_is_a_version_or_none(given):
    version = parse(given)
    for product in products(version):
        assert product.column in COLUMNS
    assert version is None or re.fullmatch(r"[\w. ]+", str(version))
    assert all(supports(number, version).allowed in (True, False) for number in (5, 6, 7))
