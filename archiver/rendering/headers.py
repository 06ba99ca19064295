"""Header fields of an item: always ASCII, folded, never forged by what comes from outside.

Names and topics in any script become RFC 2047 encoded words, file names RFC 2231 parameters, addresses of any
system valid addr-specs (RFC 5322 3.4.1). Knows nothing of conversations.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from functools import lru_cache
from hashlib import blake2b
from unicodedata import normalize
from urllib.parse import quote

import idna

WIDTH = 78
"""RFC 5322 2.1.1: lines should be no longer."""

_MAXIMUM_NAME = 200
_IDENTIFIER = 900
_PAYLOAD = 42
"""Octets of an encoded word: within the 75 characters of RFC 2047 2, its line within 76 even after `From: `."""

# Controls, lone surrogates, what separates lines anywhere, and characters that reorder what follows them.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]+")
_PLAIN = re.compile(r"[ -~]*\Z")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/?^_`{|}~-]+)*\Z")
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")
_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*\Z"
)
_SCHEMES = ("xmpp", "sip", "sips", "im", "mailto")


def clean(value: str, limit: int = _MAXIMUM_NAME) -> str:
    """One line of printable text: controls, line breaks and bidi overrides become spaces, spaces are collapsed."""
    if not value.isprintable():
        value = _UNSAFE.sub(" ", value)
    value = " ".join(value.split())
    return value if len(value) <= limit else value[: limit - 1].rstrip() + "…"


def encoded_words(value: str, taken: int = 0) -> list[str]:
    """RFC 2047 B words, none of which splits a character (RFC 2047 5); `taken` columns are, on the first line."""
    room = min(_PAYLOAD, (76 - 12 - taken) // 4 * 3)
    words: list[str] = []
    piece: list[bytes] = []
    size = 0
    for character in value:
        octets = character.encode("utf-8", "replace")
        if size + len(octets) > room:
            words.append(_encoded_word(b"".join(piece)))
            piece, size, room = [], 0, _PAYLOAD
        piece.append(octets)
        size += len(octets)
    if piece:
        words.append(_encoded_word(b"".join(piece)))
    return words


def _encoded_word(octets: bytes) -> str:
    return f"=?utf-8?b?{b2a_base64(octets, newline=False).decode('ascii')}?="


@lru_cache(4_096)
def unstructured(name: str, value: str, limit: int = 1_000) -> str:
    """A whole field of free text, folded."""
    value = clean(value, limit)
    words = value.split(" ")
    if _PLAIN.match(value) and "=?" not in value and max(map(len, words)) <= WIDTH - 2:
        return _fold(name + ":", words)
    return _fold(name + ":", encoded_words(value, len(name) + 2))


def _fold(line: str, words: list[str]) -> str:
    """Join words by spaces, breaking before one that would pass the width. Ends with a newline."""
    lines = []
    for word in words:
        if len(line) + 1 + len(word) > WIDTH and not line.endswith(":"):
            lines.append(line)
            line = ""
        line = f"{line} {word}"
    lines.append(line)
    return "\n".join(lines) + "\n"


@lru_cache(8_192)
def spelling(value: str) -> str:
    """An identifier as a field has it: what isn't visible ASCII is %XX, and it stays on one line.

    A question mark is too, lest it looks like an encoded word. One too long is cut, and told apart by a digest.
    """
    text = _percent(value)
    if len(text) > _IDENTIFIER:
        digest = blake2b(value.encode("utf-8", "replace"), digest_size=16).hexdigest()
        while len(text) > _IDENTIFIER - 100:  # by whole characters: what a reader makes of it is spelt the same again
            value = value[: len(value) * (_IDENTIFIER - 100) // len(text)]
            text = _percent(value)
        text = f"{text}...{digest}"
    return text


def _percent(value: str) -> str:
    return quote(value.encode("utf-8", "replace"), safe="!#$&'()*+,/:;=@[]~<>|{}^`\"\\")


def token(name: str, value: str) -> str:
    """A field whose value is an identifier."""
    return f"{name}: {spelling(value)}\n"


@lru_cache(8_192)
def phrase(name: str) -> str:
    """A display name; folded where it needs more than one encoded word."""
    name = clean(name)
    if not name:
        return ""
    if len(name) <= WIDTH - 18 and _PLAIN.match(name) and "=?" not in name:
        if _ATOMS.match(name):
            return name
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return "\n ".join(encoded_words(name))


@lru_cache(8_192)
def mailbox(name: str, address: str) -> str:
    """RFC 5322 3.4 mailbox of a display name and a valid addr-spec."""
    shown = phrase(name)
    if not shown:
        return f"<{address}>"
    last = len(shown) - (shown.rfind("\n") + 1)
    return f"{shown}{' ' if last + len(address) + 4 <= WIDTH else chr(10) + ' '}<{address}>"


def addresses(name: str, mailboxes: list[str]) -> str:
    """A field of addresses, one a line; nobody becomes an empty group (RFC 5322 3.4)."""
    if not mailboxes:
        return f"{name}: undisclosed-recipients:;\n"
    separator = " " if len(mailboxes[0].partition("\n")[0]) + len(name) + 3 <= WIDTH else "\n "
    return f"{name}:{separator}" + ",\n ".join(mailboxes) + "\n"


def split_scheme(address: str) -> tuple[str, str]:
    """The URI scheme an address names itself with, of those people are reached by, and the rest."""
    scheme, colon, rest = address.partition(":")
    if colon and scheme.lower() in _SCHEMES:
        return scheme.lower(), rest
    return "", address


def bare(address: str) -> str:
    """An address without scheme, URI parameters or JID resource; a Matrix id as local@domain."""
    scheme, rest = split_scheme(address)
    if scheme:
        rest = re.split("[?;]" if scheme.startswith("sip") else "[?]", rest, maxsplit=1)[0]
    if rest.startswith("@") and ":" in rest:
        local, _, domain = rest[1:].partition(":")
        return f"{local}@{domain}"
    at, slash = rest.find("@"), rest.find("/")
    return rest[:slash] if 0 < at < slash else rest


@lru_cache(8_192)
def normal(address: str) -> str:
    """The form in which two spellings of an address are the same party."""
    return normalize("NFC", normalize("NFC", bare(address)).casefold())


@lru_cache(8_192)
def addr_spec(source: str, address: str, *, real: bool = True) -> str:
    """A valid ASCII addr-spec: the source's own address where it is one, else one below .invalid (RFC 6761 6.4)."""
    plain = bare(address)
    if real and (found := _real(plain)):
        return found
    scheme, _, rest = source.partition(":")
    place = ".".join(filter(None, (_label(rest.partition("/")[0]), _label(scheme), "invalid")))
    return f"{_local(plain)}@{place}"


