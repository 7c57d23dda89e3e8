"""Model files: whole by what their headers say, and none that runs code when it is loaded.

Read on in `verifier.py` (which file is what), `header.py` (reading a little of much), then the formats, `shards.py` and
`pickles.py`.
"""

from refresher.verifiers.model.verifier import ModelOptions, ModelVerifier

__all__ = ["ModelOptions", "ModelVerifier"]
