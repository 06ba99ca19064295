"""What lies in somebody's Conversation History, read over IMAP as a mail client reads it: text first, then the rest.

Taken from what people see, the text part, with as little knowledge of its layout as will do. The HTML part and the
attached events are only asked whether they hold a token.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage

from servers.dovecot import Dovecot
from system.archives import FOLDER, parsed, text_of

from live.model import Seen, plain
from live.script import REACTIONS

TOKEN = re.compile(r"(?<![\w$-])q\d{4}[a-j](?![\w-])")
"""Not within an id that a server made by chance."""
_ENTRY = re.compile(r"\d\d:\d\d:\d\d (.*)")
_NOTE = "    - "
_PRIVATE = ", only to "
_RETRACTED = "[message retracted]"
_FILE = re.compile(r"file (\S+) \(.*\), attached")


@dataclass
class Entry:
    """One line of a transcript with those that belong to it."""

    said: str
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """A mailbox's folder. `quotes` are what replies quote, by their own token; `files` the digests of attachments."""

    seen: Counter[Seen]
    quotes: dict[str, str]
    files: Counter[str]
    tokens: frozenset[str]
    """Every token that stands anywhere in it."""
    hypertext: Counter[str]
    """Tokens in HTML parts, with how often."""
    items: int


def read(server: Dovecot, mailbox: str) -> Found:
    with server.login(mailbox) as client:
        client.select_folder(FOLDER, readonly=True)
        uids = client.search()
        fetched = client.fetch(uids, ["BODY.PEEK[]"]) if uids else {}
    items = [parsed(each[b"BODY[]"]) for each in fetched.values()]
    found = Found(Counter(), {}, Counter(), frozenset().union(*map(_tokens, items)), Counter(), len(items))
    for item in items:
        for entry in _entries(text_of(item)):
            one = _seen(entry, str(item["X-Archiver-Kind"]))
            if one is not None:
                found.seen[one] += 1
                _quoted(entry, one, found.quotes)
        found.files.update(_files(item))
        page = item.get_body(("html",))
        found.hypertext.update(TOKEN.findall(page.get_content()) if page is not None else [])
    return found


def _entries(text: str) -> Iterator[Entry]:
    """What stands below the first line of a day, each with its notes; further lines of either are joined on."""
    entry: Entry | None = None
    for line in text.partition("\n--- ")[2].splitlines():
        if match := _ENTRY.fullmatch(line):
            if entry is not None:
                yield entry
            entry = Entry(match[1])
        elif entry is not None and line.startswith(_NOTE):
            entry.notes.append(line.removeprefix(_NOTE))
        elif entry is not None and line.startswith(" "):
            if entry.notes:
                entry.notes[-1] += f" {line.strip()}"
            else:
                entry.said += f" {line.strip()}"
    if entry is not None:
        yield entry


def _seen(entry: Entry, kind: str) -> Seen | None:
    """None for what merely happened: a join, a topic."""
    who, parted, said = entry.said.partition(": ")
    if entry.said.startswith("* ") or not parted:
        return None
    text = plain(said)
    name, private, _ = who.partition(_PRIVATE)
    return Seen(
        kind,
        _called(name),
        "" if text == _RETRACTED else text,
        tuple(plain(note.partition("; before: ")[2]) for note in entry.notes if "; before: " in note),
        bool(private),
        any(note.startswith("in reply to ") for note in entry.notes),
        tuple(sorted(reaction for note in entry.notes for reaction in _reactions(note))),
        next((match[1] for note in entry.notes if (match := _FILE.fullmatch(note))), ""),
    )


def _called(name: str) -> str:
    """A person by name; where the system tells none, by the local part of the address."""
    return name.removeprefix("@").split("@")[0].split(":")[0]


def _reactions(note: str) -> Iterator[tuple[str, int]]:
    what, _, people = note.partition(": ")
    if what in REACTIONS:
        standing = [who for who in re.split(r", and |, | and ", people) if not who.endswith("(taken back)")]
        if standing:
            yield what, len(standing)


def _quoted(entry: Entry, one: Seen, quotes: dict[str, str]) -> None:
    for note in entry.notes:
        if note.startswith("in reply to ") and one.text and (token := TOKEN.search(note)):
            quotes[one.text.split()[0]] = token[0]


def _files(item: EmailMessage) -> Iterator[str]:
    for part in item.iter_attachments():
        if part.get_filename() != "conversation.ndjson.gz":
            yield hashlib.sha256(part.get_payload(decode=True)).hexdigest()  # type: ignore[arg-type]


def _tokens(item: EmailMessage) -> set[str]:
    found: set[str] = set()
    for part in item.walk():
        if part.is_multipart():
            continue
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        found.update(TOKEN.findall(content.decode("utf-8", "replace")))
    return found
