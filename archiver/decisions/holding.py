"""What a legal hold covers: its query, and whether a conversation answers to it (pure).

    query   group OR group …          any of them
    group   term term …               all of them
    term    after:DATE  before:DATE  with:ADDRESS  kind:KIND  word  beginning*  "a phrase"

Holds no store and no clock. Where something can't be told, it is covered: a hold errs on the side of keeping.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from html import unescape
from typing import Any, NamedTuple, NoReturn, get_args

import msgspec
from msgspec import Struct

from archiver.addresses import normal
from archiver.events import Captured, Kind, kinds_of, microseconds, named
from archiver.exceptions import UsageError
from archiver.types import Hold

Whose = Callable[[str, str], str | None]
"""The mailbox of an address of a source, or None."""

MOST_KEYWORDS = 500
"""With more words than this in all its holds together, everything in a mailbox is held, as in the original."""
LONGEST = 16_384

_SYNTAX = 'write words, "phrases", after:2024-01-31, before:2024-02-29, with:ADDRESS, kind:im; OR between alternatives'


class Group(Struct, frozen=True):
    """What must all be true at once. `people` are normal addresses, `words` are patterns of text as `folded`."""

    after: int | None = None
    before: int | None = None
    people: tuple[str, ...] = ()
    kind: Kind | None = None
    words: tuple[str, ...] = ()


class Query(Struct, frozen=True):
    """Any group will do; without groups it is everything. `keywords` is how many words it asks for."""

    groups: tuple[Group, ...] = ()
    keywords: int = 0


class Facts(Struct, frozen=True):
    """What queries ask of a conversation or an item.

    `kinds` are all that its events claim, `people` are normal addresses and mailboxes, `said` is all text as `folded`.
    """

    started: int
    ended: int
    kinds: frozenset[Kind]
    people: frozenset[str]
    said: str


# --- asking ------------------------------------------------------------------------------------------------------


def standing(holds: Iterable[Hold]) -> tuple[Hold, ...]:
    """Those on record and not released. Asks no clock: one that jumps back neither lifts a hold nor brings it back."""
    return tuple(hold for hold in holds if hold.released is None)


def covering(holds: Sequence[Hold], look: Callable[[], Facts | None]) -> tuple[Hold, ...]:
    """Those of the standing holds of one mailbox that cover something; it is looked at once, where any must know.

    Of what `look` can tell nothing, all do.
    """
    if is_all(holds):
        return tuple(holds)
    queries = [_read(hold) for hold in holds]
    facts = look() if any(query.groups for query in queries) else None
    return tuple(hold for hold, query in zip(holds, queries, strict=True) if facts is None or covers(query, facts))


def may_cover(holds: Sequence[Hold], started: int | None, ended: int) -> bool:
    """Whether one of the standing holds may cover something of which only its time is known (None: not even that)."""
    return bool(holds) and (is_all(holds) or any(_may_cover(_read(hold), started, ended) for hold in holds))


def _may_cover(query: Query, started: int | None, ended: int) -> bool:
    return not query.groups or any(
        (group.after is None or ended >= group.after)
        and (group.before is None or started is None or started < group.before)
        for group in query.groups
    )


def is_all(holds: Iterable[Hold]) -> bool:
    """Whether so many words are asked for that everything is held."""
    return sum(_read(hold).keywords for hold in holds) > MOST_KEYWORDS


def _read(hold: Hold) -> Query:
    try:
        return parse(hold.query)
    except UsageError:  # it was accepted by another version: what it meant can't be told
        return Query()


def covers(query: Query, facts: Facts) -> bool:
    return not query.groups or any(_answers(group, facts) for group in query.groups)


def _answers(group: Group, facts: Facts) -> bool:
    """A conversation that any part of is in the time is in it."""
    return (
        (group.after is None or facts.ended >= group.after)
        and (group.before is None or facts.started < group.before)
        and (group.kind is None or group.kind in facts.kinds)
        and facts.people.issuperset(group.people)
        and all(_pattern(word).search(facts.said) for word in group.words)
    )


def facts_of(events: Iterable[Captured], whose: Whose, others: Iterable[str] = ()) -> Facts | None:
    """The facts of a conversation from its events; `others` are addresses of who was there besides. None: no events.

    Somebody is meant by the address that the source has, and by that of the mailbox it leads to (`whose`). Every text
    of an event counts, also what its type doesn't know: names, topics, files, answers of polls.
    """
    found = list(events)
    if not found:
        return None
    source = found[0].event.source
    people = {address for captured in found for address in named(captured.event)} | set(others)
    said = [text for captured in found for text in _texts(msgspec.json.decode(captured.body).get("data"))]
    return Facts(
        min(captured.time for captured in found),
        max(captured.time for captured in found),
        kinds_of(found),
        frozenset(name for each in people for name in (normal(source, each), whose(source, each)) if name),
        folded("\0".join(said)),  # no phrase goes from one text to the next
    )


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for key, each in value.items():
                yield from _read_html(each) if key == "html" and isinstance(each, str) else _texts(each)
        case list():
            for each in value:
                yield from _texts(each)


_MARKUP = re.compile(r"<[^>]*>")


def _read_html(text: str) -> Iterator[str]:
    """As it looks: a tag parts two words or stands within one, and a letter may be written as its number."""
    yield from (unescape(_MARKUP.sub(between, text)) for between in (" ", ""))


# --- text --------------------------------------------------------------------------------------------------------

# Written without spaces between words, or with endings joined to them: Thai to Burmese, Khmer, kana, Hangul, Han.
_UNSPACED = (
    "\u0e00-\u109f\u1780-\u17ff\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_LETTER = f"[^\\W{_UNSPACED}]"


def folded(text: str) -> str:
    """As words are compared: any case, width and composition; without what is unseen within a word."""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return plain if plain.isascii() else "".join(c for c in plain if unicodedata.category(c) != "Cf")


@lru_cache(maxsize=4_096)
def _pattern(word: str) -> re.Pattern[str]:
    begins = word.endswith("*")
    bare = word.removesuffix("*") if begins else word
    inner = r"\s+".join(map(re.escape, bare.split()))
    before = f"(?<!{_LETTER})" if re.match(_LETTER, bare) else ""
    behind = f"(?!{_LETTER})" if not begins and re.match(_LETTER, bare[-1]) else ""
    return re.compile(before + inner + behind)


# --- reading a query ---------------------------------------------------------------------------------------------


class _Token(NamedTuple):
    position: int
    text: str
    quoted: bool


_QUOTES = str.maketrans("“”„‟«»", '""""""')
_PIECE = re.compile(r'\s*(?:"(?P<phrase>[^"]*)"|(?P<open>")|(?P<word>[^\s"]+))')
_FIELD = re.compile(r"(?P<name>[^\W\d_]+):(?P<value>.*)")
_OPERATORS = {"AND": "all terms side by side must be true anyway", "NOT": "a hold says what it keeps", "NEAR": ""}


@lru_cache(maxsize=1_024)
def parse(text: str) -> Query:
    """Raises `UsageError` that names the character where it can't be understood."""
    if len(text) > LONGEST:
        _refuse(LONGEST, f"a query has at most {LONGEST:,} characters; place several holds")
    groups: list[Group] = []
    here: dict[str, Any] = {}
    alone: _Token | None = None  # the OR that still lacks what follows it
    for token in _tokens(text.translate(_QUOTES)):
        if token.text == "OR" and not token.quoted:
            if not here:
                _refuse(token.position, "OR stands between alternatives, and nothing stands before it")
            groups.append(_group(here))
            here, alone = {}, token
        else:
            _take(here, token)
            alone = None
    if alone is not None:
        _refuse(alone.position, "OR stands between alternatives, and nothing stands behind it")
    if here:
        groups.append(_group(here))
    return Query(tuple(groups), sum(len(word.split()) for group in groups for word in group.words))


