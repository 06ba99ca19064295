"""Telegram Desktop's exports: `export` reads chats, `line` says what one entry holds."""

from archiver.importers.telegram.export import Telegram

__all__ = ["Telegram"]
