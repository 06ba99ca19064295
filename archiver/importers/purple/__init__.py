"""Logs that libpurple's clients write: Pidgin's (HTML and text) and Adium's (XML). `log` is what both share."""

from archiver.importers.purple.adium import Adium
from archiver.importers.purple.pidgin import Pidgin

__all__ = ["Adium", "Pidgin"]
