"""Files -> events: one module a format behind one protocol, and the list of them.

A new format is one module and one line here; tests/contracts/importer.py is the suite it joins. Where documents lie
(folders, archives) is `document`'s, which of them are of which format `recognising`'s.
"""

from __future__ import annotations

from archiver.exceptions import UsageError
from archiver.importers.bigbluebutton import BigBlueButton
from archiver.importers.discord import Discord
from archiver.importers.document import Document
from archiver.importers.googlechat import GoogleChat
from archiver.importers.imessage import IMessage
from archiver.importers.irc import Irc
from archiver.importers.items import Items
from archiver.importers.mail import Mail
from archiver.importers.matrix import Matrix
from archiver.importers.mattermost import Mattermost, MattermostActiance, MattermostGlobalRelay, MattermostTable
from archiver.importers.meetings import Jigasi, WebVtt, ZoomChat
from archiver.importers.meta import Meta
from archiver.importers.ndjson import Events
from archiver.importers.protocol import Importer, Options, Reading
from archiver.importers.purple import Adium, Pidgin
from archiver.importers.rocketchat import RocketChat
from archiver.importers.rsmf import Rsmf
from archiver.importers.skype import Skype
from archiver.importers.slack import Slack
from archiver.importers.teams import Teams
from archiver.importers.telegram import Telegram
from archiver.importers.whatsapp import Signal, WhatsApp
from archiver.importers.xmpp import Xmpp
from archiver.importers.zulip import Zulip

__all__ = ["IMPORTERS", "Document", "Importer", "Options", "Reading", "importer"]

_ALL: tuple[Importer, ...] = (
    Items(),
    Events(),
    Rsmf(),
    MattermostGlobalRelay(),
    Mail(),
    Slack(),
    Teams(),
    Mattermost(),
    MattermostTable(),
    MattermostActiance(),
    RocketChat(),
    Zulip(),
    GoogleChat(),
    Skype(),
    Matrix(),
    IMessage(),
    Adium(),
    Pidgin(),
    Xmpp(),
    Discord(),
    Telegram(),
    Meta(),
    WebVtt(),
    Jigasi(),
    BigBlueButton(),
    ZoomChat(),
    Signal(),
    WhatsApp(),
    Irc(),
)
IMPORTERS: dict[str, Importer] = {each.name: each for each in _ALL}
"""In the order they are asked whether a document is theirs: the surest first."""


def importer(name: str) -> Importer:
    try:
        return IMPORTERS[name]
    except KeyError:
        known = ", ".join(sorted(IMPORTERS))
        raise UsageError(f"no such format: {name}", hint=f"known formats: {known}") from None
