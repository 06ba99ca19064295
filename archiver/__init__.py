"""Conversation history archiver: what people say in IM and conferences, filed in their mailboxes."""

__version__ = "0.1.0"
