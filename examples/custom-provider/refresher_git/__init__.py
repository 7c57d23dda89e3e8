"""Files out of a Git repository, as a source for refresher."""

from refresher_git.provider import GitProvider

__all__ = ["GitProvider"]
