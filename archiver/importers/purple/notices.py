"""What libpurple's clients say of a room in their user's language: who came, left, or is called otherwise. Pure.

Source: libpurple, conversation.c, and its translations.
"""

from __future__ import annotations

import re

from archiver.events import JOINED, LEFT, RENAMED
from archiver.importers.wording import template

LONGEST = 2_000
"""Characters: what is longer is no notice."""
_PARTS = {
    "{who}": r"(?P<who>.{1,200}?)(?: \[[^\]]{1,500}\])?",
    "{reason}": r"(?: ?\((?P<reason>.*)\))?",
    "{other}": r"(?P<other>.{1,200}?)",
}
_TEMPLATES = {
    JOINED: (
        *("{who} entered the room", "{who} hat den Raum betreten", "{who} ha entrado en la sala"),
        *("{who} a rejoint le salon", "{who} è entrato nella stanza", "{who} is de ruimte binnengekomen"),
        *("{who} entrou na sala", "Użytkownik {who} wszedł do pokoju", "{who} вошёл в комнату"),
        *("{who} kom in i rummet", "{who} odaya giriş yaptı", "{who} vstoupil do místnosti"),
        *("{who} さんがチャットルームに入りました", "{who} 进入了聊天室。", "{who} 進入聊天室。"),
        "{who} 님이 대화실에 들어왔습니다",
    ),
    LEFT: (
        *("{who} left the room{reason}", "{who} hat den Raum verlassen{reason}", "{who} ha salido de la sala{reason}"),
        *("{who} a quitté le salon{reason}", "{who} ha abbandonato la stanza{reason}", "{who} saiu da sala{reason}"),
        *("{who} verliet de ruimte{reason}", "Użytkownik {who} opuścił pokój{reason}"),
        *("{who} вышел из комнаты{reason}", "{who} lämnade rummet{reason}", "{who} odadan ayrıldı{reason}"),
        *("{who} opustil místnost{reason}", "{who} 离开了聊天室{reason}。", "{who} 離開聊天室{reason}。"),
        *("{who} さんがチャットルームから退室しました", "{who} さんがチャットルームから退室しました {reason}。"),
        "{who} 님이 대화실을 나갔습니다",
    ),
    RENAMED: (
        *("{who} is now known as {other}", "{who} heißt jetzt {other}", "{who} ahora se llama {other}"),
        *("{who} est désormais connu sous le nom de {other}", "{who} è ora conosciuto come {other}"),
        *("{who} staat nu bekend als {other}", "{who} heet nu {other}", "{who} mudou seu apelido para {other}"),
        *("Użytkownik {who} nazywa się teraz {other}", "Użytkownik {who} jest teraz znany jako {other}"),
        *("{who} теперь известен как {other}", "{who} är nu känd som {other}", "{who} je teď znám jako {other}"),
        *("{who} şimdi {other} olarak biliniyor", "{who} 已改名为 {other}。"),
        *("{who} さんは {other} と認識されました", "{who} さんは {other} さんと認識されました"),
        *("{who} 现在叫做 {other}。", "{who} 改變暱稱為 {other}"),
    ),
}
_KNOWN = tuple((template(each, _PARTS), type_) for type_, templates in _TEMPLATES.items() for each in templates)
_STATES = (
    r"has (?:gone away|become idle|signed (?:on|off)|left the conversation)|is (?:no longer )?(?:away|idle|mobile)"
)
_IDLE = re.compile(
    rf"Away Message: .*|.{{1,500}} (?:{_STATES})\.?(?: \(.*\))?"
    r"|.*(?:may not have been sent|could not be sent|not be delivered).*",
    re.DOTALL,
)


def of_a_room(text: str) -> tuple[str, dict[str, str | None]] | None:
    """The type of event, and who, how they are called now, and why; None for any other notice."""
    for pattern, type_ in _KNOWN if len(text) <= LONGEST else ():
        found = pattern.fullmatch(text)
        if found is not None:
            return type_, found.groupdict()
    return None


def is_of_no_event(text: str) -> bool:
    """Whether it is known to be no event: in English, who is there and what couldn't be sent."""
    return len(text) <= LONGEST and _IDLE.fullmatch(text) is not None
