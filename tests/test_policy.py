"""Who is archived, where to, and why not: one test a table of the reference, each row a case named by its source."""

from __future__ import annotations

import tomllib
from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st
from msgspec import structs

from archiver.assembly import archiving_of, terms_of
from archiver.config import keys, load, parse
from archiver.config.quantities import last_day
from archiver.decisions import gate, policy
from archiver.decisions.policy import (
    Asked,
    Configuration,
    Policy,
    Pool,
    Rules,
    Site,
    conversation_is_archived,
    decide,
    is_archived,
    is_overdue,
)
from archiver.exceptions import ConfigError
from archiver.types import ArchiveDecision, Archiving, Destination, Finding, Hold, Mailbox

calm = profile(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NONE, LOCAL, MAILBOX, BOTH = Archiving
CAROL = Mailbox("carol@example.org", "15.0.1497.2", "en", "UTC")
NOW = last_day("2026-11-24")
HOUR = 3_600_000_000
HELD = (Hold(12, CAROL.address, "auditor", "case 7", NOW - HOUR),)
ON = Configuration(archive="im+conference", to_mailbox=True)
ALL = Policy(internal=True, external=True)
EVERYTHING = Rules(ON, ALL)
OLD = "14.3.123.4"


def ask(
    rules: Rules = EVERYTHING,
    mailbox: Mailbox = CAROL,
    *,
    kind: Any = "im",
    source: str = "xmpp:chat",
    internal: bool = True,
    holds: tuple[Hold, ...] = (),
    now: int = NOW,
    **own: Any,
) -> ArchiveDecision:
    """`kind` is what all of its events claim, or a set of what they do."""
    kinds = frozenset({kind} if isinstance(kind, str) else kind)
    return decide(Asked(structs.replace(mailbox, **own), source, kinds, internal, holds, now), rules)


def checks(decision: ArchiveDecision) -> list[str]:
    return [finding.check for finding in decision.findings]


def finding(decision: ArchiveDecision, check: str) -> Finding:
    (found,) = (each for each in decision.findings if each.check == check)
    return found


# --- section 1: what is archived ---------------------------------------------------------------------------------

EVENTS = {
    "peer-to-peer-im [L-HOW]": (True, ["message.sent", "message.edited", "message.retracted", "message.reacted"]),
    "multiparty-im [L-HOW]": (True, ["message.sent", "message.edited", "message.retracted"]),
    "uploaded-content [L-HOW]": (True, ["file.shared", "slide.shown"]),
    "uploaded-to-a-group [L-HOW]": (True, ["file.shared", "slide.shown"]),
    "conference-events [L-HOW]": (
        True,
        [
            *("participant.joined", "participant.left", "participant.invited", "participant.renamed"),
            *("conversation.started", "conversation.ended", "conversation.topic.changed", "file.shared"),
        ],
    ),
    "whiteboards-and-polls [L-HOW L-NEWARCH L10-ARCH]": (
        True,
        ["whiteboard.saved", "poll.opened", "poll.voted", "poll.closed"],
    ),
    "peer-to-peer-file-transfer-without-content [L-HOW]": (True, ["file.shared"]),
    "audio-and-video [L-HOW]": (False, ["call.started", "call.ended", "audio.recorded", "video.recorded"]),
    "audio-and-video-of-a-conference [L-HOW]": (False, ["call.started", "speech.transcribed"]),
    "sharing [L-HOW]": (False, ["screen.shared", "screen.unshared"]),
    "sharing-in-a-conference [L-HOW]": (False, ["screen.shared", "screen.unshared"]),
    "annotations [PS-CONFPOL L10-ARCH]": (False, ["annotation.drawn", "annotation"]),
    "call-logs [PS-CLIENTPOL]": (False, ["call.started", "call.ended"]),
    "a-type-nobody-knows": (True, ["hologram.shown"]),
}


@pytest.mark.parametrize(("archived", "types"), EVENTS.values(), ids=EVENTS)
def test_section_1_what_is_archived(archived, types):
    assert {is_archived(each) for each in types} == {archived}


def test_section_1_persistent_chat_rooms_are_left_out_by_a_pool_L_HOW():
    """The contract knows no such kind: the pool of their service has archiving off."""
    pool = Pool("persistent-chat", ("pchat:*",), Configuration("pool persistent-chat", archive="none"))
    rules = Rules(ON, ALL, pools=[pool])
    assert ask(rules, kind="group", source="pchat:rooms").archiving is NONE
    assert ask(rules, kind="group", source="xmpp:rooms").archiving is LOCAL


@pytest.mark.parametrize(
    ("archived", "expected"),
    [
        pytest.param([True, False, False], True, id="one-is-enough [L-REQ]"),
        pytest.param([True, True, True], True, id="all [L-REQ]"),
        pytest.param([False, False], False, id="nobody [PS-ARCHCFG]"),
        pytest.param([], False, id="nobody-has-a-mailbox [PS-ARCHCFG]"),
    ],
)
def test_section_1_the_group_rule(archived, expected):
    rules = Rules(ON, Policy(), users={"b@example.org": Policy("user b@example.org", internal=True)})
    people = ["b@example.org" if each else f"{n}@example.org" for n, each in enumerate(archived)]
    decisions = [ask(rules, structs.replace(CAROL, address=each), kind="group") for each in people]
    assert all(conversation_is_archived(some) is expected for some in permutations(decisions))


# --- 2.1: configuration ------------------------------------------------------------------------------------------

DOCUMENTED = {each.key: each for each in keys()}
FIELDS = {
    "EnableArchiving": ("archive", "none"),
    "EnableExchangeArchiving": ("to_mailbox", False),
    "BlockOnArchiveFailure": ("block_on_failure", False),
    "CachePurgingInterval": ("cache_purge_hours", 24),
    "EnablePurging": ("purge", False),
    "KeepArchivingDataForDays": ("keep_days", 14),
    "PurgeExportedArchivesOnly": ("purge_exported_only", False),
    "PurgeHourOfDay": ("purge_hour", 2),
}
"""ArchiveDuplicateMessages has no key: an identity is accepted once, whatever pools it comes by."""


@pytest.mark.parametrize(("original", "key", "default"), [(o, *f) for o, f in FIELDS.items()], ids=FIELDS)
def test_2_1_every_field_with_its_default_PS_ARCHCFG(original, key, default):
    for table in ("archiving", "archiving.site[]", "archiving.pool[]"):
        assert DOCUMENTED[f"{table}.{key}"].default == default
        assert f"({original})" in DOCUMENTED[f"{table}.{key}"].sentence
    assert getattr(archiving_of(load()).configuration("xmpp:chat"), key) == default


@pytest.mark.parametrize(
    ("key", "least", "most"),
    [
        pytest.param("cache_purge_hours", 4, 168, id="CachePurgingInterval [PS-ARCHCFG]"),
        pytest.param("keep_days", 1, 2562, id="KeepArchivingDataForDays [PS-ARCHCFG]"),
        pytest.param("purge_hour", 0, 23, id="PurgeHourOfDay [PS-ARCHCFG]"),
    ],
)
def test_2_1_bounds(key, least, most):
    for good in (least, most):
        assert getattr(archiving_of(parse({"archiving": {key: good}})).everywhere, key) == good
    for bad in (least - 1, most + 1):
        with pytest.raises(ConfigError, match=f"archiving.{key} = {bad}"):
            parse({"archiving": {key: bad}})


@pytest.mark.parametrize(
    ("archive", "im", "group", "conference"),
    [
        pytest.param("none", NONE, NONE, NONE, id="None [PS-ARCHCFG]"),
        pytest.param("im", LOCAL, LOCAL, NONE, id="ImOnly [PS-ARCHCFG]"),
        pytest.param("im+conference", LOCAL, LOCAL, LOCAL, id="ImAndWebConf [PS-ARCHCFG]"),
    ],
)
def test_2_1_enable_archiving(archive, im, group, conference):
    rules = Rules(Configuration(archive=archive), ALL)
    asked = {kind: ask(rules, kind=kind) for kind in ("im", "group", "conference")}
    assert {kind: each.archiving for kind, each in asked.items()} == {
        "im": im,
        "group": group,
        "conference": conference,
    }
    for decision in asked.values():
        first = decision.findings[0]
        assert (first.check, first.scope, first.allowed) == ("archive", "global", decision.archiving is LOCAL)
        assert f'archive = "{archive}"' in first.reason


def test_2_1_with_none_exchange_archiving_is_ignored_PS_ARCHCFG():
    rules = Rules(Configuration(archive="none", to_mailbox=True), ALL)
    for meant in ("uninitialized", "local", "mailbox", "none"):
        decision = ask(rules, holds=HELD, exchange_archiving=meant)
        assert (decision.archiving, checks(decision)) == (NONE, ["archive"])


@pytest.mark.parametrize(
    ("to_mailbox", "expected"),
    [
        pytest.param(False, LOCAL, id="False-lync-side [PS-ARCHCFG]"),
        pytest.param(True, MAILBOX, id="True-exchange [PS-ARCHCFG]"),
    ],
)
def test_2_1_enable_exchange_archiving(to_mailbox, expected):
    rules = Rules(Configuration(archive="im", to_mailbox=to_mailbox), ALL)
    decision = ask(rules, holds=HELD)
    assert (decision.archiving, decision.allowed) == (expected, True)
    assert finding(decision, "to_mailbox").allowed is to_mailbox


TREE = """
[archiving]
archive = "im"
[[archiving.pool]]
name = "chat1"
sources = ["xmpp:chat1.*", "irc:libera/?"]
archive = "im+conference"
to_mailbox = true
keep_days = 99
[[archiving.pool]]
name = "chat2"
sources = ["xmpp:chat2.*"]
[[archiving.pool]]
name = "alone"
sources = ["xmpp:alone"]
[[archiving.site]]
name = "berlin"
pools = ["chat1", "chat2"]
archive = "none"
purge = true
keep_days = 7
[[archiving.site]]
name = "bonn"
pools = ["alone"]
[policy]
external = true
[[policy.site]]
name = "berlin"
internal = true
[[policy.user]]
address = "carol@example.org"
"""


@pytest.mark.parametrize(
    ("source", "scope", "archive", "keep_days", "purge"),
    [
        pytest.param("xmpp:chat1.x", "pool chat1", "im+conference", 99, False, id="pool-over-site [L-HOW]"),
        pytest.param("irc:libera/x", "pool chat1", "im+conference", 99, False, id="pool-by-another-pattern [L-HOW]"),
        pytest.param("xmpp:chat2.x", "site berlin", "none", 7, True, id="site-over-global [L-HOW]"),
        pytest.param("xmpp:alone", "global", "im", 14, False, id="site-without-keys [L-HOW]"),
        pytest.param("irc:libera/xy", "global", "im", 14, False, id="no-pool [L-HOW]"),
        pytest.param("xmpp:chat1", "global", "im", 14, False, id="not-quite-a-pool [L-HOW]"),
        pytest.param("XMPP:chat1.x", "global", "im", 14, False, id="case-counts [L-HOW]"),
    ],
)
def test_2_1_the_most_specific_scope_wins_whole(source, scope, archive, keep_days, purge):
    found = archiving_of(parse(tomllib.loads(TREE))).configuration(source)
    assert (found.scope, found.archive, found.keep_days, found.purge) == (scope, archive, keep_days, purge)


# --- 2.2: policy -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("internal", "external", "everybody_ours", "expected"),
    [
        pytest.param(False, False, True, NONE, id="defaults-internal [PS-ARCHPOL]"),
        pytest.param(False, False, False, NONE, id="defaults-external [PS-ARCHPOL]"),
        pytest.param(True, False, True, LOCAL, id="ArchiveInternal [PS-ARCHPOL]"),
        pytest.param(True, False, False, NONE, id="ArchiveInternal-somebody-else [PS-ARCHPOL]"),
        pytest.param(False, True, True, NONE, id="ArchiveExternal-only-ours [PS-ARCHPOL]"),
        pytest.param(False, True, False, LOCAL, id="ArchiveExternal [PS-ARCHPOL]"),
        pytest.param(True, True, True, LOCAL, id="both [PS-ARCHPOL]"),
    ],
)
def test_2_2_two_switches(internal, external, everybody_ours, expected):
    decision = ask(Rules(ON, Policy(internal=internal, external=external)), internal=everybody_ours)
    assert decision.archiving is expected
    assert decision.findings[-1].check == "policy" and decision.reason == decision.findings[-1].reason
    assert finding(decision, "policy").allowed is (expected is LOCAL)


