"""What one recorded event means: who came and went, chat, polls, slides, shared screens.

People are told by `externalUserId` (a person who comes back has another `userId`). Voice, cursors, drawings and the
recording's own buttons are no conversation: nothing comes of them. Private chat isn't recorded at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from archiver.events import (
    EDITED,
    ENDED,
    JOINED,
    LEFT,
    POLL_CLOSED,
    POLL_OPENED,
    POLL_VOTED,
    REACTED,
    RETRACTED,
    SENT,
    Data,
    Message,
    Participant,
    Place,
    Poll,
)
from archiver.importers.bigbluebutton.recording import Element
from archiver.importers.bigbluebutton.text import plain

Texts = dict[str, str]
Meant = tuple[str, Data]

SLIDE_SHOWN = "slide.shown"
SCREEN_SHARED, SCREEN_UNSHARED = "screen.shared", "screen.unshared"


class People:
    """Who is who: connection (`userId`) -> person, and which connections a person holds open."""

    def __init__(self) -> None:
        self._by_connection: dict[str, Participant] = {}
        self._by_name: dict[str, Participant] = {}
        self._open: dict[str, set[str]] = {}

    def join(self, connection: str, address: str, name: str) -> Participant | None:
        """None where the person was here already, through another connection."""
        person = self._learn(connection, address or connection, name)
        connections = self._open.setdefault(person.address, set())
        already = bool(connections)
        connections.add(connection)
        return None if already else person

    def leave(self, connection: str) -> Participant | None:
        """None where another of the person's connections stays."""
        person = self.find(connection)
        connections = self._open.get(person.address, set())
        connections.discard(connection)
        return None if connections else person

    def name(self, connection: str, name: str) -> None:
        """Recordings of 2011 say a person's name only later."""
        self._learn(connection, self.find(connection).address, name)

    def find(self, connection: str, name: str = "") -> Participant:
        person = self._by_connection.get(connection)
        if person is None and not connection:
            person = self._by_name.get(name)
        return person or Participant(address=connection or name or "unknown", name=name or None)

    def clear(self) -> None:
        """The meeting is over and everybody out; who is who stays known."""
        self._open.clear()

    def _learn(self, connection: str, address: str, name: str) -> Participant:
        person = Participant(address=address, name=name or None)
        self._by_connection[connection] = person
        if name:
            self._by_name[name] = person
        return person


