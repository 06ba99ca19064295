"""One event as a view tells it: who, what they said or did, and the notes below it. Words, no layout.

A message stands at its own time with all that was done to it later (edits, retraction, reactions), as far as the
view shows that; what refers to a message outside the view is a line of its own that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

from msgspec import Struct

from archiver import events as e
from archiver.events import Attachment, Event, Poll
from archiver.rendering.files import Shelf, State, content_id, digest_of, media_type, name_of
from archiver.rendering.headers import clean
from archiver.rendering.markup import fragment, plain
from archiver.rendering.people import Names
from archiver.rendering.reading import Reading, Strand
from archiver.rendering.wording import Clock, Words, clock, iso_day

_LINE = 2_000
"""Topics and reasons are one line of at most this many characters; the exact text is in the events."""

_QUOTE = 48
_QUOTE_FROM = 12
"""Shorter texts are not quoted: a shortened quote of them would say nothing."""


class Entry(Struct):
    """`who` is empty for what merely happened. `html` is a sanitised body to show in place of `text`."""

    who: str
    text: str
    html: str | None = None
    action: bool = False
    notes: list[str] = []
    pictures: list[tuple[str, str]] = []


class View(Struct, frozen=True):
    """What an entry may depend on besides the events: those whose content is hidden, files without room."""

    concealed: frozenset[int] = frozenset()
    over: frozenset[str] = frozenset()


class Teller:
    """Makes the entries of one conversation in one language and zone."""

    def __init__(self, reading: Reading, words: Words, clock_: Clock, shelf: Shelf, names: Names) -> None:
        self.reading = reading
        self.words = words
        self._clock = clock_
        self._shelf = shelf
        self._names = names

    def tell(self, index: int, view: View) -> Entry | None:
        """The entry of an event; None where it is told with another."""
        event = self.reading.events[index]
        entry = _MAKERS.get(event.type, Teller._happening)(self, index, event, view)
        if entry is None:
            return None
        if event.data.attachments and event.type != e.SENT and index not in view.concealed:
            self._add_files(entry, event.data.attachments, view)
        if event.archivertime is not None:
            note = self.words("time given by the source: {time}", time=clean(event.archivertime, 80))
            entry.notes = [*entry.notes, note]
        return entry

    def when(self, index: int, beside: int) -> str:
        """The time of another event, with its day where that is not the day it is told on."""
        events = self.reading.conversation.events
        day, second, _ = self._clock.local(events[index].time)
        there = self._clock.local(events[beside].time)[0]
        return clock(second) if day == there else f"{iso_day(day)} {clock(second)}"

    # Messages

    def _message(self, index: int, event: Event, view: View) -> Entry | None:
        message = event.data.message
        if message is None:
            return self._happening(index, event, view)
        who = self._speaker(event)
        if message.to is not None:
            names = self.words.join([self._names.who(one) for one in message.to]) or self.words("nobody")
            who = self.words("{name}, only to {names}", name=who, names=names)
        strand = self.reading.strand_of(index)
        versions = [index, *(strand.edits if strand else ())]
        entry = self._versions(who, versions, view)
        if index in self.reading.parents:
            entry.notes = [self._reply(index, message.in_reply_to or "", view), *entry.notes]
        if strand is not None:
            entry.notes += self._marks(strand, index)
        return entry

    def _versions(self, who: str, versions: list[int], view: View) -> Entry:
        """A message as it stands in the end, and below it each text it had before."""
        last = versions[-1]
        if last in view.concealed:
            return Entry(who, self.words("[message retracted]"), notes=[])
        text, html = self._said(last)
        entry = Entry(who, text, html, notes=[])
        if text.startswith("/me ") and html is None:
            entry.text, entry.action = text[4:], True
        told = {text}
        for earlier, later in pairwise(versions):
            if not self._brings_files(earlier, later):
                entry.notes.append(self._edit_note(earlier, later, told, versions[0]))
        self._add_files(entry, self._files(versions), view)
        return entry

    def _brings_files(self, earlier: int, later: int) -> bool:
        """Nobody edited anything: what could not be fetched at first came after its message."""
        return bool(self.reading.events[later].data.attachments) and self._said(earlier) == self._said(later)

    def _files(self, versions: list[int]) -> tuple[Attachment, ...]:
        """Of all versions, but for those of which a later one has the content."""
        files = [file for version in versions for file in self.reading.events[version].data.attachments or ()]
        fetched = {file.url for file in files if file.sha256 is not None}
        return tuple(file for file in files if file.sha256 is not None or not file.url or file.url not in fetched)

    def _edit_note(self, earlier: int, later: int, told: set[str], beside: int) -> str:
        before, _ = self._said(earlier)
        event, time = self.reading.events[later], self.when(later, beside)
        if before in told:
            return self._by(
                event,
                "edited {time}, the text as it stands above or below",
                "edited {time} by {name}, the text as it stands above or below",
                time=time,
            )
        told.add(before)
        return self._by(
            event, "edited {time}; before: {text}", "edited {time} by {name}; before: {text}", time=time, text=before
        )

    def _said(self, index: int) -> tuple[str, str | None]:
        message = self.reading.events[index].data.message
        if message is None:
            return "", None
        return plain(message.text or ""), fragment(message.html) if message.html else None

    def _reply(self, index: int, parent_id: str, view: View) -> str:
        parent = self.reading.parents[index]
        if parent < 0:
            return self.words("in reply to a message that is not shown here ({id})", id=clean(parent_id, 80))
        strand = self.reading.strand_of(parent)
        last = strand.edits[-1] if strand and strand.edits else parent
        name = self._speaker(self.reading.events[parent])
        time = self.when(parent, index)
        quote = "" if last in view.concealed else shortened(self._said(last)[0])
        if not quote:
            return self.words("in reply to {name}, {time}", name=name, time=time)
        return self.words("in reply to {name}, {time}: “{quote}”", name=name, time=time, quote=quote)

    def _marks(self, strand: Strand, beside: int) -> list[str]:
        """Reactions with who, then retractions."""
        reactions: dict[str, dict[str | int, str]] = {}
        notes: list[str] = []
        for index in strand.references:
            event = self.reading.events[index]
            if event.type == e.REACTED:
                name = self._names.who(event.data.actor)
                people = reactions.setdefault(clean(event.data.reaction or "", 100), {})
                shown = self.words("{name} (taken back)", name=name) if event.data.removed else name
                people[_voice(event, index)] = shown
            elif event.type == e.RETRACTED:
                time = self.when(index, beside)
                line = self._by(event, "retracted {time}", "retracted {time} by {name}", time=time)
                notes.append(self._with_reason(line, event))
        return [f"{what}: {self.words.join(list(people.values()))}" for what, people in reactions.items()] + notes

    def _edited(self, index: int, event: Event, view: View) -> Entry | None:
        strand = self.reading.strand_of(index)
        if strand is not None and strand.holder >= 0:
            return None
        entry = self._versions(self._speaker(event), [index], view)
        entry.notes.append(self.words("edits a message that is not shown here ({id})", id=_message_id(event)))
        return entry

    def _retracted(self, index: int, event: Event, view: View) -> Entry | None:
        strand = self.reading.strand_of(index)
        if strand is not None and strand.holder >= 0:
            return None
        line = self._by(
            event,
            "A message that is not shown here was retracted ({id})",
            "{name} retracted a message that is not shown here ({id})",
            id=_message_id(event),
        )
        return Entry("", self._with_reason(line, event))

    def _reacted(self, index: int, event: Event, view: View) -> Entry | None:
        strand = self.reading.strand_of(index)
        if strand is not None and strand.holder >= 0:
            return None
        facts = {"reaction": clean(event.data.reaction or "", 100), "id": _message_id(event)}
        if event.data.removed:
            line = self._by(
                event,
                "{reaction} was taken back from a message that is not shown here ({id})",
                "{name} took back {reaction} from a message that is not shown here ({id})",
                **facts,
            )
        else:
            line = self._by(
                event,
                "{reaction} was added to a message that is not shown here ({id})",
                "{name} reacted with {reaction} to a message that is not shown here ({id})",
                **facts,
            )
        return Entry("", line)

    # Files

    def _add_files(self, entry: Entry, files: tuple[Attachment, ...], view: View) -> None:
        for file in files:
            state = self._shelf.state(file, view.over)
            entry.notes = [*entry.notes, self._file_note(file, state)]
            digest = digest_of(file)
            if state is State.SHOWN and digest is not None:
                entry.pictures = [*entry.pictures, (content_id(digest), name_of(file))]

    def _file_note(self, file: Attachment, state: State) -> str:
        digest = digest_of(file)
        content = self._shelf.content(digest) if digest and state in (State.SHOWN, State.ATTACHED) else None
        size = len(content) if content is not None else file.size
        facts = [media_type(file)] if file.media_type else []
        if size is not None:
            facts.append(self.words("{count} bytes", count=f"{size:,}"))
        about = f"{name_of(file)} ({', '.join(facts)})" if facts else name_of(file)
        if state in (State.SHOWN, State.ATTACHED):
            return self.words("file {name}, attached", name=about)
        if state is State.KEPT:
            return self.words("file {name}, SHA-256 {digest}, kept by the archive", name=about, digest=digest)
        if state is State.LEFT_OUT:
            return self.words("file {name}, SHA-256 {digest}, its content is not archived", name=about, digest=digest)
        if state is State.LINKED:
            return self.words("file {name}, not fetched: {url}", name=about, url=clean(file.url or "", _LINE))
        return self.words("file {name}, its content is not at hand", name=about)

    # Polls

    def _poll_opened(self, index: int, event: Event, view: View) -> Entry:
        poll = event.data.poll
        line = self._about(event, _question(poll))
        voters: dict[str, list[str]] = {}
        strand = self.reading.strand_of(index)
        for who, choices in self._votes(strand, poll):
            for choice in choices:
                voters.setdefault(choice, []).append(who)
        options = [clean(option, _LINE) for option in (poll.options if poll else None) or ()]
        notes = []
        for number, option in enumerate([*options, *(c for c in voters if c not in options)], 1):
            names = voters.get(option, [])
            told = f"{number}. {option}"
            notes.append(f"{told}: {len(names)} ({self.words.join(names)})" if names else told)
        return Entry("", line, notes=notes)

    def _votes(self, strand: Strand | None, poll: Poll | None) -> Iterable[tuple[str, list[str]]]:
        """The last choice of everybody."""
        votes: dict[str | int, tuple[str, list[str]]] = {}
        for index in strand.references if strand else ():
            event = self.reading.events[index]
            if event.type == e.POLL_VOTED:
                votes[_voice(event, index)] = self._names.who(event.data.actor), _choices(event.data.poll, poll)
        return votes.values()

    def _opened(self, index: int) -> Poll | None:
        """The poll an answer belongs to, where the view shows its opening."""
        strand = self.reading.strand_of(index)
        if strand is None or strand.holder < 0:
            return None
        return self.reading.events[strand.holder].data.poll

    def _poll_voted(self, index: int, event: Event, view: View) -> Entry:
        opened = self._opened(index)
        choice = self.words.join(_choices(event.data.poll, opened))
        question = _question(opened) or _question(event.data.poll)
        if not question and opened is None:
            line = self._by(
                event,
                "A vote was cast for “{choice}” in a poll not shown here",
                "{name} voted “{choice}” in a poll not shown here",
                choice=choice,
            )
        else:
            line = self._by(event, "A vote was cast for “{choice}”", "{name} voted “{choice}”", choice=choice)
            line = self._with_detail(line, question)
        return Entry("", line)

    def _poll_closed(self, index: int, event: Event, view: View) -> Entry:
        opened, poll = self._opened(index), event.data.poll
        question = _question(opened) or _question(poll)
        line = self._about(event, question)
        options = (opened.options if opened else None) or (poll.options if poll else None) or ()
        tally = (poll.tally if poll else None) or ()
        pairs = tally.items() if isinstance(tally, dict) else enumerate(tally)
        notes = [f"{_option(options, key)}: {count}" for key, count in pairs]
        return Entry("", line, notes=notes)

    # What merely happens

    def _joined(self, index: int, event: Event, view: View) -> Entry:
        return self._subject(event, "{name} joined", "{name} was added by {actor}")

    def _left(self, index: int, event: Event, view: View) -> Entry:
        return self._subject(event, "{name} left", "{name} was removed by {actor}")

    def _invited(self, index: int, event: Event, view: View) -> Entry:
        return self._subject(event, "{name} was invited", "{name} was invited by {actor}")

    def _subject(self, event: Event, alone: str, by_another: str) -> Entry:
        actor, subject = event.data.actor, event.data.subject
        if subject is None or actor is None or subject.address == actor.address:
            line = self.words(alone, name=self._names.who(subject or actor))
        else:
            line = self.words(by_another, name=self._names.who(subject), actor=self._names.who(actor))
        return Entry("", self._with_reason(line, event))

    def _renamed(self, index: int, event: Event, view: View) -> Entry:
        old, new = self._names.who(event.data.actor), self._names.who(event.data.subject)
        return Entry("", self.words("{old} is now known as {new}", old=old, new=new))

    def _topic(self, index: int, event: Event, view: View) -> Entry:
        topic = clean(event.data.topic or event.data.conversation.topic or "", _LINE)
        return Entry(
            "", self._by(event, "The topic is now: {topic}", "{name} changed the topic to: {topic}", topic=topic)
        )

    def _speech(self, index: int, event: Event, view: View) -> Entry:
        who = self._by(event, "speech", "{name} (speech)")
        return Entry(who, plain(event.data.text or ""))

    def _happening(self, index: int, event: Event, view: View) -> Entry:
        title = clean(event.data.title or "", _LINE)
        if event.type in _HAPPENINGS:
            line = self._about(event, title)
        else:
            line = self.words("unknown event {type}", type=clean(event.type, 200))
            if event.data.actor is not None:
                line = self._with_detail(self._names.who(event.data.actor), line)
            line = self._with_detail(line, title)
        return Entry("", self._with_reason(line, event))

    def _about(self, event: Event, detail: str) -> str:
        """What happened, by whom if anybody did it, and what it was about."""
        return self._with_detail(self._by(event, *_HAPPENINGS[event.type]), detail)

    def _by(self, event: Event, alone: str, by_actor: str, **facts: str) -> str:
        """What has an actor is told of them; what has none nobody did: it happened."""
        if event.data.actor is None:
            return self.words(alone, **facts)
        return self.words(by_actor, name=self._names.who(event.data.actor), **facts)

    def _speaker(self, event: Event) -> str:
        """Whose a message is; one without an actor is the system's own."""
        actor = event.data.actor
        return self.words("system message") if actor is None else self._names.who(actor)

    def _with_detail(self, line: str, detail: str) -> str:
        return self.words("{line}: {detail}", line=line, detail=detail) if detail else line

    def _with_reason(self, line: str, event: Event) -> str:
        reason = clean(event.data.reason or "", _LINE)
        return self.words("{line} (reason: {reason})", line=line, reason=reason) if reason else line


