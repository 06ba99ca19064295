"""Google Chat as Takeout gives it: `takeout` reads conversations, `message` says what one message holds."""

from archiver.importers.googlechat.takeout import GoogleChat

__all__ = ["GoogleChat"]
