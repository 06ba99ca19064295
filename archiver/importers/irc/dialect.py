"""How each kind of IRC log writes its lines, as tables: a stamp, then marks that tell speech from system sentences.

A dialect is a stamp (named groups of date and time), marks tried in order on what follows, and whether `===` lines come
without a time. Sentences of the system ("x has joined #c") are shared by all. Adding a client is adding a row.
"""

from __future__ import annotations

import re
from typing import NamedTuple

SAID, ACTED, NOTICED, SYSTEM, NOTE = "said", "acted", "noticed", "system", "note"
JOINED, LEFT, KICKED, RENAMED, TOPIC, OPENED, IGNORED = (
    "joined",
    "left",
    "kicked",
    "renamed",
    "topic",
    "opened",
    "ignored",
)


class Rule(NamedTuple):
    kind: str
    pattern: re.Pattern[str]


class Dialect(NamedTuple):
    name: str
    stamp: re.Pattern[str]
    marks: tuple[Rule, ...]
    untimed: re.Pattern[str] | None = None
    """The stamp of lines that carry no time of day: they share their predecessor's."""


class Line(NamedTuple):
    """One parsed line. `stamp` is the text of date and time as written, equal for equal times."""

    kind: str
    when: dict[str, str]
    stamp: str
    found: dict[str, str]


def _rules(*rows: tuple[str, str]) -> tuple[Rule, ...]:
    return tuple(Rule(kind, re.compile(pattern)) for kind, pattern in rows)


_DATE = r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d))?"
# Ubuntu's logger of 2005 to 2007 wrote a blank after every `]` of a nick: "g[r] eek" is g[r]eek.
_NAME = r"(?:[^\s<>\]]|\] ?)+?"
_NICK = rf"(?P<nick>{_NAME})"
_SPOKEN = (SAID, rf"<[@+%&~ ]?{_NICK}> ?(?P<text>.*)")
_NOTICE = (NOTICED, r"-(?P<nick>[^\s:-][^\s:]*?)(?::(?P<channel>[^\s-]+))?- (?P<text>.*)")
_ACTION = (ACTED, r" ?\* (?P<nick>\S+) ?(?P<text>.*)")
# `=== nick does something` is how the earliest #ubuntu logs write an action: what is no sentence of the system.
_BARE_ACTION = re.compile(r"(?P<nick>[^\s.#](?:[^\s<>/\]]|\] ?)*) (?P<text>.*)")

DIALECTS = (
    # Ubuntu's own (`=== ` without a time), energymech, eggdrop, ZNC: all `[HH:MM(:SS)]`.
    Dialect(
        "bracketed",
        re.compile(rf"\[(?P<stamp>{_CLOCK})\] "),
        _rules(_SPOKEN, (SYSTEM, r"\*\*\* (?P<text>.*)"), _ACTION, _NOTICE, (SYSTEM, r"(?:--- )?(?P<text>[^<*-].*)")),
        re.compile(r"(?P<stamp>)=== "),
    ),
    Dialect(
        "channel and date",
        re.compile(rf"(?P<place>\S+) (?P<stamp>{_DATE} \[{_CLOCK}\]) "),
        _rules(_SPOKEN, _ACTION, _NOTICE),
        re.compile(rf"(?P<place>\S+) (?P<stamp>{_DATE}) === "),
    ),
    # supybot, irclog2html.
    Dialect(
        "ISO time",
        re.compile(rf"(?P<stamp>{_DATE}T{_CLOCK}) {{1,2}}"),
        _rules(_SPOKEN, (SYSTEM, r"\*\*\* (?P<text>.*)"), _ACTION, _NOTICE),
    ),
    Dialect(
        "dircproxy",
        re.compile(rf"\[(?P<stamp>(?P<day>\d\d) (?P<monthname>[A-Z][a-z]{{2}}) {_CLOCK})\] "),
        _rules(
            # `+` or `-` before the text is the identify mark of the network, not the text's.
            (SAID, r"<(?P<nick>[^\s!<>]+)(?:![^\s>]*)?> [+-]?(?P<text>.*)"),
            (SYSTEM, r"\*\*\* (?P<text>.*)"),
            (SYSTEM, r"(?P<text>(?:-->|<--) .*)"),
            _ACTION,
            (NOTICED, r"-(?P<nick>[^\s!-]+)(?:!\S*)?- (?P<text>.*)"),
        ),
    ),
    Dialect(
        "weechat",
        re.compile(rf"(?P<stamp>{_DATE} {_CLOCK})\t"),
        _rules(
            (SYSTEM, r"(?:-->|<--|--|=!=)\t(?P<text>.*)"),
            (ACTED, r" \*\t(?P<nick>\S+) ?(?P<text>.*)"),
            (SAID, r"[@+%&~]?(?P<nick>[^\s\t]+)\t(?P<text>.*)"),
        ),
    ),
    Dialect(
        "irssi",
        re.compile(rf"(?P<stamp>{_CLOCK}) "),
        _rules(_SPOKEN, (SYSTEM, r"-!- (?P<text>.*)"), _ACTION, _NOTICE),
        re.compile(r"(?P<stamp>)--- "),
    ),
)

