"""Bytes of a mail -> text: charsets, encoded words, addresses, dates, as mails really come. No MIME structure.

Nothing here raises for what a mail says: what can't be decoded is replaced, what can't be read is absent.
"""

from __future__ import annotations

import binascii
import codecs
import email.utils
import quopri
import re
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from archiver.events import Participant

# Names that mail uses for more than the codec of that name holds (WHATWG Encoding, 4.2), or that Python doesn't know.
_WIDER = {
    "ascii": "cp1252",
    "us-ascii": "cp1252",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "x-sjis": "cp932",
    "iso-8859-8-i": "iso-8859-8",
    "unicode-1-1-utf-7": "utf-7",
    "utf8": "utf-8",
}
# Codecs of Python that are no charset of any mail; some take time quadratic in their input.
_NO_CHARSET = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}

_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# RFC 2047, 2; the charset may carry a language (RFC 2231, 5). Spaces inside are not allowed and common.
_WORD = re.compile(r"=\?([^?*\s]{1,64})(?:\*[^?\s]{0,64})?\?([bBqQ])\?([^?]*)\?=")
_STRICT: dict[str, Any] = {"strict": False} if getattr(email.utils, "supports_strict_parsing", False) else {}
_ADDRESS = re.compile(r"(?:[^@\s\"]+|\"[^\"]*\")@[^@\s\"]+")
# What looks like one in a header that isn't written by the rules.
_LOOSE = re.compile(r"[^\s@<>()\[\]:;,\"]{1,255}@[^\s@<>()\[\]:;,\"]{1,255}")

HEADER_LIMIT = 64 * 1024
"""Characters of one address header that are worth parsing: the standard library's parser isn't linear."""


def text_from(content: bytes, charset: str | None) -> str:
    """Text in the charset it declares, else UTF-8, else the declared one with replacements, else Windows-1252."""
    declared = _codec(charset)
    if content.isascii() and declared in (None, "cp1252", "utf-8"):
        return content.decode("ascii")
    for codec in dict.fromkeys(("utf-8", declared) if declared == "cp1252" else (declared, "utf-8")):
        try:
            return _SURROGATES.sub("\ufffd", content.decode(codec)) if codec else content.decode()
        except (UnicodeError, LookupError):
            continue
    return _SURROGATES.sub("\ufffd", content.decode(declared or "cp1252", "replace"))


def charset_guess(content: bytes, charset: str | None) -> str | None:
    """The mark of text that names no charset there is, and isn't UTF-8."""
    if content.isascii() or _codec(charset) is not None:
        return None
    try:
        content.decode()
    except UnicodeDecodeError:
        return "charset=windows-1252"
    return None


def header_text(raw: str) -> str:
    """One line of Unicode from a header as the parser left it: 8-bit bytes as surrogates, encoded words, folding."""
    text = unescaped(raw)
    if "=?" in text:
        text = _words(text)
    return _CONTROLS.sub(" ", text).strip()


def unescaped(raw: str) -> str:
    """A header whose 8-bit bytes the parser kept as lone surrogates; nobody declares their charset."""
    if raw.isascii():
        return raw
    return text_from(raw.encode("utf-8", "surrogateescape"), None)


def people(raw: str) -> list[Participant]:
    """The people an address header names, in its order; what isn't an address is left out.

    Addresses are lower-cased: mail systems compare them so, and the same people must always be the same place.
    """
    # RFC 5322, 2.2.3: unfolded before it is parsed.
    text = _CONTROLS.sub(" ", unescaped(raw))
    try:
        pairs = email.utils.getaddresses([text], **_STRICT)
    except (RecursionError, ValueError, IndexError):  # comments or groups nested thousands deep
        return []
    found = [(header_text(name), header_text(address).lower()) for name, address in pairs]
    named = [Participant(address, name or None) for name, address in found if _ADDRESS.fullmatch(address)]
    return named or [Participant(address.lower()) for address in _LOOSE.findall(text)]


def date(raw: str) -> datetime | None:
    """The moment a Date header states, None where it states none. A date without zone is taken as UTC."""
    try:
        moment = email.utils.parsedate_to_datetime(header_text(raw)[:200])
        # RFC 5322, 3.3: -0000 says that nothing is known of the zone.
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _codec(charset: str | None) -> str | None:
    """The codec for a declared charset; None for none and for what is no charset."""
    if not charset:
        return None
    name = charset.strip("\"' ").lower()
    name = _WIDER.get(name, name)
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError, UnicodeError):
        return None
    usable = getattr(codec, "_is_text_encoding", True) and codec.name.replace("-", "_") not in _NO_CHARSET
    return name if usable else None


def _words(text: str) -> str:
    """Encoded words decoded; white space between two of them belongs to neither (RFC 2047, 6.2)."""
    pieces: list[tuple[str | None, bytes | str]] = []
    end = 0
    for word in _WORD.finditer(text):
        between = text[end : word.start()]
        if between.strip() or not pieces or pieces[-1][0] is None:
            pieces.append((None, between))
        pieces.append((word[1].lower(), _word_bytes(word[2], word[3])))
        end = word.end()
    pieces.append((None, text[end:]))
    # Neighbours of one charset are joined before decoding: many writers cut a character in two.
    return "".join(
        "".join(str(piece) for _, piece in group)
        if charset is None
        else text_from(b"".join(piece for _, piece in group if isinstance(piece, bytes)), charset)
        for charset, group in groupby(pieces, key=lambda pair: pair[0])
    )


def _word_bytes(encoding: str, content: str) -> bytes:
    plain = content.encode("utf-8", "surrogateescape")
    if encoding in "qQ":
        return quopri.decodestring(plain.replace(b"_", b" "), header=True)
    try:
        return binascii.a2b_base64(plain + b"=" * (-len(plain) % 4))
    except binascii.Error:
        return plain
