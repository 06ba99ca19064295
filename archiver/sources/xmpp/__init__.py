"""XMPP servers, which a module of ours tells of what is said on them: Prosody, ejabberd.

record       what a module sends, one line each (docs/xmpp.md)
telling      what a record means: events, as importing the server's archive gives them
remembering  what later records refer to, in a file
source       the `Source` itself, on the HTTP stack
component    the way without a module: copies that ejabberd's own mod_service_log sends
"""
