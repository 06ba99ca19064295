"""What may, must and must not be done: rules and `now` in, frozen decisions with their reasons out. Pure.

Everything here answers and does nothing; `filing` and `compliance` ask it and act.
"""
