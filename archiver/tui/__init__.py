"""What lies in people's folders, to be looked through by keyboard on a terminal (`archiver inspect --tui`).

    store, search index ─► library (threads) ─► mailboxes ─► conversations ─► transcript      the panes
                                                     └─ rows: a list of any length ◄─ piece: text made harmless

Changes nothing. What `archiver inspect` lists, finds and shows is listed, found and shown here, by the same code.
Needs Textual, which its own extra installs; nothing else may import this.
"""
