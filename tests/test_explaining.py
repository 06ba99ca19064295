"""Why something was, or was not, filed and archived; how archiving is configured: both commands, on a real spool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from builders import say
from click.testing import CliRunner, Result

from archiver.assembly import open_spool, rules_of, terms_of
from archiver.cli import main
from archiver.compliance import explaining
from archiver.config import load
from archiver.conversations.conversation import fold_roster
from archiver.events import ndjson
from archiver.spool import Spool
from archiver.types import Destination, Exclusion

PEOPLE = ["alice@example.org", "bob@example.org"]
SOURCE = "xmpp:chat.example.org"
NOW = 1_800_000_000_000_000
CONFIG = """
[archiving]
archive = "im"
[[archiving.pool]]
name = "chat1"
sources = ["xmpp:chat.*"]
archive = "im+conference"
to_mailbox = true
block_on_failure = true
purge = true
keep_days = 30
purge_exported_only = true
[[archiving.site]]
name = "berlin"
pools = ["chat1"]
cache_purge_hours = 48
archive = "none"
[policy]
external = true
[[policy.site]]
name = "berlin"
internal = true
[[policy.user]]
address = "alice@example.org"
[[mailbox]]
address = "bob@example.org"
version = "14.3.123.4"
exchange_archiving = "mailbox"
[directory]
domains = ["example.org"]
"""


class Here:
    """A data directory and its configuration, and the command on both."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.config = folder / "config.toml"
        self.config.write_text(CONFIG)

    def run(self, *arguments: object, status: int = 0) -> Result:
        before = ["--data", self.data, "--config", self.config]
        result = CliRunner().invoke(main, [str(each) for each in (*before, *arguments)])
        assert result.exit_code == status, f"{result.exit_code}\n{result.output}\n{result.exception!r}"
        return result

    def json(self, *arguments: object) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)

    def spool(self, **options: Any) -> Spool:
        return open_spool(load(self.config), self.data, **options)

    def backfill(self, *people: str, room: str = "ab", at: float = 0, source: str = SOURCE) -> None:
        file = self.config.with_name("events.ndjson")
        lines = [
            say(who, f"hello {n}", at + n, room=room, present=list(people), source=source)
            for n, who in enumerate(people)
        ]
        file.write_bytes(ndjson(lines))
        self.run("backfill", "--placeholder", file)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


def rules(answer: dict[str, Any]) -> list[tuple[str, bool, str]]:
    found = (*answer["history"]["findings"], *answer["archive"]["findings"])
    return [(each["check"], each["allowed"], each["scope"]) for each in found]


def test_every_rule_is_told_in_order_with_where_it_was_set(here):
    here.backfill(*PEOPLE)
    (told,) = here.json("explain", "bob@example.org", "ab")["conversations"]
    (answer,) = told["answers"]
    assert (answer["kind"], answer["pool"], answer["site"], answer["internal"]) == ("group", "chat1", "berlin", True)
    assert rules(answer) == [
        ("switch", True, "global"),
        ("capability", False, "mailbox"),
        ("archive", True, "pool chat1"),
        ("exchange_archiving", True, "mailbox"),
        ("to_mailbox", True, "pool chat1"),
        ("capability", False, "mailbox"),
    ]
    (told,) = here.json("explain", "alice@example.org", "ab")["conversations"]
    assert rules(told["answers"][0]) == [
        ("switch", True, "global"),
        ("capability", True, "global"),
        ("archive", True, "pool chat1"),
        ("exchange_archiving", True, "global"),
        ("hold", False, "mailbox"),
        ("policy", False, "user alice@example.org"),
    ]


def test_what_came_of_a_conversation_is_what_the_journal_says(here):
    here.backfill(*PEOPLE)
    here.backfill(*PEOPLE, at=86_400)
    (told,) = here.json("explain", "alice@example.org", "ab")["conversations"]
    newest, oldest = [each for each in told["versions"] if each["delivery"]["destination"] == Destination.HISTORY]
    assert newest["started"] > oldest["started"] and newest["delivery"]["state"] == "filed"
    (told,) = here.json("explain", "bob@example.org", "ab")["conversations"]
    states = {each["delivery"]["state"] for each in told["versions"]}
    assert states == {"withheld"} and all("row" in each["delivery"]["reason"] for each in told["versions"])
    assert told["placed"]["source"] == SOURCE and told["placed"]["events"] == 4
    shown = here.run("explain", "bob@example.org", "ab").stdout
    assert "ab in xmpp:chat.example.org: 4 events in the spool" in shown
    assert "Group conversations (pool chat1, site berlin), everybody with a mailbox here" in shown
    assert "Archived in the mailbox's own archive; what is for its own archive waits." in shown
    assert "no  capability [mailbox]: The compliance archive needs row 7" in shown


