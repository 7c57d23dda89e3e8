"""The page for people: how every asset stands, drawn here, and kept current in the browser by a small script.

Nothing of it is loaded before somebody opens it.
"""
