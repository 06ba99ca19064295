"""Matrix: rooms exported by Element as JSON, pages of a room's history, dumps of events.

dump (a file's events) ─► survey (names, members, who is meant) ─► telling (one Matrix event -> events)
"""

from archiver.importers.matrix.dump import Matrix

__all__ = ["Matrix"]