def _real(plain: str) -> str | None:
    local, at, domain = plain.rpartition("@")
    if not at or len(local) > 64 or not _DOT_ATOM.match(local):
        return None
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return None
    # RFC 5321 4.1.2: at most 254 together; a domain is letters, digits and hyphens.
    return f"{local}@{domain}" if _DOMAIN.match(domain) and len(local) + len(domain) < 254 else None


def _local(plain: str) -> str:
    octets = plain.encode("utf-8", "replace")
    text = "".join(chr(o) if (o < 128 and chr(o).isalnum()) or o in b"_-" else f"={o:02X}" for o in octets) or "unknown"
    if len(text) <= 64:
        return text
    return text[:31].rstrip("=") + "-" + blake2b(octets, digest_size=16).hexdigest()


def _label(text: str) -> str:
    labels = (re.sub(r"[^a-z0-9-]+", "-", label).strip("-")[:63].strip("-") for label in text.lower().split("."))
    return ".".join(list(filter(None, labels))[:3])


_LINKS = {"xmpp": "xmpp", "sip": "sip", "sips": "sip", "lync": "sip", "skype": "sip", "im": "im"}


@lru_cache(8_192)
def answer_link(source: str, address: str) -> str:
    """A URI that answers somebody, by the address's own scheme or the source's; empty where there is none."""
    system = source.partition(":")[0].lower()
    own, _ = split_scheme(address)
    plain = bare(address)
    if system == "irc" or not _real(plain):
        return ""
    if own:
        return f"{own}:{quote(plain, safe='@')}"
    if address.startswith("@"):
        # The URI scheme of Matrix: user ids without their sigil.
        local, _, domain = plain.rpartition("@")
        return f"matrix:u/{quote(local, safe='')}:{quote(domain, safe='')}"
    return f"{_LINKS.get(system, 'mailto')}:{quote(plain, safe='@')}"


def file_name(name: str) -> str:
    """A file's own name without any way out of the folder it is saved to."""
    name = clean(re.sub(r"[/\\:]", "_", name), 180)
    return name.lstrip(".").strip() or "file"


@lru_cache(1_024)
def file_parameters(name: str) -> tuple[str, str]:
    """(for Content-Type, for Content-Disposition) of a file's name: RFC 2231 where it isn't ASCII.

    The plain fallback stands in Content-Type: beside the encoded one in Content-Disposition, parsers report a double.
    """
    name = file_name(name)
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in name).replace("=?", "=_")
    if len(plain) > 60:
        stem, dot, suffix = plain.rpartition(".")
        suffix = suffix[:12] if dot and stem else ""
        plain = plain[: 59 - len(suffix)] + ("." + suffix if suffix else "")
    fallback = f';\n name="{plain}"'
    if plain == name:
        return fallback, f';\n filename="{plain}"'
    return fallback, _extended(name)


def _extended(name: str) -> str:
    """RFC 2231 3 and 4: filename*0*=utf-8''…, never splitting a character."""
    pieces, piece = [], ""
    for character in name:
        octets = quote(character.encode("utf-8", "replace"), safe="")
        if len(piece) + len(octets) > 50:
            pieces.append(piece)
            piece = ""
        piece += octets
    pieces.append(piece)
    if len(pieces) == 1:
        return f";\n filename*=utf-8''{pieces[0]}"
    return "".join(f";\n filename*{n}*={'utf-8' + chr(39) * 2 if n == 0 else ''}{p}" for n, p in enumerate(pieces))
