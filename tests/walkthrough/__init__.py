"""Pages followed word by word, on a clean checkout, as somebody new would: `python -m tests.walkthrough`."""
