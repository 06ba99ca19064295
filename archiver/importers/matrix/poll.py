"""Polls of Matrix: what is asked, and what was answered. In the words of MSC3381, as clients send them, and as agreed.

Source: matrix-spec-proposals, MSC3381 (polls) and MSC1767 (texts that events carry). An answer names options by ids of
its poll: what they stand for is known only with that.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from archiver.importers.matrix.event import Line, inner, text

_CLIENTS = "org.matrix.msc3381.poll"
OPENED = frozenset(("m.poll.start", f"{_CLIENTS}.start"))
VOTED = frozenset(("m.poll.response", f"{_CLIENTS}.response"))
CLOSED = frozenset(("m.poll.end", f"{_CLIENTS}.end"))
MOST = 20
"""Answers that a poll may have; what is beyond isn't one of them."""


class Question(Struct, frozen=True):
    """`options` are texts by id, in order. Where it isn't `disclosed`, who answers is nobody's to know."""

    text: str
    options: dict[str, str]
    disclosed: bool = True


def question_of(line: Line) -> Question | None:
    """What a poll asks; None where it is none (any more)."""
    if line.type not in OPENED or line.replaced:
        return None
    content = inner(line.content, "m.poll") or inner(line.content, f"{_CLIENTS}.start")
    answers = content.get("answers")
    options: dict[str, str] = {}
    for each in answers[:MOST] if isinstance(answers, list) else ():
        if identity := text(each, "m.id") or text(each, "id"):
            options.setdefault(identity, _told(each) or identity)
    if not options:
        return None
    asked = _told(inner(content, "question")) or text(inner(content, "question"), "body")
    return Question(asked, options, not text(content, "kind").endswith("undisclosed"))


def chosen(line: Line, question: Question | None) -> tuple[str, ...]:
    """The texts of what an answer chooses; their ids, where what was asked isn't known."""
    given = (line.content or {}).get("m.selections")
    if not isinstance(given, list):
        given = inner(line.content, f"{_CLIENTS}.response").get("answers")
    ids = [each for each in given[:MOST] if isinstance(each, str)] if isinstance(given, list) else []
    if question is None:
        return tuple(ids)
    return tuple(question.options[each] for each in ids if each in question.options)


def tally_of(line: Line, question: Question | None) -> dict[str, int] | None:
    """How often each was chosen, where the end of a poll says so."""
    results = inner(line.content, "m.poll.results")
    options = question.options if question is not None else {}
    found = {options.get(key, key): count for key, count in results.items() if _is_count(count)}
    return found or None


def _told(content: Any) -> str:
    """The plain text of what carries one: a list of its forms, or as clients write it."""
    forms = content.get("m.text") if isinstance(content, dict) else None
    for each in forms if isinstance(forms, list) else ():
        if text(each, "mimetype") in ("", "text/plain") and text(each, "body"):
            return text(each, "body")
    return text(content, "org.matrix.msc1767.text")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
