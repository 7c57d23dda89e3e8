"""Measures refresher beside its nearest peer, on the same work and against the same server: `python -m bench`."""
