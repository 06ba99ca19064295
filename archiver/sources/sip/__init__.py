"""SIP as capture agents tell of it: Kamailio's and OpenSIPS's siptrace, over HEPv3.

datagram or stream ─► `hep` ─► `message` (and `cpim`, `saying`, `roster`) ─► `tracking` ─► `telling` ─► events

`tracking` takes each message once, `dialogs` the calls, `conference` who is in one; in between goes a `happening`. All
but `source`, `receiving` and `remembering` is pure. No audio or video is ever looked at.
"""