@pytest.mark.parametrize(
    ("address", "source", "scope"),
    [
        pytest.param("carol@example.org", "xmpp:chat1.x", "user carol@example.org", id="user-over-site [L-EXPOL]"),
        pytest.param("dan@example.org", "xmpp:chat1.x", "site berlin", id="site-over-global [L-EXPOL]"),
        pytest.param("dan@example.org", "xmpp:alone", "global", id="site-without-policy [L-EXPOL]"),
        pytest.param("dan@example.org", "irc:oftc", "global", id="no-site [L-EXPOL]"),
    ],
)
def test_2_2_the_most_specific_scope_wins_whole(address, source, scope):
    found = archiving_of(parse(tomllib.loads(TREE))).policy(address, source)
    switches = {"user carol@example.org": (False, False), "site berlin": (True, False), "global": (False, True)}
    assert (found.scope, (found.internal, found.external)) == (scope, switches[scope])


@pytest.mark.parametrize(
    ("configuration", "who", "expected"),
    [
        pytest.param(Configuration(), ALL, NONE, id="policy-alone [PS-ARCHPOL L-EXARCH]"),
        pytest.param(ON, Policy(), NONE, id="configuration-alone [PS-ARCHPOL L-EXARCH]"),
        pytest.param(ON, ALL, LOCAL, id="both-steps [PS-ARCHPOL L-EXARCH]"),
    ],
)
def test_2_2_both_steps_are_needed(configuration, who, expected):
    assert ask(Rules(configuration, who)).archiving is expected


