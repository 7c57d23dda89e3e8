"""What the verifier says of files in memory."""

import contextlib

import pytest

from refresher.contract import Finding
from refresher.errors import RejectedError
from refresher.verifiers.model import ModelOptions, ModelVerifier
from tests.fakes.candidate import FakeCandidate


def verify(files: dict[str, bytes], **options: object) -> Finding:
    return ModelVerifier(ModelOptions.model_validate(options)).verify(FakeCandidate(files))


def refusal(files: dict[str, bytes], **options: object) -> str:
    with pytest.raises(RejectedError) as refused:
        verify(files, **options)
    return str(refused.value)


def judged(files: dict[str, bytes], **options: object) -> None:
    """Accepted or refused, and nothing else."""
    with contextlib.suppress(RejectedError):
        assert verify(files, **options) == Finding()


def mutated(content: bytes, changes: list[tuple[int, int]], cut: int) -> bytes:
    """The content with some bytes changed, and cut or lengthened."""
    changed = bytearray(content)
    for place, value in changes:
        changed[place % len(changed)] = value
    return bytes(changed[: len(changed) + cut]) if cut < 0 else bytes(changed) + bytes(cut)
