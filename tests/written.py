"""Files, as a careful writer replaces them."""

from pathlib import Path


def put(path: Path, content: str) -> None:
    """Have the file hold this from one moment to the next: whoever looks meanwhile sees what was there before.

    Written in place, it would be empty for a moment, and a busy machine makes moments long.
    """
    new = path.with_name(f".{path.name}.new")
    new.write_text(content)
    new.replace(path)
