"""Whose mailbox an address is: every spelling, the maps, the people file, and what may never come out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from archiver.addresses import LONGEST, normal, place_of
from archiver.assembly import directory_of
from archiver.config import load
from archiver.config.mailboxes import CSV_READERS
from archiver.config.quantities import last_day
from archiver.directory import Directory
from archiver.exceptions import ConfigError
from archiver.people import Person, read_people
from archiver.store.names import normal_address
from archiver.types import Mailbox

calm = profile(deadline=None, suppress_health_check=[HealthCheck.too_slow])
FIXTURES = Path(__file__).parent.parent / "fixtures" / "config"
DEFAULT = Mailbox("", "15.2.2562.17", "en", "UTC")
IRC = "irc:libera/#ubuntu"


# --- the normal form ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "mailbox"),
    [
        ("alice@example.org", "alice@example.org"),
        ("Alice@Example.ORG", "alice@example.org"),
        ("alice@example.org/phone", "alice@example.org"),
        ("alice@example.org/a/b@c;d", "alice@example.org"),
        ("sip:alice@example.org", "alice@example.org"),
        ("SIPS:alice@example.org:5061;transport=tls", "alice@example.org"),
        ("sip:alice@example.org;gruu;opaque=user:epid:x/y@z", "alice@example.org"),
        ("sip:alice@example.org?subject=a@b", "alice@example.org"),
        ("im:alice@example.org", "alice@example.org"),
        ("xmpp:alice@example.org/phone?message", "alice@example.org"),
        ("mailto:Alice%2Bnews@example.org?subject=x", "alice+news@example.org"),
        ("@alice:example.org", "alice@example.org"),
        ("@Alice=2fx:example.org", "alice=2fx@example.org"),
        ("nick", "nick@libera"),
        ("[Nick]`^|", "[nick]`^|@libera"),
        ("sip:5551234", "5551234@libera"),
        ("alice@bücher.example", "alice@xn--bcher-kva.example"),
        ("alice@XN--BCHER-KVA.example", "alice@xn--bcher-kva.example"),
        ("alice@例え.jp.", "alice@xn--r8jz45g.jp"),
        ("José@example.org", "josé@example.org"),
        ("Jose\u0301@example.org", "josé@example.org"),
        ("STRASSE@straße.example", "strasse@xn--strae-oqa.example"),
        ("alice@my_host", "alice@my_host"),
        ("alice@192.0.2.7", "alice@192.0.2.7"),
    ],
)
def test_every_spelling_has_one_normal_form(address, mailbox):
    assert normal(IRC, address) == mailbox


@pytest.mark.parametrize(
    "address",
    [
        "",
        "@",
        "alice@",
        "@example.org",
        "a b@example.org",
        "a\tb@example.org",
        "a\r\nBcc: x@example.org",
        "a\x00b@example.org",
        "a\u202eb@example.org",
        "a\u200bb@example.org",
        "\ud800@example.org",
        "\u0301a@example.org",
        "a@b@c",
        "a/b",
        "a/b@example.org",
        "../../etc/passwd",
        "..",
        "..@example.org",
        "a@../x",
        "a@..",
        "a@example..org",
        "a@-x.org",
        "a@x y.org",
        "a@[2001:db8::1]",
        "a@example.org:5222",
        "@alice:example.org:8448",
        "sip:a%2fb@example.org",
        "sip:a%00b@example.org",
        "sip:a%0d%0ab@example.org",
        "sip:sip:a@example.org",
        "sip:alice:secret@example.org",
        "mailto:a@example.org,b@example.org",
        "a@xn--\u00fc.org",
        "a@xn--99999999.org",
        "Alice <alice@example.org>",
        "a" * 250 + "@example.org",
        "a@" + "b" * 64 + ".org",
        "a@" + "b." * 126 + "org",
        "x" * 100_000,
    ],
)
def test_what_still_is_no_address_is_none(address):
    assert normal(IRC, address) is None


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("irc:libera/#ubuntu", "libera"),
        ("xmpp:chat.example.org", "chat.example.org"),
        ("https://meet.example.org:8443/b/x", "meet.example.org"),
        ("libera", "libera"),
        ("", ""),
        ("irc:", ""),
    ],
)
def test_the_first_part_of_a_source(source, place):
    assert place_of(source) == place


def test_one_nick_is_one_person_in_all_channels_of_a_network():
    assert normal("irc:libera/#ubuntu", "nick") == normal("irc:libera/#debian", "nick") != normal("irc:oftc/#x", "nick")


def test_a_bare_id_of_a_source_without_a_place_is_none():
    assert normal("", "nick") is None
    assert normal("urn:slack:T1", "nick") is None


spellings = st.one_of(
    st.text(max_size=40),
    st.builds("".join, st.lists(st.sampled_from([*"aZß@:/;?.%2fİΐſ\u0345\u0301\u202e\x00\r\n", "sip:", "xn--", "例"]))),
    st.emails(),
)


@calm
@given(st.one_of(st.just(IRC), st.text(max_size=20)), spellings)
@example(IRC, "\u0345\u0301a@x")
@example(IRC, "a\u0390\u0345@x")
def test_a_normal_form_is_stable_and_harmless(source, address):
    found = normal(source, address)
    if found is None:
        return
    local, at, domain = found.rpartition("@")
    assert local and at and domain and "@" not in local and domain.isascii()
    assert normal(source, found) == found == normal("other:place", found)
    assert not any(sign in found for sign in '/\0\r\n :;,<>"\\' if sign != "\\")
    assert local.strip(".") and ".." not in domain and not domain.startswith(".")
    assert found.isprintable() and len(found.encode()) <= LONGEST
    # What the store makes of it is the same address, so that a path leads back to it.
    assert "@".join(normal_address(found)) == found


@calm
@given(st.emails(), st.sampled_from(["sip:", "SIP:", "im:", "mailto:", ""]))
def test_a_scheme_changes_nothing(address, scheme):
    if "%" not in address:
        assert normal(IRC, scheme + address) == normal(IRC, address)


# --- maps and rewrites -------------------------------------------------------------------------------------------


class Rule:
    def __init__(self, source: str, target: str) -> None:
        self.source, self.target = source, target


def test_without_configuration_everybody_has_their_own_mailbox():
    directory = Directory(DEFAULT)
    assert directory.mailbox_of(IRC, "Nick") == "nick@libera"
    assert directory.mailbox_of("xmpp:x", "Bob@Example.org/tablet") == "bob@example.org"
    assert directory.mailbox_of("x:y", "Alice Smith") is None
    assert directory.mailbox("nick@libera") == Mailbox("nick@libera", "15.2.2562.17", "en", "UTC")


def test_only_named_domains_are_ours():
    directory = Directory(DEFAULT, domains=["example.org"])
    assert directory.mailbox_of("x:y", "alice@example.org") == "alice@example.org"
    assert directory.mailbox_of("x:y", "alice@sub.example.org") is None
    assert directory.mailbox_of(IRC, "nick") is None


def test_only_named_people_are_ours():
    directory = Directory(DEFAULT, people={"nick@libera": "alice@example.org"})
    assert directory.mailbox_of(IRC, "NICK") == "alice@example.org"
    assert directory.mailbox_of("x:y", "sip:alice@example.org") == "alice@example.org"
    assert directory.mailbox_of("x:y", "bob@example.org") is None
    assert directory.named() == ("alice@example.org",)


def test_a_rewrite_alone_names_nobody():
    directory = Directory(DEFAULT, rewrites=[Rule("xmpp.example.org", "example.org")])
    assert directory.mailbox_of("x:y", "bob@xmpp.example.org/r") == "bob@example.org"
    assert directory.mailbox_of("x:y", "bob@example.net") == "bob@example.net"


def test_the_exact_map_comes_first_then_rewrites_then_the_address_itself():
    directory = Directory(
        DEFAULT,
        domains=["example.org"],
        people={"bob@xmpp.example.org": "robert@example.org"},
        rewrites=[Rule("xmpp.example.org", "example.org"), Rule("libera", "example.org"), Rule("libera", "late.org")],
    )
    assert directory.mailbox_of("x:y", "bob@xmpp.example.org") == "robert@example.org"
    assert directory.mailbox_of("x:y", "eve@xmpp.example.org") == "eve@example.org"
    assert directory.mailbox_of(IRC, "nick") == "nick@example.org"


def test_a_source_address_of_any_form_can_be_mapped():
    people = {"8:orgid:1-2": "alice@example.org", "Alice Smith": "alice@example.org", "@bob:m.org": "bob@example.org"}
    directory = Directory(DEFAULT, people=people)
    assert directory.mailbox_of("teams:t", "8:ORGID:1-2") == "alice@example.org"
    assert directory.mailbox_of("zoom:z", "alice smith") == "alice@example.org"
    assert directory.mailbox_of("matrix:m.org", "bob@m.org") == "bob@example.org"


def test_a_rewrite_that_makes_an_address_too_long_gives_none():
    directory = Directory(DEFAULT, rewrites=[Rule("a.org", "b" * 60 + ".example.org")])
    assert directory.mailbox_of("x:y", "x" * 200 + "@a.org") is None


@calm
@given(st.text(max_size=20), spellings)
def test_answers_are_normal_forms_or_none_and_cached_ones_the_same(source, address):
    directory = Directory(DEFAULT, people={"nick": "a@example.org"}, domains=["example.org"])
    found = directory.mailbox_of(source, address)
    assert found is None or (normal("", found) == found and directory.mailbox_of(source, found) == found)
    assert directory.mailbox_of(source, address) == found


def test_the_same_nick_in_two_networks_is_not_mixed_up_by_the_cache():
    directory = Directory(DEFAULT)
    assert directory.mailbox_of("irc:libera/#a", "nick") == "nick@libera"
    assert directory.mailbox_of("irc:oftc/#a", "nick") == "nick@oftc"


def test_a_mailbox_has_its_own_facts_else_the_defaults():
    rows = [Person("a", "alice@example.org", version="14.3.123.4", zone="Asia/Taipei")]
    table = Person("", "alice@example.org", version="15.0.1497.2", folder="Verlauf")
    alice = Directory(DEFAULT, [table], rows=rows).mailbox("alice@example.org")
    assert alice == Mailbox("alice@example.org", "15.0.1497.2", "en", "Asia/Taipei", "Verlauf")


def test_an_id_with_its_place_comes_before_the_same_id_alone():
    people = {"john": "john@example.org", "John@oftc": "other@example.org", "Ann B@zoom": "ann@example.org"}
    directory = Directory(DEFAULT, people=people)
    assert directory.mailbox_of("irc:oftc/#a", "john") == "other@example.org"
    assert directory.mailbox_of(IRC, "JOHN") == "john@example.org"
    assert [directory.is_bare(each, "john") for each in (IRC, "irc:oftc/#a")] == [True, False]
    assert [directory.mailbox_of(each, "ann b") for each in ("zoom:zoom", "skype:skype")] == ["ann@example.org", None]
    assert directory.is_stated("zoom:zoom", "Ann B") and not directory.is_bare("zoom:zoom", "Ann B")
    assert not directory.is_bare("x:y", "other@example.org"), "a mail address is the same person's everywhere"
    assert directory.others("irc:oftc/#a", "other@example.org") == ("John",), "as the source itself has it"
    assert directory.has_bare and not Directory(DEFAULT, people={"john@oftc": "a@example.org"}).has_bare


# --- the people file ---------------------------------------------------------------------------------------------


def test_the_people_file_of_the_example():
    config = load(FIXTURES / "full.toml")
    with open(config.directory.file, encoding="utf-8", newline="") as lines:
        rows = read_people(lines, "people.csv", CSV_READERS)
    directory = Directory(
        config.default_mailbox,
        config.mailbox,
        domains=config.directory.domains,
        people=dict(config.directory.people),
        rewrites=config.directory.rewrite,
        rows=rows,
    )
    assert directory.mailbox_of(IRC, "bob_irc") == "bob@example.org"
    assert directory.mailbox_of("slack:T1/C1", "U024BE7LH") == "dan@example.org"
    assert directory.mailbox_of("xmpp:x", "eve@chat.example.org") == "eve@example.org"
    assert directory.mailbox("bob@example.org").folder == "Unterhaltungsverlauf"
    assert directory.mailbox("carol@example.org").locale == "zh_Hant"
    assert directory.mailbox("dan@example.org").version == "15.2.2562.17"


def test_the_people_file_says_where_a_mailbox_is_archived():
    head = "address,mailbox,exchange_archiving,migration,migration_ends,quota\n"
    (row,) = read_people([head, "a,a@x.org,mailbox,migrating,2099-03-31,50GiB\n"], "people.csv", CSV_READERS)
    mailbox = Directory(DEFAULT, rows=[row]).mailbox("a@x.org")
    assert (mailbox.exchange_archiving, mailbox.migration) == ("mailbox", "migrating")
    assert (mailbox.migration_ends, mailbox.quota) == (last_day("2099-03-31"), 50 << 30)
    with pytest.raises(ConfigError) as caught:
        read_people([head, "a,a@x.org,never,,31.3.2099,lots\n"], "people.csv", CSV_READERS)
    assert [problem.split(" = ")[0] for problem in caught.value.problems] == [
        "people.csv, line 2: exchange_archiving",
        "people.csv, line 2: migration_ends",
        "people.csv, line 2: quota",
    ]


def test_two_migrations_of_one_mailbox_are_refused():
    head = "address,mailbox,migration,migration_ends\n"
    rows = ["a,a@x.org,migrating,2099-03-31\n", "b,a@x.org,migrating,2099-04-30\n", "c,a@x.org,legacy,\n"]
    with pytest.raises(ConfigError) as caught:
        read_people([head, *rows], "people.csv", CSV_READERS)
    assert [problem.split(": ")[:2] for problem in caught.value.problems] == [
        ["people.csv, line 3", "migration_ends of 'a@x.org'"],
        ["people.csv, line 4", "migration of 'a@x.org'"],
    ]


def test_table_and_row_together_must_not_contradict(tmp_path):
    (tmp_path / "people.csv").write_text("address,mailbox,migration,migration_ends\nb,b@x.org,migrating,\n")
    table = "[[mailbox]]\naddress = 'a@x.org'\nmigration_ends = 2099-03-31\n"
    (tmp_path / "config.toml").write_text(table + "[directory]\nfile = 'people.csv'\n")
    with pytest.raises(ConfigError) as caught:
        directory_of(load(tmp_path / "config.toml"))
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "mailbox[1].migration_ends = '2099-03-31'",
        "directory.file",
    ]
    assert "b@x.org.migration_ends: is missing" in caught.value.problems[1]
    (tmp_path / "people.csv").write_text("address,mailbox,migration\na,a@x.org,migrating\n")
    assert directory_of(load(tmp_path / "config.toml")).mailbox("a@x.org").migration == "migrating"


def test_an_empty_people_file_means_nobody_is_ours():
    rows = read_people(["address,mailbox\n"], "people.csv")
    assert Directory(DEFAULT, rows=rows).mailbox_of("x:y", "alice@example.org") is None


def test_every_problem_of_the_people_file_names_its_line():
    with open(FIXTURES / "bad_people.csv", encoding="utf-8", newline="") as lines, pytest.raises(ConfigError) as caught:
        read_people(lines, "bad_people.csv", CSV_READERS)
    found = caught.value.problems
    assert [problem.split(": ")[0] for problem in found] == [
        "bad_people.csv, line 3",
        "bad_people.csv, line 4",
        "bad_people.csv, line 4",
        "bad_people.csv, line 4",
        "bad_people.csv, line 6",
        "bad_people.csv, line 5",
    ]
    assert "'other@example.org' here, 'alice@example.org' on line 2" in found[-1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: 'mailbox' is missing from the header"),
        ("address,mailbox,colour\n", "'colour' is no column"),
        ("address,address,mailbox\n", "'address' stands twice"),
        ('address,mailbox\n"a,b\n', "unexpected end"),
        ("address,mailbox,version\na,a@x.org,15.0\nb,a@x.org,15.1\n", "'15.1' here, '15.0' on line 2"),
        ("address,mailbox\na,a@x.org/../y z\n\nb,b\n", "line 4: mailbox = 'b': is not an address"),
    ],
)
def test_one_problem_of_the_people_file(text, problem):
    with pytest.raises(ConfigError) as caught:
        read_people(text.splitlines(keepends=True), "people.csv")
    assert problem in caught.value.problems[-1]


def test_a_people_file_in_another_charset_is_the_users_mistake(tmp_path):
    (tmp_path / "people.csv").write_bytes("address,mailbox\nJos\xe9,jose@example.org\n".encode("latin-1"))
    with open(tmp_path / "people.csv", encoding="utf-8", newline="") as lines, pytest.raises(ConfigError):
        read_people(lines, "people.csv")


@calm
@given(st.text(max_size=80))
def test_any_people_file_is_rows_or_problems(text):
    try:
        for person in read_people(("address,mailbox\n" + text).splitlines(keepends=True), "people.csv", CSV_READERS):
            assert normal("", person.mailbox) == person.mailbox
    except ConfigError as error:
        assert error.problems
