"""Dumps of Rocket.Chat's database (mongodump).

`dump` reads BSON and the files kept in it, `messages` says what each message means.
"""

from archiver.importers.rocketchat.messages import RocketChat

__all__ = ["RocketChat"]