@pytest.mark.parametrize("internal", [True, False], ids=["internal [L-REQ S-ARCH]", "external [L-REQ S-ARCH]"])
def test_2_2_for_the_mailbox_it_is_all_or_nothing(internal):
    for who in (Policy(), Policy(internal=True), Policy(external=True)):
        decision = ask(Rules(ON, who), holds=HELD, internal=internal)
        assert decision.archiving is MAILBOX and "policy" not in checks(decision)


# --- 2.3: where one user's archive goes --------------------------------------------------------------------------


@pytest.mark.parametrize("who", [Policy(), ALL], ids=["policy-off", "policy-on"])
@pytest.mark.parametrize(
    ("meant", "held", "expected"),
    [
        pytest.param("uninitialized", True, "mailbox", id="Uninitialized-held [L-EXARCH PS-CSUSER]"),
        pytest.param("uninitialized", False, "policy", id="Uninitialized-no-hold [L-EXARCH PS-CSUSER]"),
        pytest.param("local", True, "policy", id="UseLyncArchivingPolicy-held [L-EXARCH PS-CSUSER]"),
        pytest.param("local", False, "policy", id="UseLyncArchivingPolicy [L-EXARCH PS-CSUSER]"),
        pytest.param("mailbox", True, "mailbox", id="ArchivingToExchange-held [L-EXARCH PS-CSUSER]"),
        pytest.param("mailbox", False, "mailbox", id="ArchivingToExchange [L-EXARCH PS-CSUSER]"),
        pytest.param("none", True, "none", id="NoArchiving-held [L-EXARCH PS-CSUSER]"),
        pytest.param("none", False, "none", id="NoArchiving [L-EXARCH PS-CSUSER]"),
    ],
)
def test_2_3_exchange_archiving_policy(meant, held, expected, who):
    decision = ask(Rules(ON, who), holds=HELD if held else (), exchange_archiving=meant)
    by_policy = LOCAL if who is ALL else NONE
    assert decision.archiving is {"mailbox": MAILBOX, "none": NONE, "policy": by_policy}[expected]
    assert decision.allowed
    assert checks(decision)[1] == "exchange_archiving", "it is asked first"
    assert ("hold" in checks(decision)) is (meant == "uninitialized"), "the hold only under Uninitialized"