# Unbound, so that a teller doesn't hold itself and is gone with its conversation.
_MAKERS: dict[str, Callable[[Teller, int, Event, View], Entry | None]] = {
    e.SENT: Teller._message,
    e.EDITED: Teller._edited,
    e.RETRACTED: Teller._retracted,
    e.REACTED: Teller._reacted,
    e.POLL_OPENED: Teller._poll_opened,
    e.POLL_VOTED: Teller._poll_voted,
    e.POLL_CLOSED: Teller._poll_closed,
    e.JOINED: Teller._joined,
    e.LEFT: Teller._left,
    e.INVITED: Teller._invited,
    e.RENAMED: Teller._renamed,
    e.TOPIC_CHANGED: Teller._topic,
    "speech.transcribed": Teller._speech,
}

_HAPPENINGS = {
    e.STARTED: ("The conversation started", "{name} started the conversation"),
    e.ENDED: ("The conversation ended", "{name} ended the conversation"),
    e.POLL_OPENED: ("A poll was opened", "{name} opened a poll"),
    e.POLL_CLOSED: ("The poll was closed", "{name} closed the poll"),
    "file.shared": ("A file was shared", "{name} shared a file"),
    "whiteboard.saved": ("The whiteboard was saved", "{name} saved the whiteboard"),
    "slide.shown": ("A slide was shown", "{name} showed a slide"),
    "screen.shared": ("A screen is being shared", "{name} started to share the screen"),
    "screen.unshared": ("The screen is no longer shared", "{name} stopped sharing the screen"),
    "call.started": ("A call started", "{name} started a call"),
    "call.ended": ("The call ended", "{name} ended the call"),
}


