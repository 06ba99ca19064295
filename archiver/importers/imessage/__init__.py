"""iMessage and SMS of a Mac or an iPhone: `database` (rows -> events) with `body` (texts packed in blobs)."""

from archiver.importers.imessage.database import IMessage

__all__ = ["IMessage"]
