"""The world, live, to events: one module a source behind one protocol (`protocol.Source`).

A source only captures. What an event means, where it is kept and who gets it is decided further on.
"""
