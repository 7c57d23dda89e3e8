"""What is said of an unexpected error: its kind and where it happened, never its text, which may quote a secret."""

import traceback

FRAMES = 20
"""Of the way to it that are said, the innermost first: endless recursion has a thousand."""


def places_of(error: BaseException) -> str:
    """`KeyError at file:line in function < file:line in function …`."""
    steps = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    places = " < ".join(f"{step.filename}:{step.lineno} in {step.name}" for step in reversed(steps))
    return f"{type(error).__name__} at {places}"
