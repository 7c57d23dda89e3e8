"""Values as YAML that readers of YAML 1.1 and of 1.2 take for the same."""

import re
from typing import Any

_IN_QUOTES = re.compile(r"[-+]?\.?[0-9]|[yYnN]\Z|.*[\x00-\x09\x0b-\x1f\x7f-\xa0\u2028\u2029\ufeff]", re.DOTALL)
"""Text that begins as a number does, is a short yes or no (YAML 1.1 has them, and PyYAML hasn't), or holds line breaks
and blanks that not every reader takes for the same."""


def yaml_text(value: object) -> str:
    """A document in block style; text in quotes where another reader could take it for a number."""
    import yaml  # loaded for YAML only

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    def text(dumper: Any, data: str) -> Any:
        # `1e3` is text for PyYAML, as YAML 1.1 has it, and a number for everybody who reads 1.2.
        style = '"' if _IN_QUOTES.match(data) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    Dumper.add_representer(str, text)
    width = float("inf")
    return str(yaml.dump(value, Dumper=Dumper, allow_unicode=True, sort_keys=False, width=width))
