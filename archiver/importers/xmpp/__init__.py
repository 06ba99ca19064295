"""XMPP: archives of messages as servers and clients give them.

file (`stream`: XML, `tables`: SQL) ─► `Envelope`: a stanza and where it was kept ─► `archive`: what it means ─► events
"""

from archiver.importers.xmpp.importer import Xmpp

__all__ = ["Xmpp"]