def test_who_is_not_in_it_is_told_so_and_no_rule_is_asked(here):
    here.backfill(*PEOPLE)
    shown = here.run("explain", "carol@example.org", "ab").stdout
    assert "carol@example.org is not in it" in shown and "Archived" not in shown
    (told,) = here.json("explain", "carol@example.org", "ab")["conversations"]
    assert (told["there"], told["answers"]) == (False, [])
    assert {each["delivery"] for each in told["versions"]} == {None}
    (told,) = here.json("explain", "alice@example.org", "ab")["conversations"]
    assert told["there"] is True


def test_whether_somebody_was_in_what_is_forgotten_nobody_can_say(here):
    here.backfill("alice@example.org")
    rules = rules_of(load(here.config))
    with here.spool() as spool:
        done = spool.forget(NOW, 0, lambda events, roster, partial: fold_roster(events, roster, rules, partial=partial))
        assert done.events == 1
    shown = here.run("explain", "carol@example.org", "ab").stdout
    assert "can't be told" in shown and "Archived" in shown
    (told,) = here.json("explain", "alice@example.org", "ab")["conversations"]
    assert told["there"] is True, "the journal has an item of hers"


def test_somebody_from_elsewhere_makes_it_external(here):
    here.backfill("alice@example.org", "eve@example.net", room="out")
    (told,) = here.json("explain", "alice@example.org", "out")["conversations"]
    (answer,) = told["answers"]
    assert answer["internal"] is False
    assert "somebody has no mailbox here" in answer["archive"]["reason"]
    assert "has no mailbox here: a participant" in here.run("explain", "eve@example.net", "out").stdout
    assert here.json("explain", "eve@example.net")["mailbox"] is None


def test_the_same_name_in_two_sources_is_two_conversations(here):
    here.backfill(*PEOPLE)
    here.backfill(*PEOPLE, source="irc:libera")
    both = here.json("explain", "alice@example.org", "ab")["conversations"]
    assert [told["placed"]["source"] for told in both] == ["irc:libera", SOURCE]
    assert [told["answers"][0]["pool"] for told in both] == ["", "chat1"]
    (one,) = here.json("explain", "alice@example.org", "ab", "--source", SOURCE)["conversations"]
    assert one == both[1]


def test_what_was_never_taken_is_a_mistake(here):
    here.run("explain", "alice@example.org", "ab", status=2)
    here.backfill(*PEOPLE)
    for arguments in (["nothing\x1b[2J"], ["ab", "--source", "irc:libera"]):
        result = here.run("explain", "alice@example.org", *arguments, status=2)
        assert "was ever taken" in result.stderr and "\x1b" not in result.stderr


def test_without_a_conversation_the_rules_are_told_for_every_kind(here):
    answers = here.json("explain", "alice@example.org", "--source", SOURCE)["answers"]
    assert [(each["kind"], each["internal"]) for each in answers] == [
        (kind, internal) for kind in ("im", "group", "conference") for internal in (True, False)
    ]
    shown = here.run("explain", "sip:Alice@Example.org").stdout
    assert "Alice@Example.org: mailbox alice@example.org, store version 15.2.2562.17." in shown
    assert "IM conversations (no pool), everybody with a mailbox here" in shown
    assert "IM conversations (no pool), somebody without a mailbox here" in shown
    assert shown.count("Web conferences (no pool)") == 1, "who is in it makes no difference"


