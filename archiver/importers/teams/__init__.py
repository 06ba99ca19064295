"""Microsoft Teams.

`export` finds messages in an administrator's export or in answers of Graph, `message` says what each chatMessage means.
"""

from archiver.importers.teams.export import Teams

__all__ = ["Teams"]
