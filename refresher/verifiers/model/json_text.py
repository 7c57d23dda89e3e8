"""JSON read piece by piece, so that a hostile document costs no more memory than its text.

`json.loads` makes objects of sixty bytes and more out of two characters, before anybody can look at them.
"""

import re
from collections.abc import Iterator
from json import JSONDecodeError, JSONDecoder

DEPTH_LIMIT = 32

_decode = JSONDecoder().raw_decode
_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_COUNT = re.compile(r"(?:0|[1-9][0-9]{0,19})(?![0-9.eE])")
_LITERAL = re.compile(r"true|false|null")


class JsonText:
    """A document and how far it has been read. Everything raises ValueError, saying where, if it isn't as asked for."""

    def __init__(self, text: str) -> None:
        self._text, self._position = text, 0

    def members(self) -> Iterator[str]:
        """The keys of the object that is next; at each of them the value is next, and has to be read."""
        self._expect("{")
        if self._follows("}"):
            return
        while True:
            key = self.string()
            self._expect(":")
            yield key
            if self._follows("}"):
                return
            self._expect(",")

    def items(self) -> Iterator[None]:
        """Once for each item of the array that is next; each time the item is next, and has to be read."""
        self._expect("[")
        if self._follows("]"):
            return
        while True:
            yield
            if self._follows("]"):
                return
            self._expect(",")

    def string(self) -> str:
        """The text that is next."""
        if self._next() != '"':
            raise ValueError(f'" is missing at character {self._position}')
        try:
            found, self._position = _decode(self._text, self._position)
        except JSONDecodeError as error:
            position = error.pos
        else:
            return str(found)
        # Raised out here, without a cause: a JSONDecodeError carries the whole document.
        raise ValueError(f"a text is not as JSON has it at character {position}")

    def count(self) -> int:
        """The whole number from 0 to 20 digits that is next."""
        return int(self._matched(_COUNT, "a whole number from 0 on"))

    def skip(self, depth: int = 0) -> None:
        """Pass over the value that is next."""
        if depth > DEPTH_LIMIT:
            raise ValueError("it is nested too deeply")
        start = self._next()
        if start == "{":
            for _ in self.members():
                self.skip(depth + 1)
        elif start == "[":
            for _ in self.items():
                self.skip(depth + 1)
        elif start == '"':
            self.string()
        else:
            self._matched(_LITERAL if start.isalpha() else _NUMBER, "a value")

    def end(self) -> None:
        """Nothing follows."""
        if self._next():
            raise ValueError(f"something follows its end, at character {self._position}")

    def _next(self) -> str:
        space = _SPACE.match(self._text, self._position)
        self._position = space.end() if space else self._position
        return self._text[self._position : self._position + 1]

    def _follows(self, mark: str) -> bool:
        found = self._next() == mark
        self._position += found
        return found

    def _expect(self, mark: str) -> None:
        if not self._follows(mark):
            raise ValueError(f"{mark} is missing at character {self._position}")

    def _matched(self, pattern: re.Pattern[str], what: str) -> str:
        self._next()
        match = pattern.match(self._text, self._position)
        if match is None:
            raise ValueError(f"{what} is missing at character {self._position}")
        self._position = match.end()
        return match[0]