def shortened(text: str) -> str:
    """The beginning of a text on one line, always less than the whole; empty for what is too short to shorten."""
    line = " ".join(text.split())
    if len(line) < _QUOTE_FROM:
        return ""
    return line[: min(_QUOTE, len(line) * 2 // 3)].rstrip() + "…"


def _voice(event: Event, index: int) -> str | int:
    """Whose an answer is: people may share a name, and of nobody's answers each counts."""
    return event.data.actor.address if event.data.actor is not None else index


def _message_id(event: Event) -> str:
    return clean(event.data.message.id, 80) if event.data.message is not None else ""


def _question(poll: Poll | None) -> str:
    return clean(poll.question or "", _LINE) if poll is not None else ""


def _choices(poll: Poll | None, opened: Poll | None) -> list[str]:
    choice = poll.choice if poll is not None else None
    chosen = choice if isinstance(choice, tuple) else () if choice is None else (choice,)
    options = (opened.options if opened else None) or (poll.options if poll else None) or ()
    return [_option(options, one) for one in chosen]


def _option(options: tuple[str, ...], choice: str | int) -> str:
    """An option by its text, or by its place, counted from 0."""
    if isinstance(choice, int) and 0 <= choice < len(options):
        return clean(options[choice], _LINE)
    return clean(str(choice), _LINE)