@pytest.mark.parametrize(
    ("version", "held", "expected"),
    [
        pytest.param("15.0.1497.2", True, MAILBOX, id="2013-held [L-HOW L-EXPOL]"),
        pytest.param("15.0.1497.2", False, LOCAL, id="2013-no-hold [L-EXARCH L-HOW]"),
        pytest.param(OLD, True, LOCAL, id="2010-held [L-EXARCH L-HOW]"),
        pytest.param(OLD, False, LOCAL, id="2010-no-hold [L-EXARCH L-HOW]"),
        pytest.param("nonsense", True, LOCAL, id="unknown-version-held [rule 9.2]"),
        pytest.param("", True, LOCAL, id="no-version-held [rule 9.2]"),
    ],
)
def test_2_3_the_gate_in_one_forest(version, held, expected):
    decision = ask(holds=HELD if held else (), version=version)
    assert (decision.archiving, decision.allowed) == (expected, True)


@pytest.mark.parametrize("version", [OLD, "15.20.7452.28", "nonsense", ""], ids=["2010", "Online", "unknown", "none"])
def test_2_3_archiving_to_exchange_on_an_incapable_store_is_withheld(version):
    decision = ask(version=version, exchange_archiving="mailbox")
    assert (decision.archiving, decision.allowed) == (MAILBOX, False)
    assert decision.destinations == (Destination.ARCHIVE,)
    assert decision.reason == finding(decision, "capability").reason and "row 7" in decision.reason
    assert ask(exchange_archiving="mailbox").allowed


