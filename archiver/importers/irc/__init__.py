"""IRC logs of many clients and bots -> events.

file -> `survey` (dialect, channel, first time) -> lines -> `parse` -> `Clock` -> events

There is no standard: `dialect` holds a table of how each kind of log writes its lines, `clock` turns times of day into
times, `log` reads a file. Leaves are often not recorded: presence is partial.
"""

from archiver.importers.irc.log import Irc

__all__ = ["Irc"]
