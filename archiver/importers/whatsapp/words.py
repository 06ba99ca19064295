"""How an exported chat says what is no text: files, edits, deletions, calls. Pure.

The phone's language decides the words. Files are told by their form in any; the others in the languages listed.
"""

from __future__ import annotations

import re

_WITH = "with|mit|con|avec|com|met|med|z|-|–"
TITLE = re.compile(rf"(?:WhatsApp|Signal)[^-–]*? (?:{_WITH}) (?P<name>.+?)(?:\.txt|\.zip)?$")
_BEFORE = r"(?<![\u200e ])[\u200e ]*"
"""All the blanks before something: looked for from their first on only, else many of them take hours."""
ATTACHED = re.compile(rf"^(?P<note>.*?){_BEFORE}<[^<>:]{{2,30}}[:：] ?(?P<file>[^<>/\\]+\.\w{{1,12}})>$", re.DOTALL)
FILE = re.compile(r"^(?P<file>[^/\\\n]+\.\w{1,12}) \([^()]{3,40}\)(?:\n(?P<note>.*))?$", re.DOTALL)
KEPT = re.compile(r"00\d{6}-[^/]+|(?:AUD|DOC|IMG|PTT|STK|VID)-\d{8}-WA\d{4,}\.[^/]+")
"""How phones call what they write beside a chat: numbered, or by the day. No log is: no day is 00, nor year."""
_LEFT_OUT = "omitted|weggelassen|omitid[oa]|ocultad[oa]|oculto|absente?|omis|omise|omess[oa]|weggelaten"
OMITTED = re.compile(rf"^(?:<[^<>]{{3,40}}>|\w+ (?:{_LEFT_OUT}))$", re.IGNORECASE)
_CHANGED = "edited|bearbeitet|editó|editado|modifié|modificato|bewerkt"
EDITED = re.compile(rf"{_BEFORE}<[^<>]{{0,60}}\b(?:{_CHANGED})\b[^<>]{{0,60}}>$")
CALL = re.compile(
    r"^(?:(?:missed )?(?:voice|video|group) call"
    r"|(?:verpasster )?(?:sprach|video|gruppen)anruf"
    r"|(?:video)?llamada(?: de voz| de video| grupal)?(?: perdida)?"
    r"|(?:chamada|ligação) de (?:voz|vídeo)(?: perdida)?"
    r"|appel (?:vocal|vidéo|de groupe)(?: manqué)?"
    r"|(?:chiamata vocale|videochiamata)(?: persa)?"
    r"|(?:gemiste )?(?:spraak|video-?)oproep)\b",
    re.IGNORECASE,
)
NOTICE = re.compile(
    r"messages (?:and calls|you send to this \w+) are (?:now )?(?:end-to-end encrypted|secured)|your security code"
    r"|.{1,100} changed (?:their phone number|to \+)",
    re.IGNORECASE,
)

_SECURED = re.compile(
    r"(?:ende-zu-ende-verschlüsselt|cifrad[oa]s? de extremo a extremo|criptografia de ponta a ponta"
    r"|chiffrée?s? de bout en bout|crittografi?at[ei] end-to-end|crittografia end-to-end|end-to-end versleuteld)",
    re.IGNORECASE,
)

_DELETED = frozenset(
    (
        *("you deleted this message", "this message was deleted"),
        "mensagem apagada",
        *("este mensaje fue eliminado", "se eliminó este mensaje"),
        *("du hast diese nachricht gelöscht", "diese nachricht wurde gelöscht"),
        *("eliminaste este mensaje", "se eliminó este mensaje"),
        *("vous avez supprimé ce message", "ce message a été supprimé"),
        *("hai eliminato questo messaggio", "questo messaggio è stato eliminato"),
        *("você apagou esta mensagem", "essa mensagem foi apagada", "esta mensagem foi apagada"),
        *("je hebt dit bericht verwijderd", "dit bericht is verwijderd"),
    )
)


def is_deleted(text: str) -> bool:
    return text.casefold().rstrip(".") in _DELETED


def is_about_safety(text: str) -> bool:
    """Of a text that the system wrote."""
    return _SECURED.search(text) is not None
