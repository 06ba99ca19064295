"""An XMPP component (XEP-0114), to which ejabberd's own mod_service_log sends copies of what its users send and get.

stream ─► linking ─► reading ─► copies ─► rooms ─► presences, roster
source makes it all. `stream` gives elements, `linking` connects and keeps, `copies` and below say which copies tell
something new: records, as a module of ours in the server tells them (`making`).
"""
