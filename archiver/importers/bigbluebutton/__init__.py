"""BigBlueButton recordings (events.xml, from 0.7 to 3.0) -> events.

file -> `recording` (XML as a flat stream) -> `meeting` (room, session, times), `action` (who, what) -> events

A meeting instance is a `session` of a `conference`; its room, which keeps its id from one meeting to the next, is the
conversation.
"""

from archiver.importers.bigbluebutton.meeting import BigBlueButton

__all__ = ["BigBlueButton"]
