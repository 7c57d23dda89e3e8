"""What a source has, made into the files that an app reads: by templates, or in ready forms.

`rendering.Rendering` is a provider around another one, and `recipe.recipe` what it renders by, from the entries of the
configuration. Everything here works in memory: what came in never touches the disk.
"""