@pytest.mark.parametrize(
    ("query", "answers"),
    [("", True), ("hello", True), ("kind:conference", False), ("elephant", False)],
    ids=["everything", "its words", "another kind", "other words"],
)
def test_holds_are_asked_with_their_queries(here, query, answers):
    here.backfill("alice@example.org", "dan@example.org")
    with here.spool() as spool:
        spool.place_hold("dan@example.org", by="auditor", reason="case 7", query="hello", now=NOW)
        released = spool.place_hold("alice@example.org", by="auditor", reason="case 6", now=NOW)
        spool.release_hold(released.number, by="auditor", reason="over", now=NOW)
        hold = spool.place_hold("alice@example.org", by="auditor", reason="case 7", query=query, now=NOW)
    found = here.json("explain", "alice@example.org", "ab")
    assert [each["number"] for each in found["holds"]] == [hold.number]
    answer = found["conversations"][0]["answers"][0]
    scope = f"hold {hold.number}" if answers else "mailbox"
    assert ("hold", answers, scope) in rules(answer)
    assert answer["archive"]["archiving"] == ("mailbox" if answers else "none")
    shown = here.run("explain", "alice@example.org", "ab").stdout
    assert f"Hold {hold.number}, placed by auditor on" in shown and (query or "everything") in shown


def test_exclusions_that_concern_it_are_named(here):
    here.backfill(*PEOPLE)
    with here.spool() as spool:
        for source, room, person in (
            ("", "", PEOPLE[0]),
            ("xmpp:*", "ab", ""),
            ("xmpp:*", "other", ""),
            ("irc:*", "", ""),
        ):
            spool.add_exclusion(Exclusion(0, source, room, person, NOW, None, "ops", "why", NOW), NOW)
    shown = here.run("explain", PEOPLE[0], "ab").stdout
    assert f"of person {PEOPLE[0]}, from 2027-01-15" in shown and "of room ab of xmpp:*" in shown
    assert "other" not in shown and "irc" not in shown


def test_where_the_events_have_left_both_answers_are_told(here, monkeypatch):
    here.backfill(*PEOPLE)
    with here.spool() as spool:
        spool.place_hold(PEOPLE[0], by="auditor", reason="case 7", query="hello", now=NOW)
    monkeypatch.setattr(explaining, "_last", lambda *_: [])
    with here.spool(readonly=True) as spool:
        found = explaining.explain_conversation(terms_of(load(here.config)), spool, PEOPLE[0], "ab", None, 0, NOW)
    assert [answer.internal for answer in found.conversations[0].answers] == [True, False]
    assert all("hold" not in f.scope for answer in found.conversations[0].answers for f in answer.archive.findings)


def test_nothing_is_changed_by_asking(here):
    here.run("explain", "alice@example.org")
    here.run("policy")
    assert not here.data.exists()


# --- archiver policy ---------------------------------------------------------------------------------------------


def test_every_scope_with_its_configuration_and_policy(here):
    found = here.json("policy")
    assert [each["scope"] for each in found["configurations"]] == ["pool chat1", "site berlin", "global"]
    assert [each["scope"] for each in found["policies"]] == ["user alice@example.org", "site berlin", "global"]
    assert [(p["pool"], p["site"], p["configuration"]["scope"], p["policy"]["scope"]) for p in found["places"]] == [
        ("chat1", "berlin", "pool chat1", "site berlin"),
        ("", "", "global", "global"),
    ]
    shown = here.run("policy").stdout
    assert "over 30 d old and exported, at 02:00 UTC" in shown and "block after 900 s" in shown
    assert "xmpp:chat.*" in shown and "48 h" in shown


@pytest.mark.parametrize(
    ("address", "scopes"),
    [
        ("alice@example.org", ["user alice@example.org", "user alice@example.org"]),
        ("xmpp:Bob@example.org/phone", ["site berlin", "global"]),
    ],
)
def test_what_rules_for_one_mailbox(here, address, scopes):
    found = here.json("policy", address)
    assert [place["policy"]["scope"] for place in found["places"]] == scopes
    shown = here.run("policy", address).stdout
    assert f"{found['mailbox']['address']}: store version {found['mailbox']['version']}" in shown


def test_whose_mailbox_is_none_here_is_a_mistake(here):
    assert "has no mailbox here" in here.run("policy", "eve@example.net", status=2).stderr


def test_a_configuration_with_contradictions_is_told_by_its_keys(here):
    here.config.write_text(CONFIG + "[[policy.site]]\nname = 'bonn'\n")
    for command in (["policy"], ["explain", "alice@example.org"]):
        assert "policy.site[2].name = 'bonn': is no [[archiving.site]]" in here.run(*command, status=2).stderr
