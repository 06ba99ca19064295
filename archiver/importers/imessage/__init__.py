"""iMessage and SMS of a Mac or an iPhone.

`database` makes events of `row`s; `body` unpacks texts, `edits` what they were before.
"""

from archiver.importers.imessage.database import IMessage

__all__ = ["IMessage"]
