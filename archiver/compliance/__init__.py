"""What the law and an administrator ask of what is filed: keeping under holds, purge, erasure, explanation."""