class Actions:
    """The meanings of a recording's events, one after the other."""

    def __init__(self) -> None:
        self._people = People()
        self._answers: dict[str, dict[str, str]] = {}
        self._secret: set[str] = set()
        self._closed: set[str] = set()
        self._files: dict[str, str] = {}
        self._shown = ""
        self._take: dict[str, Callable[[Texts, Place], Iterable[Meant]]] = {
            "ParticipantJoinEvent": self._join,
            "ParticipantLeftEvent": self._leave,
            "AssignPresenterEvent": self._present,
            "EndAndKickAllEvent": self._end,
            "PublicChatEvent": self._chat,
            "EditPublicChatMessageRecordEvent": self._edit,
            "DeletePublicChatMessageRecordEvent": self._delete,
            "SendPublicChatMessageReactionRecordEvent": self._react,
            "DeletePublicChatMessageReactionRecordEvent": self._take_back,
            "PollStartedRecordEvent": self._open_poll,
            "UserRespondedToPollRecordEvent": self._vote,
            "PollPublishedRecordEvent": self._publish,
            "PollStoppedRecordEvent": self._stop_poll,
            "ConversionCompletedEvent": self._convert,
            "SharePresentationEvent": self._share,
            "GotoSlideEvent": self._slide,
            "DeskshareStartedEvent": self._screen(SCREEN_SHARED),
            "DeskshareStoppedEvent": self._screen(SCREEN_UNSHARED),
            "StartWebRTCDesktopShareEvent": self._screen(SCREEN_SHARED),
            "StopWebRTCDesktopShareEvent": self._screen(SCREEN_UNSHARED),
        }

    def take(self, element: Element, place: Place) -> Iterable[Meant]:
        # Voice has a ParticipantLeftEvent of its own, of somebody who hung up.
        if element.attributes.get("module") == "VOICE":
            return ()
        act = self._take.get(element.attributes.get("eventname", ""))
        return act({tag: text.strip() for tag, text in element.texts.items()}, place) if act else ()

    def _join(self, texts: Texts, place: Place) -> Iterable[Meant]:
        person = self._people.join(texts.get("userId", ""), texts.get("externalUserId", ""), texts.get("name", ""))
        if person is not None:
            yield JOINED, Data(conversation=place, actor=person)

    def _leave(self, texts: Texts, place: Place) -> Iterable[Meant]:
        person = self._people.leave(texts.get("userId", ""))
        if person is not None:
            yield LEFT, Data(conversation=place, actor=person, reason=texts.get("reason") or None)

    def _present(self, texts: Texts, place: Place) -> Iterable[Meant]:
        if texts.get("userid") and texts.get("name"):
            self._people.name(texts["userid"], texts["name"])
        return ()

    def _end(self, texts: Texts, place: Place) -> Iterable[Meant]:
        self._people.clear()
        yield ENDED, Data(conversation=place, reason=texts.get("reason") or None)

    def _chat(self, texts: Texts, place: Place) -> Iterable[Meant]:
        actor = self._people.find(texts.get("senderId", ""), texts.get("sender", ""))
        message = Message(
            id=texts.get("messageId") or texts.get("id") or "",  # "": the event's own
            text=plain(texts.get("message", "")),
            in_reply_to=texts.get("replyToMessageId") or None,
        )
        yield SENT, Data(conversation=place, actor=actor, message=message)

    def _edit(self, texts: Texts, place: Place) -> Iterable[Meant]:
        if texts.get("messageId"):
            message = Message(id=texts["messageId"], text=plain(texts.get("message", "")))
            yield EDITED, Data(conversation=place, message=message)

    def _delete(self, texts: Texts, place: Place) -> Iterable[Meant]:
        if texts.get("messageId"):
            yield RETRACTED, Data(conversation=place, message=Message(id=texts["messageId"]))

    def _react(self, texts: Texts, place: Place) -> Iterable[Meant]:
        return self._reaction(texts, place, removed=False)

    def _take_back(self, texts: Texts, place: Place) -> Iterable[Meant]:
        return self._reaction(texts, place, removed=True)

    def _reaction(self, texts: Texts, place: Place, *, removed: bool) -> Iterable[Meant]:
        if texts.get("messageId"):
            actor = self._people.find(texts.get("senderId", ""), texts.get("sender", ""))
            message = Message(id=texts["messageId"])
            reaction = texts.get("reactionEmoji") or None
            yield REACTED, Data(conversation=place, actor=actor, message=message, reaction=reaction, removed=removed)

    def _open_poll(self, texts: Texts, place: Place) -> Iterable[Meant]:
        poll = texts.get("pollId", "")
        answers = {str(answer.get("id")): str(answer.get("key")) for answer in _answers(texts)}
        self._answers[poll] = answers
        if texts.get("secretPoll") == "true":
            self._secret.add(poll)
        if poll:
            asked = Poll(id=poll, question=_question(texts), options=tuple(answers.values()) or None)
            yield POLL_OPENED, Data(conversation=place, actor=self._whoever(texts), poll=asked)

    def _vote(self, texts: Texts, place: Place) -> Iterable[Meant]:
        poll = texts.get("pollId", "")
        if not poll:
            return
        known = self._answers.get(poll, {})
        choice = texts.get("answer") or known.get(texts.get("answerId", "")) or texts.get("answerId")
        # Who answered a secret poll is in the file, and stays there.
        actor = None if poll in self._secret else self._whoever(texts)
        yield POLL_VOTED, Data(conversation=place, actor=actor, poll=Poll(id=poll, choice=choice))

    def _publish(self, texts: Texts, place: Place) -> Iterable[Meant]:
        """The result, seen by all: in 2.x the recording stops the poll a moment later."""
        poll = texts.get("pollId", "")
        if poll:
            self._closed.add(poll)
            tally = {str(answer.get("key")): _count(answer.get("numVotes")) for answer in _answers(texts)}
            closed = Poll(id=poll, question=_question(texts), tally=tally or None)
            yield POLL_CLOSED, Data(conversation=place, actor=self._whoever(texts), poll=closed)

    def _stop_poll(self, texts: Texts, place: Place) -> Iterable[Meant]:
        poll = texts.get("pollId", "")
        if poll and poll not in self._closed:
            self._closed.add(poll)
            yield POLL_CLOSED, Data(conversation=place, actor=self._whoever(texts), poll=Poll(id=poll))

    def _convert(self, texts: Texts, place: Place) -> Iterable[Meant]:
        name = texts.get("presentationName", "")
        self._files[name] = texts.get("originalFilename") or name
        return ()

    def _share(self, texts: Texts, place: Place) -> Iterable[Meant]:
        name = texts.get("presentationName", "")
        if name and texts.get("share") != "false":
            self._shown = name
            yield SLIDE_SHOWN, Data(conversation=place, title=self._files.get(name, name))

    def _slide(self, texts: Texts, place: Place) -> Iterable[Meant]:
        name = texts.get("presentationName") or self._shown
        page = texts.get("slide", "")
        if page.isdecimal() and len(page) < 9:  # counted from 0
            title = f"{self._files.get(name, name)} ({int(page) + 1})".strip()
            yield SLIDE_SHOWN, Data(conversation=place, title=title)

    def _screen(self, type_: str) -> Callable[[Texts, Place], Iterable[Meant]]:
        def act(texts: Texts, place: Place) -> Iterable[Meant]:
            yield type_, Data(conversation=place, actor=self._whoever(texts))

        return act

    def _whoever(self, texts: Texts) -> Participant | None:
        return self._people.find(texts["userId"]) if texts.get("userId") else None


def _question(texts: Texts) -> str | None:
    return plain(texts.get("question", "")) or None


def _answers(texts: Texts) -> list[dict[str, Any]]:
    try:
        return msgspec.json.decode(texts.get("answers", "") or "[]", type=list[dict[str, Any]])
    except (msgspec.DecodeError, RecursionError):
        return []


def _count(votes: object) -> int:
    return votes if isinstance(votes, int) else 0