# With the host behind it in whatever brackets; weechat may put the real name between.
_HOST = r"(?: +\([^()]{1,100}\))? +\([^\s()]*\)| +\[(?:[^\s\]]|\] ?)*\]| +<[^\s<>]*>"
_WHO = rf"(?P<nick>{_NAME})(?:{_HOST})?"
_REASON = r"(?: +[\[(](?P<reason>.*?)[\])]?)?"
_CHANNEL = r"(?P<channel>[#&+!]\S*?)"

SENTENCES = _rules(
    (JOINED, rf"(?:--> )?{_WHO} +has joined +(?:channel )?{_CHANNEL}"),
    (LEFT, rf"(?:<-- )?{_WHO} +has left +(?:channel )?{_CHANNEL}{_REASON}"),
    (IGNORED, r"You(?: are|'re) now known as .*"),
    (RENAMED, rf"{_NICK} ?(?:is|are) now known as (?P<other>{_NAME})"),
    (LEFT, rf"(?:<-- )?{_WHO} +has quit(?: IRC)?{_REASON}"),
    (TOPIC, r"\.\.\[topic/(?P<channel>[^:\]]+):(?P<nick>[^\]]+)\] : (?P<text>.*)"),
    (TOPIC, rf"(?P<nick>\S+) (?:\([^\s()]*\) )?(?:has )?change[sd] (?:the )?topic(?: (?:of|for|on) {_CHANNEL})?"
     r"(?: from .*?)? to:? *[\"']?(?P<text>.*?)[\"']?"),
    (KICKED, rf"(?P<other>\S+) (?:was|has been) kicked(?: (?:off|from|out of) {_CHANNEL})? by (?P<nick>\S+){_REASON}"),
    (KICKED, rf"(?:<-- )?(?P<nick>\S+) has kicked (?P<other>\S+){_REASON}"),
    (KICKED, rf"(?P<other>\S+) kicked from {_CHANNEL} by (?P<nick>[^\s:]+): ?(?P<reason>.*)"),
    (NOTICED, r"Notice\((?P<nick>[^\s()]+)\)(?: -> \S+)?: (?P<text>.*)"),
    (JOINED, r"Joins: (?P<nick>\S+)(?: \(.*\))?"),
    (LEFT, rf"(?:Parts|Quits): (?P<nick>\S+)(?: \([^)]*\))?{_REASON}"),
    (JOINED, rf"(?P<nick>\S+) \([^\s)]*\) joined {_CHANNEL}\.?"),
    (LEFT, rf"(?P<nick>\S+) \([^\s)]*\) left {_CHANNEL} \((?P<reason>.*)\)\."),
    (LEFT, rf"(?P<nick>\S+) \([^\s)]*\) left {_CHANNEL}\.?{_REASON}"),
    (LEFT, r"(?P<nick>\S+) \([^\s)]*\) got (?:lost in the )?(?P<reason>net-?split)\."),
    (JOINED, rf"(?P<nick>\S+) \([^\s)]*\) returned to {_CHANNEL}\."),
    (LEFT, r"(?P<nick>\S+) \([^\s)]*\) left (?:irc|[#&+!]\S*?)\.?: ?(?P<reason>.*)"),
    (RENAMED, r"Nick change: (?P<nick>\S+) -> (?P<other>\S+)"),
    (TOPIC, rf"Topic changed on {_CHANNEL} by (?P<nick>[^\s!]+)(?:!\S+)?: (?P<text>.*)"),
    (ACTED, r"Action: (?P<nick>\S+) ?(?P<text>.*)"),
    (OPENED, r"(?:Log opened|Day changed) (?P<text>.*)"),
    (OPENED, r"(?P<text>[A-Z][a-z]{2} [A-Z][a-z]{2} +\d{1,2} \d{4})"),
    (IGNORED, r"(?i)(?:mode[/ ]|server ?mode|Log closed|You (?:dis)?connected|You have|now talking).*"),
    (IGNORED, rf"(?i)(?:Topic|Channel|Created|Netsplit|Irssi:|{_CHANNEL}:?) .*"),
    (IGNORED, r"\S+ sets mode:? .*"),
)  # fmt: skip


def parse(dialect: Dialect, text: str) -> Line | None:
    """The line in this dialect; None where it is none of its lines."""
    stamp = dialect.stamp.match(text)
    if stamp is not None:
        rest = text[stamp.end() :]
        for kind, pattern in dialect.marks:
            match = pattern.fullmatch(rest)
            if match is not None:
                if kind == SYSTEM:
                    return _sentence(match["text"], stamp)
                return Line(kind, stamp.groupdict(), stamp["stamp"], match.groupdict())
        return None
    if dialect.untimed is None or (stamp := dialect.untimed.match(text)) is None:
        return None
    return _sentence(text[stamp.end() :], stamp, dialect.name != "irssi")


LONGEST = 2048
"""Characters of a system sentence: the patterns are quadratic in the worst case, and no server says so much."""


def _sentence(text: str, stamp: re.Match[str], actions: bool = False) -> Line:
    """What the system says; with `actions`, a sentence that it never says is somebody's action."""
    text = text.rstrip()
    for kind, pattern in SENTENCES if len(text) <= LONGEST else ():
        match = pattern.fullmatch(text)
        if match is not None:
            return Line(kind, stamp.groupdict(), stamp["stamp"], match.groupdict())
    match = _BARE_ACTION.fullmatch(text) if actions else None
    if match is not None:
        return Line(ACTED, stamp.groupdict(), stamp["stamp"], match.groupdict())
    return Line(IGNORED, stamp.groupdict(), stamp["stamp"], {"text": text})
