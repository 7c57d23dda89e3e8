"""Which of a candidate's files are models, what each has to be, and that none of them holds a pickle."""

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import BinaryIO, Literal, get_args

from pydantic import BaseModel, ConfigDict

from refresher.contract import Candidate, Finding
from refresher.errors import RejectedError
from refresher.verifiers.content import listed
from refresher.verifiers.model import gguf, onnx, safetensors
from refresher.verifiers.model.header import Header
from refresher.verifiers.model.pickles import holds_pickle
from refresher.verifiers.model.shards import refuse_missing_shards

Format = Literal["safetensors", "gguf", "onnx"]

ENDINGS: dict[str, Format] = {".safetensors": "safetensors", ".gguf": "gguf", ".onnx": "onnx"}

CHECKS: dict[Format, Callable[[Header, Candidate], None]] = {
    "safetensors": safetensors.check,
    "gguf": gguf.check,
    "onnx": onnx.check,
}

_START = 16


class ModelOptions(BaseModel):
    """`formats` are those that may be there, and one of them has to; an empty list is for sets of other formats.

    With `allow_pickle` files may hold pickles, and count as models.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    formats: tuple[Format, ...] = get_args(Format)
    allow_pickle: bool = False


class ModelVerifier:
    """Accepts model files whose headers and sizes agree; reads the headers alone, whatever the files' size."""

    Options = ModelOptions

    def __init__(self, options: ModelOptions) -> None:
        self._options = options

    def verify(self, candidate: Candidate) -> Finding:
        """Raises RejectedError with the file, what its header says, and what there is."""
        models = [name for name in sorted(candidate.files) if self._is_model(candidate, name)]
        if self._options.formats and not models:
            wanted, there = " or ".join(self._options.formats), listed(candidate.files)
            raise RejectedError(f"no file is a model in the format {wanted}; there are: {there}")
        refuse_missing_shards(candidate)
        return Finding()

    def _is_model(self, candidate: Candidate, name: str) -> bool:
        with candidate.open(name) as file:
            pickled = holds_pickle(file, name)
            if pickled and not self._options.allow_pickle:
                raise RejectedError(f"{name} is a Python pickle or may hold one, and that runs code when it is loaded")
            kind = _format(file, name, size=candidate.files[name].size)
            if kind is None:
                return pickled
            if kind not in self._options.formats:
                raise RejectedError(f"{name} is in the format {kind}, which the option formats doesn't name")
            file.seek(0)
            CHECKS[kind](Header(file, name, size=candidate.files[name].size), candidate)
            return True


def _format(file: BinaryIO, name: str, *, size: int) -> Format | None:
    """By its ending, or else by how it begins; ONNX has nothing that it could be known by."""
    file.seek(0)
    start = file.read(_START)
    if start.startswith(gguf.MAGIC):
        return "gguf"
    if safetensors.begins(start, size=size):
        return "safetensors"
    return ENDINGS.get(PurePosixPath(name).suffix.lower())
