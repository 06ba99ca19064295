"""SIP as capture agents tell of it: Kamailio's and OpenSIPS's siptrace, over HEPv3.

datagram or stream ─► `hep` ─► `message` (and `cpim`, `saying`) ─► `tracking` ─► `telling` ─► events

All but `source` and `receiving` is pure. No audio or video is ever looked at.
"""
