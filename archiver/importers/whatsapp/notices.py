"""Lines that no person wrote: who came, went, made or renamed a group, in the words of several languages. Pure.

A template is a line as WhatsApp writes it: {who} and {whom} are people, {topic} a title in quotes, {*} words that
differ from version to version, {etc} such at the end. Where there is no {who}, it is the phone's owner, but for lines
in the passive.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from archiver.events import JOINED, LEFT, STARTED, TOPIC_CHANGED
from archiver.importers.wording import ANYTHING, template

YOU = frozenset(
    (
        *("you", "du", "dich", "ihr", "tú", "te", "ti", "usted", "você", "voce", "tu", "vous", "jij", "je", "u"),
        "",
    )
)
"""How the phone calls its owner."""
QUOTES = '"“”„«»'
_PARTS = {
    "{who}": r"(?P<who>[^:]{1,100}?)",
    "{whom}": r"(?P<whom>.{1,1000}?)",
    "{topic}": rf"[{QUOTES}]\s?(?P<topic>.*?)\s?[{QUOTES}]",
    **ANYTHING,
}
_TEMPLATES = {
    STARTED: (
        *("{who} created this group", "{who} created group {topic}", "{who} created the group {topic}"),
        *("{who} hat die Gruppe {topic} erstellt", "Du hast die Gruppe {topic} erstellt"),
        *("{who} hat diese Gruppe erstellt", "Du hast diese Gruppe erstellt"),
        *("{who} creó el grupo {topic}", "Creaste el grupo {topic}", "{who} creó este grupo", "Creaste este grupo"),
        *("{who} criou o grupo {topic}", "{who} criou este grupo"),
        *("{who} a créé le groupe {topic}", "{who} avez créé le groupe {topic}", "{who} a créé ce groupe"),
        *("{who} ha creato il gruppo {topic}", "Hai creato il gruppo {topic}", "{who} ha creato questo gruppo"),
        *("{who} heeft de groep {topic} gemaakt", "{who} hebt de groep {topic} gemaakt"),
        *("{who} heeft groep {topic} aangemaakt", "{who} hebt groep {topic} aangemaakt"),
    ),
    TOPIC_CHANGED: (
        *("{who} changed the subject {*}to {topic}", "{who} changed the group name {*}to {topic}"),
        *("{who} hat den Betreff {*}zu {topic} geändert", "{who} hat den Gruppennamen {*}zu {topic} geändert"),
        *("Du hast den Betreff {*}zu {topic} geändert", "Du hast den Gruppennamen {*}zu {topic} geändert"),
        *("{who} cambió el asunto {*}a {topic}", "{who} cambió el asunto {*}por {topic}"),
        *("{who} cambió el nombre del grupo {*}a {topic}", "Cambiaste el {*}a {topic}", "Cambiaste el {*}por {topic}"),
        *("{who} mudou o nome {*}para {topic}", "{who} mudou o assunto {*}para {topic}"),
        *("{who} alterou o nome {*}para {topic}", "{who} alterou o assunto {*}para {topic}"),
        *("{who} a changé le sujet {*}en {topic}", "{who} a changé le sujet {*}à {topic}"),
        *("{who} a modifié le nom du groupe {*}en {topic}", "{who} a remplacé {*}par {topic}"),
        *("{who} ha cambiato l'oggetto {*}a {topic}", "{who} ha cambiato l'oggetto {*}in {topic}"),
        *(
            "{who} ha cambiato il nome del gruppo {*}in {topic}",
            "Hai cambiato {*}in {topic}",
            "Hai cambiato {*}a {topic}",
        ),
        *(
            "{who} heeft het onderwerp {*}gewijzigd {*}in {topic}",
            "{who} heeft het onderwerp {*}naar {topic} gewijzigd",
        ),
        *("{who} heeft de groepsnaam {*}gewijzigd {*}in {topic}", "{who} heeft de groepsnaam {*}in {topic} gewijzigd"),
    ),
    JOINED: (
        *(
            "{who} added {whom}",
            "{who} joined",
            "{who} joined using {*}invite link",
            "{whom} was added",
            "{whom} were added",
        ),
        *("{who} hat {whom} hinzugefügt", "Du hast {whom} hinzugefügt", "{whom} wurde hinzugefügt"),
        *("Du wurdest hinzugefügt", "{who} ist {*}beigetreten", "Du bist {*}beigetreten"),
        *("{who} te añadió", "{who} te agregó", "{who} añadió a {whom}", "{who} agregó a {whom}"),
        *("Añadiste a {whom}", "Agregaste a {whom}", "Se añadió a {whom}", "{who} se unió {etc}", "Te uniste {etc}"),
        *("{who} adicionou {whom}", "{whom} foi adicionado", "{whom} foi adicionada", "{who} entrou {etc}"),
        *("{who} vous a ajouté", "{who} vous a ajouté(e)", "{who} a ajouté {whom}", "{who} avez ajouté {whom}"),
        *("{whom} a été ajouté", "{whom} a été ajouté(e)", "{who} a rejoint {etc}", "{who} avez rejoint {etc}"),
        *("{who} ti ha aggiunto", "{who} ha aggiunto {whom}", "Hai aggiunto {whom}", "{who} si è unito {etc}"),
        *("{who} si è unita {etc}", "{who} è entrato {etc}", "{who} è entrata {etc}", "{who} è entrato/a {etc}"),
        *("{who} heeft {whom} toegevoegd", "{who} hebt {whom} toegevoegd", "{whom} is toegevoegd"),
        *("{who} neemt {*}deel {etc}", "{who} is lid geworden {etc}"),
    ),
    LEFT: (
        *("{who} left", "{who} left the group", "{who} removed {whom}", "{whom} was removed", "{whom} were removed"),
        *("{who} hat die Gruppe verlassen", "Du hast die Gruppe verlassen", "{who} hat {whom} entfernt"),
        *("Du hast {whom} entfernt", "{whom} wurde entfernt", "Du wurdest entfernt"),
        *("{who} salió", "{who} salió del grupo", "Saliste del grupo", "{who} te eliminó", "{who} eliminó a {whom}"),
        "Eliminaste a {whom}",
        *("{who} saiu", "{who} saiu do grupo", "{who} removeu {whom}", "{whom} foi removido", "{whom} foi removida"),
        *("{who} est parti", "{who} est partie", "{who} est parti(e)", "{who} a quitté le groupe"),
        *("{who} avez quitté le groupe", "{who} vous a retiré", "{who} vous a retiré(e)", "{who} a retiré {whom}"),
        *("{who} avez retiré {whom}", "{who} a supprimé {whom}"),
        *("{who} ha abbandonato", "{who} ha abbandonato il gruppo", "Hai abbandonato il gruppo"),
        *("{who} ti ha rimosso", "{who} ti ha rimosso/a", "{who} ha rimosso {whom}", "Hai rimosso {whom}"),
        *("{who} heeft de groep verlaten", "{who} hebt de groep verlaten", "{who} heeft {whom} verwijderd"),
        *("{who} hebt {whom} verwijderd", "{whom} is verwijderd"),
    ),
}
LONGEST = 1_000
"""Characters: what is longer no system wrote."""
_TO_THE_OWNER = re.compile(r" (?:te|vous|ti) |^Du wurdest ")
"""In a template without {whom}: it is the owner who was added or removed."""
_PASSIVE = ("{whom}", "Se ", "Du wurdest ")


class Notice(NamedTuple):
    """`who` did it, to `whom` where that is somebody else; a name out of `YOU` is the phone's owner."""

    type: str
    who: str | None
    whom: str | None
    topic: str | None


_KNOWN = tuple((template(each, _PARTS), each, type_) for type_, templates in _TEMPLATES.items() for each in templates)


def notice(text: str) -> Notice | None:
    """What a line of the system says; None where that is no event, or in words not known here."""
    if len(text) > LONGEST:
        return None
    for pattern, words, type_ in _KNOWN:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        found = match.groupdict()
        whom = "" if _TO_THE_OWNER.search(words) else found.get("whom")
        who = found.get("who") or (None if words.startswith(_PASSIVE) else "")
        return Notice(type_, who, whom, found.get("topic"))
    return None
