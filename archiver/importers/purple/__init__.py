"""Logs that libpurple's clients write: Pidgin's (HTML and text) and Adium's (XML, of old HTML).

`log` is what they share, `notices` what they say of rooms in many languages.
"""

from archiver.importers.purple.adium import Adium
from archiver.importers.purple.pidgin import Pidgin

__all__ = ["Adium", "Pidgin"]
