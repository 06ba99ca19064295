"""WhatsApp's exported chats (and Signal's, in the same form).

`line` tells lines that begin a message from those that go on with one, `dates` the order of day, month and year from
the whole file, which `survey` looks over first; `words` and `notices` know how phones say what is no text, `chat` what
each message means.
"""

from archiver.importers.whatsapp.chat import Signal, WhatsApp

__all__ = ["Signal", "WhatsApp"]
