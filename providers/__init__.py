"""The built-in providers; each speaks to one kind of source, and refresher finds them through entry points."""
