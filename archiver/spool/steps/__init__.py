"""The steps of a `Spool`, by what they are for. Each names the module that does it, and holds no logic of its own."""
