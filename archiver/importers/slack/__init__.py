"""Slack exports, as a zip or a folder.

`workspace` finds channels, people and days, `message` says what each line means, `mrkdwn` reads Slack's markup.
"""

from archiver.importers.slack.workspace import Slack

__all__ = ["Slack"]