def test_2_3_a_pairing_opens_the_archive_of_the_online_store():
    online = {"version": "15.20.7452.28", "exchange_archiving": "mailbox"}
    assert ask(Rules(ON, ALL, pairing="online"), **online).allowed
    assert not ask(Rules(ON, ALL), **online).allowed


def test_2_3_archiving_to_exchange_waits_where_mailboxes_get_no_archives():
    pool = Pool("chat1", ("xmpp:chat",), Configuration("pool chat1", archive="im"))
    decision = ask(Rules(ON, ALL, pools=[pool]), exchange_archiving="mailbox")
    assert (decision.archiving, decision.allowed) == (MAILBOX, False)
    assert decision.reason == "Mailboxes get no archives of their own (to_mailbox = false)."
    assert finding(decision, "to_mailbox").scope == "pool chat1"


def test_2_3_history_and_archive_are_two_switches_L_EXARCH():
    """To keep nothing at all, both must be off."""
    for history in (True, False):
        for archive, expected in (("none", NONE), ("im", LOCAL)):
            raw = {"history": {"enabled": history}, "archiving": {"archive": archive}, "policy": {"internal": True}}
            terms = terms_of(parse(raw))
            assert gate.decide(CAROL, "im", terms.gate).allowed is history
            assert ask(terms.policy).archiving is expected


def test_2_3_capture_starts_only_when_the_hold_exists_E13_ARCHLYNC():
    released = (structs.replace(HELD[0], released=NOW - 1),)
    assert ask(holds=released).archiving is LOCAL
    several = (*released, structs.replace(HELD[0], number=14), structs.replace(HELD[0], number=13))
    for holds in permutations(several):
        decision = ask(holds=holds)
        assert decision.archiving is MAILBOX, "several holds are OR-ed [E13-HOLD]"
        assert finding(decision, "hold").scope == "hold 13"
    assert ask(holds=HELD, now=NOW - 365 * 24 * HOUR).archiving is MAILBOX, "a clock that jumps back lifts no hold"


# --- migration (section 0, rule 9.3) -----------------------------------------------------------------------------

MOVING: dict[str, Any] = {"migration": "migrating", "migration_ends": last_day("2027-03-31")}


@pytest.mark.parametrize(
    ("own", "held", "archiving", "allowed"),
    [
        pytest.param({"version": OLD}, True, LOCAL, True, id="2010-before"),
        pytest.param({"migration": "legacy"}, True, LOCAL, True, id="legacy-whatever-its-store-can"),
        pytest.param({"migration": "legacy", "exchange_archiving": "none"}, True, NONE, True, id="legacy-NoArchiving"),
        pytest.param({**MOVING, "version": OLD}, True, BOTH, False, id="migrating-not-moved-yet"),
        pytest.param(MOVING, True, BOTH, True, id="migrating-held"),
        pytest.param(MOVING, False, BOTH, True, id="migrating-no-hold"),
        pytest.param(
            {**MOVING, "exchange_archiving": "mailbox"}, False, BOTH, True, id="migrating-ArchivingToExchange"
        ),
        pytest.param({**MOVING, "exchange_archiving": "none"}, True, NONE, True, id="migrating-NoArchiving"),
        pytest.param({"migration": "mailbox"}, True, MAILBOX, True, id="moved-held"),
        pytest.param({"migration": "mailbox"}, False, LOCAL, True, id="moved-no-hold"),
    ],
)
def test_migration_states_SEED_L_ESI(own, held, archiving, allowed):
    decision = ask(holds=HELD if held else (), **own)
    assert (decision.archiving, decision.allowed) == (archiving, allowed)
    if archiving is BOTH:
        assert decision.destinations == (Destination.ARCHIVE, Destination.LOCAL)
        assert "ends on 2027-03-31" in finding(decision, "migration").reason


def test_a_mailbox_that_nobody_archives_migrates_without_an_archive():
    assert ask(Rules(ON, Policy()), **MOVING).archiving is NONE
    assert ask(Rules(Configuration(), ALL), **MOVING).archiving is NONE


