"""PEM text in its blocks (RFC 7468)."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from refresher.render.unfit import Unfit

_BEGIN, _END, _DASHES = "-----BEGIN ", "-----END ", "-----"


@dataclass(frozen=True, slots=True)
class Block:
    """One certificate or key: what it is, such as `CERTIFICATE`, and its text, with the line end."""

    label: str
    text: str = field(repr=False)

    def __str__(self) -> str:
        return self.text


def blocks(text: str) -> list[Block]:
    """All of the text's blocks; what stands between them is left out. Raises Unfit for a block without an end."""
    return list(_blocks(text))


def _blocks(text: str) -> Iterator[Block]:
    label, lines = "", list[str]()
    for line in map(str.strip, text.splitlines()):
        if not label and line.startswith(_BEGIN) and line.endswith(_DASHES):
            label, lines = line.removeprefix(_BEGIN).removesuffix(_DASHES), [line]
        elif label:
            lines.append(line)
            if line == f"{_END}{label}{_DASHES}":
                yield Block(label, "\n".join(lines) + "\n")
                label = ""
    if label:
        raise Unfit("a PEM block has no end")
