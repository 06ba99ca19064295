"""Yes or no, and a reason that a person understands."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from archiver.decisions import gate
from archiver.decisions.gate import Feature, Rules, decide
from archiver.types import Finding, Mailbox

calm = profile(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def mailbox(version: str) -> Mailbox:
    return Mailbox("alice@example.org", version, "en", "UTC")


@pytest.mark.parametrize(
    ("version", "im", "group", "conference", "archive"),
    [
        ("6.5.7683", 0, 0, 0, 0),
        ("8.3.517.0", 0, 0, 0, 0),
        ("14.3.513.0", 0, 0, 0, 0),
        ("15.0.1497.2", 1, 1, 1, 1),
        ("15.1.2507.6", 1, 1, 1, 1),
        ("15.2.1748.10", 1, 1, 1, 1),
        ("15.2.2562.17", 1, 1, 1, 1),
        ("15.20.7452.28", 1, 1, 0, 0),
        ("Exchange2016", 1, 1, 0, 0),
        ("15.3.1.1", 0, 0, 0, 0),
        ("nonsense", 0, 0, 0, 0),
        ("", 0, 0, 0, 0),
    ],
)
def test_every_feature_of_every_product(version, im, group, conference, archive):
    answers = [decide(mailbox(version), feature, Rules()).allowed for feature in Feature]
    assert answers == [bool(each) for each in (im, group, conference, archive)]


def test_a_pairing_opens_what_holds_in_a_pairing_only():
    for feature in Feature:
        assert decide(mailbox("15.20.7452.28"), feature, Rules(pairing="online")).allowed
        assert not decide(mailbox("14.3.513.0"), feature, Rules(pairing="online")).allowed


def test_the_reason_quotes_row_product_version_and_source():
    assert decide(mailbox("14.3.123.4"), "conference", Rules()).reason == (
        "Conversation History of a web conference needs row 5 (Conversation and web-conference history kept in "
        "Exchange by the integration): Exchange 2010 SP3 (14.3.123.4) says no [SEED, L-ESI]."
    )
    assert "Exchange 2010 SP3 (14.3.123.4) says no (conflict, 4.5) [S-FEAT18, GH-2756, S-HYBPLAN]." in (
        decide(mailbox("14.3.123.4"), "im", Rules()).reason
    )
    online = decide(mailbox("15.20.7452.28"), "archive", Rules()).reason
    assert (
        "row 7" in online and "Exchange Online (15.20.7452.28) says p (pairing), and [store] pairing is empty" in online
    )
    several = decide(mailbox("Exchange2016"), "conference", Rules()).reason
    assert "may be any of these, and all must say yes: Exchange 2016 (Exchange2016) says yes; Exchange 2019" in several
    yes = decide(mailbox("15.0.1497.2"), "group", Rules())
    assert yes.allowed and "row 6" in yes.reason and "Exchange 2013 CU23 (15.0.1497.2) says yes" in yes.reason


@pytest.mark.parametrize(("version", "said"), [("15.9", "'15.9' of its store is none we know"), ("", "no version")])
def test_an_unknown_version_closes_and_says_how_to_set_it(version, said):
    reason = decide(mailbox(version), "im", Rules()).reason
    assert said in reason and "set [store] version, or the version of its [[mailbox]]" in reason


def test_the_switch_is_history_alone_and_the_first_no_wins():
    off = Rules(history=False)
    for feature in (Feature.IM, Feature.GROUP, Feature.CONFERENCE):
        decision = decide(mailbox("15.0.1497.2"), feature, off)
        assert not decision.allowed and "switched off in [history] enabled" in decision.reason
        assert [(finding.check, finding.allowed) for finding in decision.findings] == [
            ("switch", False),
            ("capability", True),
        ]
    assert decide(mailbox("15.0.1497.2"), "archive", off).allowed
    both = decide(mailbox("14.3.123.4"), "im", off)
    assert "switched off" in both.reason
    assert [finding.allowed for finding in both.findings] == [False, False]


def test_a_further_check_can_say_no(monkeypatch):
    monkeypatch.setattr(gate, "CHECKS", (*gate.CHECKS, lambda question: Finding("policy", False, "Policy says no.")))
    decision = decide(mailbox("15.0.1497.3"), "im", Rules())
    assert not decision.allowed and decision.reason == "Policy says no." and len(decision.findings) == 3
    gate._decide.cache_clear()


def test_an_unknown_feature_is_a_bug():
    with pytest.raises(ValueError):
        decide(mailbox("15.0.1497.2"), "voice", Rules())


@calm
@given(st.text(max_size=40), st.sampled_from(list(Feature)), st.booleans())
def test_any_version_gets_one_line_that_can_be_shown(version, feature, history):
    decision = decide(mailbox(version), feature, Rules(history=history))
    assert decision.reason.isprintable() and decision.reason.endswith(".")
    assert decision.allowed == all(finding.allowed for finding in decision.findings)