def test_after_its_end_a_migration_is_overdue_and_goes_on():
    moving, ends = structs.replace(CAROL, **MOVING), MOVING["migration_ends"]
    assert [is_overdue(moving, now) for now in (ends - 1, ends)] == [False, True]
    assert "ends on 2027-03-31" in ask(mailbox=moving, now=ends - 1).reason
    late = ask(mailbox=moving, now=ends)
    assert late.archiving is BOTH and "was to end on 2027-03-31 and is overdue" in late.reason
    assert not is_overdue(structs.replace(moving, migration="mailbox"), ends)


# --- every decision ----------------------------------------------------------------------------------------------


def test_every_finding_names_the_rule_and_the_scope_it_was_set_in():
    rules = archiving_of(parse(tomllib.loads(TREE)))
    decision = ask(rules, holds=HELD, source="xmpp:chat1.x")
    assert [(each.check, each.scope) for each in decision.findings] == [
        ("archive", "pool chat1"),
        ("exchange_archiving", "mailbox"),
        ("hold", "hold 12"),
        ("to_mailbox", "pool chat1"),
        ("capability", "mailbox"),
    ]
    assert decision.reason == "Hold 12 covers it."
    local = ask(rules, source="xmpp:chat1.x", exchange_archiving="local")
    assert [(each.check, each.scope) for each in local.findings][-1] == ("policy", "user carol@example.org")


scopes = st.sampled_from(["global", "site berlin", "pool chat1"])
configurations = st.builds(
    Configuration, scope=scopes, archive=st.sampled_from(["none", "im", "im+conference"]), to_mailbox=st.booleans()
)
policies = st.builds(Policy, scope=scopes, internal=st.booleans(), external=st.booleans())
some_rules = st.builds(
    Rules,
    configurations,
    policies,
    pools=st.just(()) | configurations.map(lambda own: (Pool("chat1", ("xmpp:*",), own),)),
    sites=st.just(())
    | st.builds(lambda c, p: (Site("berlin", ("chat1",), c, p),), st.none() | configurations, policies),
    users=st.just({}) | policies.map(lambda own: {CAROL.address: own}),
    pairing=st.sampled_from(["", "online"]),
)
holds = st.lists(
    st.builds(
        Hold,
        st.integers(1, 9),
        st.just(CAROL.address),
        st.just("a"),
        st.just("b"),
        st.integers(),
        st.none() | st.integers(),
    ),
    max_size=3,
)
mailboxes = st.builds(
    structs.replace,
    st.just(CAROL),
    version=st.sampled_from(["8.3.83.6", OLD, "15.0.516.32", "15.2.2562.17", "15.20.1.1", "", "?"])
    | st.text(max_size=9),
    exchange_archiving=st.sampled_from(["uninitialized", "local", "mailbox", "none"]),
    migration=st.sampled_from(["", "legacy", "migrating", "mailbox"]),
    migration_ends=st.none() | st.integers(0, 2 * NOW),
)
kinds = st.sampled_from(["im", "group", "conference"])


@calm
@given(some_rules, mailboxes, holds, st.sets(kinds, min_size=1), st.sets(kinds))
def test_what_an_event_claims_besides_takes_nothing_from_the_archive(rules, mailbox, held, claimed, besides):
    known = ask(rules, mailbox, kind=claimed, holds=tuple(held))
    assert known.archiving in (NONE, ask(rules, mailbox, kind=claimed | besides, holds=tuple(held)).archiving)


@calm
@given(some_rules, mailboxes, holds, kinds, st.booleans(), st.integers(0, 2 * NOW), st.randoms())
def test_exactly_one_decision_comes_out_whatever_the_order(rules, mailbox, held, kind, internal, now, random):
    decision = ask(rules, mailbox, kind=kind, internal=internal, holds=tuple(held), now=now)
    assert decision.archiving in set(Archiving) and decision.findings and decision.reason.isprintable()
    assert decision.reason in [each.reason for each in decision.findings]
    assert all(each.scope and each.check and each.reason.endswith(".") for each in decision.findings)
    assert len(set(checks(decision))) == len(decision.findings), "every rule is asked once"
    assert decision.allowed or Destination.ARCHIVE in decision.destinations, "only the mailbox's own is withheld"
    assert len(set(decision.destinations)) == len(decision.destinations)
    assert (decision.archiving is BOTH) <= (mailbox.migration == "migrating")
    capable = finding(decision, "capability").allowed if "capability" in checks(decision) else False
    if Destination.ARCHIVE in decision.destinations and decision.allowed:
        assert capable
    policy._decide.cache_clear()
    random.shuffle(held)
    assert ask(rules, mailbox, kind=kind, internal=internal, holds=tuple(held), now=now) == decision
