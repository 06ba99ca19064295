"""What lies in people's folders, and the whole in pictures, as a site to read (`archiver inspect --web`).

    request ─► guard (name, method, session) ─► application (routes) ─► pages ─► view (templates)
                                                                        ├► catalogue, browsing ─► store
                                                                        └► parts, frame: a message made harmless

Changes nothing, needs no script in the browser and nothing from elsewhere. `serving` listens; `access` and `password`
know who may read. Holds nothing of what the archiver decides.
"""
