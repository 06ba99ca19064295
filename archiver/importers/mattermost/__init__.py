"""Mattermost: the bulk export (JSON lines), and the compliance exports: CSV, Actiance's XML, Global Relay's mails.

The bulk export has no ids of posts, the compliance ones have: the two can't be told to be of the same chat.
"""

from archiver.importers.mattermost.actiance import MattermostActiance
from archiver.importers.mattermost.bulk import Mattermost
from archiver.importers.mattermost.globalrelay import MattermostGlobalRelay
from archiver.importers.mattermost.table import MattermostTable

__all__ = ["Mattermost", "MattermostActiance", "MattermostGlobalRelay", "MattermostTable"]
