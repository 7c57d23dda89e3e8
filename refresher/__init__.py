"""refresher keeps a directory of a shared volume fresh: pulled, verified, published atomically, and told."""

__version__ = "0.1.0"
