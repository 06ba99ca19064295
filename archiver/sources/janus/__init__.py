"""Janus (VideoRoom and TextRoom), as its event handler plugin and its rooms' backends tell of it over HTTP.

notices       what it tells, read                 meetings    what that comes to: events of conferences
remembering   which meetings are on, in a file    asking      what Janus says of itself, and what rooms are called
source        the `Source`, its routes and its replies
"""
