"""What can't be rendered, said without what it is."""


class Unfit(Exception):  # noqa: N818 - no error of the program: of a value, or of whoever wrote the template
    """Its text is a sentence of ours: it may name files and keys that the configuration names, and quotes no value."""
