"""Several sources in one asset: a provider made of named providers, whose files are fetched and change together.

`provider` is what the core sees, `fetching` one fetch, `asking` one source asked in a thread of its own. What they
write down for later is in `revisions` and `leases`; `parts` is each source's own part of a set of files, and `checks` a
verifier that judges no more than one.
"""

from refresher.sources.checks import of_source
from refresher.sources.provider import Sources

__all__ = ["Sources", "of_source"]
