"""Retention: which items may go, by hold, label and policy, and at which hour. Pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from archiver import config as configuration
from archiver.assembly import retention_of
from archiver.decisions.retention import DAY, Aged, Label, Rule, Rules, Verdict, hours_due, judge
from archiver.events import SECOND
from archiver.exceptions import ConfigError
from archiver.types import Destination, Hold

NOW = 20_000 * DAY
ALICE = "alice@example.org"
HISTORY, ARCHIVE = Destination.HISTORY, Destination.ARCHIVE
LABELS = (Label("keep", None), Label("long", 1000), Label("short", 5))
RULES = Rules((Rule(ALICE, HISTORY, 30), Rule("*@example.org", HISTORY, 90), Rule("*", ARCHIVE, 365, 4)), LABELS)


def aged(days: float, *labels: str) -> Aged:
    ended = NOW - round(days * DAY)
    return Aged(ended, ended - SECOND, frozenset(labels))


def rule(days: int | None) -> Rule | None:
    return None if days is None else Rule("*", HISTORY, days)


def hold(query: str = "", released: int | None = None) -> Hold:
    return Hold(1, ALICE, "counsel", "case", NOW - DAY, released, query)


@pytest.mark.parametrize(
    ("item", "days", "holds", "verdict"),
    [
        pytest.param(aged(31), 30, [], Verdict.GOES, id="policy: older"),
        pytest.param(aged(30), 30, [], Verdict.STAYS, id="policy: on the day itself"),
        pytest.param(aged(9_999), None, [], Verdict.STAYS, id="policy: says nothing"),
        pytest.param(aged(9_999, "short"), None, [], Verdict.STAYS, id="label without policy"),
        pytest.param(aged(31, "keep"), 30, [], Verdict.LABELLED, id="label: for good"),
        pytest.param(aged(31, "long"), 30, [], Verdict.LABELLED, id="label: longer"),
        pytest.param(aged(1001, "long"), 30, [], Verdict.GOES, id="label: longer, and over"),
        pytest.param(aged(6, "short"), 30, [], Verdict.GOES, id="label: shorter"),
        pytest.param(aged(31, "short", "long"), 30, [], Verdict.LABELLED, id="labels: the longest"),
        pytest.param(aged(31, "other"), 30, [], Verdict.GOES, id="label: none of ours"),
        pytest.param(aged(31), 30, [hold()], Verdict.HELD, id="hold before policy"),
        pytest.param(aged(6, "short"), 30, [hold()], Verdict.HELD, id="hold before label"),
        pytest.param(aged(31), 30, [hold("merger")], Verdict.HELD, id="hold: only the item could tell"),
        pytest.param(aged(31), 30, [hold("kind:im merger")], Verdict.HELD, id="hold: of whichever kind"),
        pytest.param(aged(31), 30, [hold("after:2024-01-01")], Verdict.HELD, id="hold: of its time"),
        pytest.param(aged(31), 30, [hold("before:2020-01-01 merger")], Verdict.GOES, id="hold: of another time"),
        pytest.param(aged(31), 30, [hold("before:2020-01-01 OR merger")], Verdict.HELD, id="hold: an alternative"),
    ],
)
def test_hold_goes_before_label_and_label_before_policy(item, days, holds, verdict):
    assert judge(item, rule(days), RULES, holds, NOW) is verdict


def test_the_first_rule_that_fits_is_a_mailboxs():
    alices, others, archives = RULES.rules
    assert RULES.rule(ALICE, HISTORY) == alices
    assert RULES.rule("bob@example.org", HISTORY) == others
    assert RULES.rule("bob@example.net", HISTORY) is None
    assert RULES.rule(ALICE, ARCHIVE, frozenset({2})) is None
    assert RULES.rule(ALICE, ARCHIVE, frozenset({4})) == archives


@given(
    st.floats(0, 3000),
    st.sets(st.sampled_from(["keep", "long", "short", "other"])),
    st.one_of(st.none(), st.integers(1, 2000)),
    st.sampled_from(["", "merger", "kind:im", "after:2024-01-01", "before:2000-01-01"]),
)
def test_a_hold_only_ever_keeps_and_time_only_ever_frees(age, labels, days, query):
    item, later = aged(age, *labels), aged(age + 1, *labels)
    free = judge(item, rule(days), RULES, [], NOW)
    held = judge(item, rule(days), RULES, [hold(query)], NOW)
    assert held is free or (free is Verdict.GOES and held is Verdict.HELD)
    assert free is not Verdict.GOES or judge(later, rule(days), RULES, [], NOW) is Verdict.GOES


@pytest.mark.parametrize(
    ("last", "now", "hours"),
    [
        (None, 5.5, {5}),
        (5.1, 5.9, set()),
        (5.9, 6.0, {6}),
        (5.9, 8.2, {6, 7, 8}),
        (22.5, 25.5, {23, 0, 1}),
        (1.0, 100.0, set(range(24))),
        (9.0, 5.0, set()),
        (29.1, 5.5, set()),
        (10_000.0, 5.5, {5}),
    ],
)
def test_hours_that_passed_while_nobody_ran_are_due_too(last, now, hours):
    hour = DAY // 24
    begin = None if last is None else round((480_000 + last) * hour)
    assert hours_due(begin, round((480_000 + now) * hour)) == hours


def test_brackets_in_a_pattern_are_an_addresss_own():
    """As everywhere else in the configuration, and unlike in a shell: * and ? alone stand for others."""
    rules = Rules((Rule("team[ab]?@*", HISTORY, 30),))
    assert rules.rule("team[ab]1@example.org", HISTORY) is not None
    assert rules.rule("teama1@example.org", HISTORY) is None


@pytest.mark.parametrize(
    ("days", "exported", "holds", "verdict"),
    [
        pytest.param(31, True, [], Verdict.GOES, id="old and exported"),
        pytest.param(31, False, [], Verdict.UNEXPORTED, id="old, not exported"),
        pytest.param(29, True, [], Verdict.STAYS, id="exported, not old"),
        pytest.param(29, False, [], Verdict.STAYS, id="neither"),
        pytest.param(31, True, [hold()], Verdict.HELD, id="under a hold all the same"),
        pytest.param(31, False, [hold()], Verdict.HELD, id="a hold first"),
    ],
)
def test_only_what_was_exported_goes_where_the_rule_says_so(days, exported, holds, verdict):
    """PurgeExportedArchivesOnly as the operations page has it: old and exported [L-PURGE]."""
    item = structs.replace(aged(days), exported=exported)
    assert judge(item, Rule("*", HISTORY, 30, exported_only=True), RULES, holds, NOW) is verdict


def test_what_never_goes_is_not_looked_for():
    assert Rules(labels=LABELS).youngest(NOW) is None
    assert RULES.youngest(NOW) == NOW - 5 * DAY


def test_the_configuration_gives_the_rules():
    config = configuration.parse(
        {
            "retention": [
                {"mailbox": ALICE, "folder": "history", "days": 30, "exported_only": True},
                {"folder": "archive", "days": 365},
            ],
            "retention_label": [{"keyword": "Keep", "days": 0}],
        }
    )
    rules = retention_of(config)
    assert rules.rules == (Rule(ALICE, HISTORY, 30, exported_only=True), Rule("*", ARCHIVE, 365))
    assert rules.labels == (Label("Keep", None),)


def test_what_is_wrong_is_named_by_its_key():
    with pytest.raises(ConfigError) as raised:
        configuration.parse(
            {
                "retention": [
                    {"folder": "history", "days": 30},
                    {"mailbox": ALICE, "folder": "history", "days": 90},
                    {"folder": "inbox", "days": 0, "hour": 24},
                ],
                "retention_label": [{"keyword": "two words", "days": 1}],
            }
        )
    keys = " ".join(raised.value.problems)
    for key in ("retention[3].folder", "retention[3].days", "retention[3].hour", "retention_label[1].keyword"):
        assert key in keys
    with pytest.raises(ConfigError, match=r"retention\[2\]\.mailbox"):
        configuration.parse(
            {"retention": [{"folder": "history", "days": 30}, {"mailbox": ALICE, "folder": "history", "days": 90}]}
        )
