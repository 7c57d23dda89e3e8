"""S3, and what speaks like it: one object, all below a prefix, or all below the prefix that a small object names.

Read on in `provider.py` (one look), then `listing.py` (what there is), `files.py` (one object's content), `clients.py`
(botocore's side), `troubles.py` (what answers mean).
"""

from providers.s3.provider import S3Provider

__all__ = ["S3Provider"]
