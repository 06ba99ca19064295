"""Items written out of folders and archives, in a form that others read, with a manifest of SHA-256 digests.

    origins, selecting ─► exporting ─► a form: eml, rsmf and pages (folders), mbox and zipped (one file)
                                        ├► manifest, spreadsheet: what was written
                                        └► durable: files that are whole or not there

What is exported whole is noted in the spool, which a purge may ask.
"""
