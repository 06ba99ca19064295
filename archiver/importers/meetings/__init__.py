"""What is left of a meeting when it is over: captions with their speakers (WebVTT), Zoom's chat, Jigasi's transcript.

`start` tells when a meeting began, where its file only counts from there.
"""

from archiver.importers.meetings.jigasi import Jigasi
from archiver.importers.meetings.webvtt import WebVtt
from archiver.importers.meetings.zoom import ZoomChat

__all__ = ["Jigasi", "WebVtt", "ZoomChat"]
