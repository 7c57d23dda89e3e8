"""`python -m refresher` is the command `refresher`."""

from refresher.cli import main

main()
