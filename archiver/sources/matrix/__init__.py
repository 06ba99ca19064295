"""A Matrix homeserver as a source: an application service, to which the homeserver sends every event it sees.

registration  the file that both share         homeserver   what is asked of the homeserver
source        the `Source`                     reception    what the homeserver asks of us
reaching      whether it reaches us            trying       asking it for that
gaps          what it never told               late         files that come after their messages
turns         what these need of reception
ledger        what outlives a restart          rooms        rooms as they are now
translating   a transaction -> events          fetching     files, at once or later
history       rooms older than the service     saving       which of them are saved, for a backfill

What an event means is `archiver.importers.matrix`' business, so that a room's history read from a file gives the same.
"""
