"""How an exported chat says what is no message: files, edits, deletions, calls, who came and went. Pure.

The phone's language decides the words. Files are told by their form in any; deletions and edits in the languages
listed; lines of the system in English, and in other languages they are passed over and counted.
"""

from __future__ import annotations

import re

from archiver.events import JOINED, LEFT, STARTED, TOPIC_CHANGED

_WITH = "with|mit|con|avec|com|met|med|z|-|–"
TITLE = re.compile(rf"(?:WhatsApp|Signal)[^-–]*? (?:{_WITH}) (?P<name>.+?)(?:\.txt|\.zip)?$")
ATTACHED = re.compile(r"^(?P<note>.*?)[\u200e ]*<[^<>:]{2,30}[:：] ?(?P<file>[^<>/\\]+\.\w{1,5})>$", re.DOTALL)
FILE = re.compile(r"^(?P<file>[^/\\\n]+\.\w{1,5}) \([^()]{3,40}\)(?:\n(?P<note>.*))?$", re.DOTALL)
OMITTED = re.compile(r"^(?:<[^<>]{3,40}>|\w+ omitted)$")
_CHANGED = "edited|bearbeitet|editó|editado|modifié|modificato|bewerkt"
EDITED = re.compile(rf"[\u200e ]*<[^<>]*\b(?:{_CHANGED})\b[^<>]*>$")
CALL = re.compile(r"^(?:missed )?(?:voice|video|group) call\b", re.IGNORECASE)
NOTICE = re.compile(
    r"messages (?:and calls|you send to this \w+) are (?:now )?(?:end-to-end encrypted|secured)|your security code"
    r"|.{1,100} changed (?:their phone number|to \+)",
    re.IGNORECASE,
)

_DELETED = frozenset(
    (
        *("you deleted this message", "this message was deleted"),
        *("du hast diese nachricht gelöscht", "diese nachricht wurde gelöscht"),
        *("eliminaste este mensaje", "se eliminó este mensaje"),
        *("vous avez supprimé ce message", "ce message a été supprimé"),
        *("hai eliminato questo messaggio", "questo messaggio è stato eliminato"),
        *("você apagou esta mensagem", "essa mensagem foi apagada", "esta mensagem foi apagada"),
        *("je hebt dit bericht verwijderd", "dit bericht is verwijderd"),
    )
)

_TO = r'to ["“](?P<topic>.*)["”]$'
SYSTEM = (
    (re.compile(r'^(?P<who>.+) created (?:this group|group ["“](?P<topic>.*)["”])$'), STARTED),
    (re.compile(rf"^(?P<who>.+) changed the (?:subject|group name) (?:from .* )?{_TO}"), TOPIC_CHANGED),
    (re.compile(r"^(?P<who>.+) added (?P<whom>.+)$"), JOINED),
    (re.compile(r"^(?P<who>.+) removed (?P<whom>.+)$"), LEFT),
    (re.compile(r"^(?P<who>.+) joined using this group's invite link$"), JOINED),
    (re.compile(r"^(?P<who>.+) (?:joined|was added)$"), JOINED),
    (re.compile(r"^(?P<who>.+) left$"), LEFT),
)


def is_deleted(text: str) -> bool:
    return text.casefold().rstrip(".") in _DELETED