def _tokens(text: str) -> Iterator[_Token]:
    for found in _PIECE.finditer(text):
        kind = found.lastgroup
        if kind == "open":
            _refuse(found.start("open"), "this quotation mark has no second one")
        if kind is not None:
            at = found.start(kind) - (kind == "phrase")
            yield _Token(at, found[kind], kind == "phrase")


def _take(here: dict[str, Any], token: _Token) -> None:
    field = None if token.quoted else _FIELD.fullmatch(token.text)
    if field is None:
        here.setdefault("words", []).append(_word(token))
        return
    name, value = field["name"].lower(), field["value"]
    if name not in _FIELDS:
        known = ", ".join(f"{each}:" for each in _FIELDS)
        _refuse(token.position, f"{name}: is not known here (known: {known}); quote it if it is text")
    if name == "with":
        here.setdefault("people", []).append(_person(token, value))
    elif name in here:
        _refuse(token.position, f"{name}: stands twice, and both must be true; put OR between alternatives")
    else:
        here[name] = _FIELDS[name](token, value)
        _require_some_time(here, token)


def _require_some_time(here: dict[str, Any], token: _Token) -> None:
    after, before = here.get("after"), here.get("before")
    if after is not None and before is not None and after >= before:
        _refuse(token.position, "nothing is before and after these dates at once")


def _group(here: dict[str, Any]) -> Group:
    return msgspec.convert(here, Group)


def _word(token: _Token) -> str:
    text = token.text
    if not token.quoted:
        if text in _OPERATORS:
            why = _OPERATORS[text]
            _refuse(token.position, f"{text} is not offered{': ' + why if why else ''}; quote it if it is a word")
        if operator := re.match(r"[()-]", text) or re.search(r"[()]$", text):
            _refuse(token.position + operator.start(), f"{operator[0]} is not offered; quote it if it is text")
    word = folded(text)
    if not re.search(r"\w", word):
        _refuse(token.position, "there is no word in it to look for")
    return word if not token.quoted else word.rstrip("*")


def _person(token: _Token, value: str) -> str:
    address = normal("", value)
    if address is None:
        _refuse(token.position, f"{value!r} is not an address; write with:alice@example.org")
    return address


def _kind(token: _Token, value: str) -> str:
    kinds = get_args(Kind)
    if value.lower() not in kinds:
        _refuse(token.position, f"{value!r} is no kind; there are {', '.join(kinds)}")
    return value.lower()


def _date(token: _Token, value: str) -> int:
    found = date_of(value)
    if found is None:
        _refuse(token.position, f"{value!r} is not a date; write 2024-01-31 or 2024-01-31T09:30+01:00")
    return found


def date_of(text: str) -> int | None:
    """A day begins at midnight UTC. None: it isn't a date."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if not re.match(r"\d{4}-\d\d-\d\d", text):
        return None
    return microseconds(found if found.tzinfo else found.replace(tzinfo=UTC))


_FIELDS: dict[str, Callable[[_Token, str], Any]] = {
    "after": _date,
    "before": _date,
    "with": _person,
    "kind": _kind,
}


def _refuse(position: int, why: str) -> NoReturn:
    raise UsageError(f"the query can't be understood at character {position + 1}: {why}", hint=_SYNTAX)
