"""What a search has to find, by looking at everything: no index, no pairs of characters, no SQL.

A text is a row of pieces: words, symbols, single characters of scripts without spaces. A phrase stands in it where its
pieces do, one after the other, and nothing stands between characters but where something does in the phrase too.
"""

from __future__ import annotations

from archiver.search.document import Document
from archiver.search.query import And, Field, HasFile, Not, OfKind, Or, Part, Since, Until, Words
from archiver.search.words import LONGEST, Sort, Unit, units

_FIELDS = {
    Field.ANY: ("subject", "people", "said", "files"),
    Field.FROM: ("authors",),
    Field.WITH: ("people",),
    Field.IN: ("room",),
    Field.SUBJECT: ("subject",),
    Field.TEXT: ("said",),
    Field.FILE: ("files",),
}


def finds(part: Part, document: Document) -> bool:
    match part:
        case Words(field=field, text=text, sought=sought):
            looked_in = (getattr(document.texts, name) for name in _FIELDS[field])
            return any(stands(text, each, begun=sought.prefix) for each in looked_in)
        case Since(time=time):
            return document.last >= time
        case Until(time=time):
            return document.first < time
        case OfKind(kind=kind):
            return document.kind == kind
        case HasFile():
            return document.has_file
        case Not(part=denied):
            return not finds(denied, document)
        case And(parts=parts):
            return all(finds(each, document) for each in parts)
        case Or(parts=parts):
            return any(finds(each, document) for each in parts)
    raise AssertionError(part)


def stands(phrase: str, text: str, *, begun: bool) -> bool:
    wanted, there = list(units(phrase)), list(units(text))
    return any(_stands_at(wanted, there[at:], begun=begun) for at in range(len(there)))


def _stands_at(wanted: list[Unit], there: list[Unit], *, begun: bool) -> bool:
    if len(there) < len(wanted):
        return False
    for at, (one, other) in enumerate(zip(wanted, there, strict=False)):
        is_last = at == len(wanted) - 1
        if at and one.joined != other.joined:
            return False
        if is_last and begun and one.sort is Sort.WORD:
            if not other.text.startswith(one.text):
                return False
        elif one.text[:LONGEST] != other.text:
            return False
    return True
