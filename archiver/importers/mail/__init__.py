"""Mails in files -> events, exactly those that live intake by SMTP makes of them: EML, mbox, Maildir.

What a mail says is `archiver.sources.mail`'s: a journal report, a transcript somebody's gateway sent, an event file
that is attached. Here is only where one mail ends and the next begins.
"""

from archiver.importers.mail.reading import Mail

__all__ = ["Mail"]
