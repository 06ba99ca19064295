"""The one normal form of an address, whatever form a source gives it in.

Holds the text rules only: schemes, resources, Matrix ids, nicks, case, Unicode, A-labels. Pure. Whose mailbox an
address belongs to is the directory's business. What isn't an address after all rules is None, never a guess: two
people must not come out as one.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from urllib.parse import unquote

import idna

LONGEST = 254
"""Octets; RFC 5321, 4.5.3.1.3, with its erratum 1690."""

_SCHEME = re.compile(r"(?:sips?|im|pres|xmpp|mailto):", re.I)
_MATRIX = re.compile(r"@([^@:]+):([^@:]+)")
_PORT = re.compile(r":[0-9]{1,5}$")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_FORBIDDEN = re.compile(r'[\x00-\x20\x7f/:;,<>()"@]')
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"})


def normal(source: str, address: str) -> str | None:
    """The mailbox address that a source's address is by itself, before any map or rewrite.

    >>> normal("xmpp:chat.example.org", "xmpp:Alice@Example.ORG/phone")
    'alice@example.org'
    >>> normal("irc:libera/#ubuntu", "Nick")
    'nick@libera'
    """
    # Longer than any address can be even fully percent-encoded, with a resource and parameters.
    if not address or len(address) > 4096:
        return None
    text = unicodedata.normalize("NFC", address)
    if matrix := _MATRIX.fullmatch(text):
        return _join(matrix[1], matrix[2])
    text = _without_scheme(text)
    head, slash, _ = text.partition("/")
    local, at, rest = head.partition("@")
    if at:
        return _join(local, re.split("[;?]", rest, maxsplit=1)[0])
    # Without @, a slash may be part of an id: cutting it there could make one person of two.
    return None if slash else _join(head, place_of(source))


def _without_scheme(text: str) -> str:
    scheme = _SCHEME.match(text)
    if not scheme:
        return text
    bare = unquote(text[scheme.end() :], errors="surrogateescape")
    # A port says how to reach the server, not whose address it is (RFC 3261, 19.1.1).
    return _PORT.sub("", re.split("[;?]", bare, maxsplit=1)[0]) if scheme[0].lower().startswith("sip") else bare


def place_of(source: str) -> str:
    """The first part of a source, which stands for the domain of its bare ids: `irc:libera/#ubuntu` is libera."""
    _, colon, rest = source[:1024].partition(":")
    first = (rest if colon else source).lstrip("/").partition("/")[0]
    return _PORT.sub("", first)


def placed(source: str, address: str) -> str:
    """An address as it stands alone: what is none by itself is followed by its place, in the source's own spelling.

    >>> placed("irc:libera/#ubuntu", "Nick")
    'Nick@libera'
    """
    place = place_of(source)
    return address if not place or normal("", address) is not None else f"{address}@{place}"


def folded(address: str) -> str:
    """A source's own spelling, as the exact map compares it: NFC and case-folded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", address).casefold())


def _join(local: str, domain: str) -> str | None:
    if len(local) > LONGEST or len(domain) > LONGEST:  # nothing huge into a cache
        return None
    left, right = local_part(local), domain_part(domain)
    if left is None or right is None:
        return None
    address = f"{left}@{right}"
    return address if len(address.encode()) <= LONGEST else None


def local_part(text: str) -> str | None:
    """Case-folded NFC, refused with anything in it that is unseen or has a meaning in addresses or paths."""
    folded = _fold(text)
    if not folded.strip(".") or _FORBIDDEN.search(folded):
        return None
    if any(unicodedata.category(char) in _UNSEEN for char in folded):
        return None
    # A combining mark at the start would join the character before it, in a header or a path.
    return None if unicodedata.combining(folded[0]) else folded


def _fold(text: str) -> str:
    """Folding can leave NFC, and composing can bring back a capital: repeated until nothing changes."""
    for _ in range(4):
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
        if folded == text:
            break
        text = folded
    return text


@lru_cache(maxsize=16_384)
def domain_part(text: str) -> str | None:
    """Lower case, as A-labels (IDNA 2008 with the mapping of UTS 46); a single label will do."""
    if not text:
        return None
    if not text.isascii():
        try:
            text = idna.encode(text, uts46=True, std3_rules=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return None
    labels = text.lower().removesuffix(".").split(".")
    return ".".join(labels) if all(map(_is_label, labels)) else None


def _is_label(label: str) -> bool:
    if not _LABEL.fullmatch(label):
        return False
    if not label.startswith("xn--"):
        return True
    try:
        return idna.alabel(label) == label.encode()
    except (idna.IDNAError, UnicodeError):
        return False
