"""The conformance kit: what every plugin, refresher's own and yours, has to pass. Public.

Subclass a contract in a file that pytest collects, say how to make the plugin and what it talks to, and run it against
the real thing:

    class TestMyProvider(ProviderContract):
        def provider(self): ...
        def change(self): ...
        def missing_provider(self): ...
        def unreachable_provider(self): ...

Fixtures of yours reach the hooks through an autouse fixture method that sets attributes on `self`.
"""

from refresher.testing.notifiers import NotifierContract
from refresher.testing.providers import ProviderContract
from refresher.testing.verifiers import VerifierContract

__all__ = ["NotifierContract", "ProviderContract", "VerifierContract"]
