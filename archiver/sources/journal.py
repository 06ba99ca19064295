"""Exchange's journal reports: who really got a mail, and the mail itself attached, untouched. Makes no events.

A report's text has a field on each line (Exchange 2007 to Exchange Online: "Journal report fields"): Sender, Subject,
Message-Id, On-Behalf-Of, and one recipient a line as To, Cc, Bcc, or as Recipient where Exchange can't vouch for which,
with `Expanded` or `Forwarded` naming the list or person it came by. One mail may have several reports, each with some
of its recipients.
"""

from __future__ import annotations

import re

from msgspec import Struct

from archiver.exceptions import EventError
from archiver.sources.decoding import people
from archiver.sources.parts import Mail

HEADER = "x-ms-journal-report"
MAIL = "message/rfc822"
RECIPIENTS = 20_000
"""Lines of one report that are looked at; Exchange lets no mail have as many recipients."""

_FIELD = re.compile(r"(?im)^(sender|message-id|to|cc|bcc|recipient):[ \t]*(\S[^\n]*)$")
_CAME_BY = re.compile(r",\s*(?:expanded|forwarded):", re.IGNORECASE)


class Recipient(Struct, frozen=True):
    """`blind` is whoever the others may not know of: got it as Bcc, or nobody can say how."""

    address: str
    blind: bool


class Report(Struct, frozen=True):
    """`original` is the mail as it was sent; `sender` and `identity` are for one that says neither."""

    sender: str
    identity: str
    recipients: tuple[Recipient, ...]
    original: bytes


def is_report(mail: Mail) -> bool:
    return any(name == HEADER for name, _ in mail.headers)


def report_of(mail: Mail) -> Report:
    """Raises `EventError` where the mail it reports, or what says who got it, isn't there."""
    originals = [part.content for part in mail.parts if part.media_type == MAIL]
    if len(originals) != 1:
        raise EventError(f"a journal report with {len(originals)} mails attached, where there must be one")
    text = next((part.text for part in mail.parts if part.inline and part.media_type == "text/plain"), "")
    fields = [(name.lower(), value) for name, value in _FIELD.findall(text)]
    if len(fields) > RECIPIENTS:
        raise EventError(f"a journal report of more than {RECIPIENTS:,} lines")
    found = dict(reversed(fields))
    recipients: dict[str, Recipient] = {}
    for name, value in fields:
        for address in _addresses(name, value):
            recipients.setdefault(address, Recipient(address, name in ("bcc", "recipient")))
    if not recipients:
        raise EventError("a journal report that names no recipient")
    identity = found.get("message-id", "").strip().removeprefix("<").removesuffix(">")
    return Report(found.get("sender", ""), identity, tuple(recipients.values()), originals[0])


def _addresses(name: str, value: str) -> list[str]:
    """Of who got it; not of the list or the person it came by."""
    if name in ("sender", "message-id"):
        return []
    return [person.address for person in people(_CAME_BY.split(value, maxsplit=1)[0])]
