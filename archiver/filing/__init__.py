"""From the spool into the folders: what the job does with conversations that are due, joined in `pipeline`."""
