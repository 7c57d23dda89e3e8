import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from refresher.contract import Finding, StagedFile
from refresher.errors import RejectedError
from refresher.verifiers.model import ModelOptions, ModelVerifier
from tests.fakes.candidate import FakeCandidate
from tests.fakes.model_formats import Gguf, gguf, index, onnx, safetensors, tensor
from tests.verifiers.model.judging import judged, refusal, verify

MODELS = {"a.safetensors": safetensors(), "b.gguf": gguf(), "c.onnx": onnx()}
OTHERS = {"config.json": b"{}", "tokenizer.model": b"\n\x0e", "README.md": b"# model\n"}


def test_models_of_each_format_are_accepted_with_other_files_beside_them() -> None:
    assert verify(MODELS | OTHERS) == Finding()


@pytest.mark.parametrize("name", MODELS)
def test_any_broken_one_of_several_is_refused_by_its_name(name: str) -> None:
    assert refusal(MODELS | {name: MODELS[name][:-1]}).startswith(f"{name} is cut short")


def test_a_set_without_a_model_is_refused() -> None:
    assert refusal(OTHERS) == (
        "no file is a model in the format safetensors or gguf or onnx; "
        "there are: README.md, config.json, tokenizer.model"
    )


def test_a_set_of_another_format_can_be_looked_through_for_pickles_alone() -> None:
    saved = {"saved_model.pb": b"\x08\x01", "variables/variables.index": b"\0"}
    assert verify(saved, formats=[]) == Finding()
    assert "runs code" in refusal(saved | {"assets/x.pkl": b""}, formats=[])


@pytest.mark.parametrize(("name", "kind"), [("a.safetensors", "safetensors"), ("b.gguf", "gguf"), ("c.onnx", "onnx")])
def test_only_the_formats_that_are_named_may_be_there(name: str, kind: str) -> None:
    assert verify({name: MODELS[name]}, formats=[kind]) == Finding()
    others = [each for each in ("safetensors", "gguf", "onnx") if each != kind]
    for formats in (others, []):
        assert f"{name} is in the format {kind}" in refusal({name: MODELS[name]}, formats=formats)


def test_models_are_known_by_how_they_begin_too() -> None:
    assert verify({"weights": safetensors()}, formats=["safetensors"]) == Finding()
    assert verify({"blobs/sha256-1": gguf()}, formats=["gguf"]) == Finding()
    assert "weights has bytes after its end" in refusal({"weights": safetensors() + b"x"})
    assert "weights is cut short" in refusal({"weights": gguf()[:-1]})


def test_endings_are_known_in_upper_case_too() -> None:
    assert "A.SafeTensors is cut short" in refusal({"A.SafeTensors": b"x"})


@pytest.mark.parametrize("options", [{"formats": ["pickle"]}, {"allow_pickle": "perhaps"}, {"format": []}])
def test_other_options_are_configuration_errors(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ModelOptions.model_validate(options)


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_an_index_needs_all_its_shards(ending: str) -> None:
    shards = [f"x.{ending}", f"parts/y.{ending}"]
    content = safetensors() if ending == "safetensors" else b"\0"
    name = f"m/model.{ending}.index.json"
    files = MODELS | {f"m/{shard}": content for shard in shards} | {name: index([*shards, *shards])}
    assert verify(files) == Finding()
    del files[f"m/{shards[1]}"]
    assert refusal(files) == f"{name} is one part of a model whose other parts are missing: m/parts/y.{ending}"


def test_an_index_does_not_lead_out_of_the_set() -> None:
    for shard in ("../a.safetensors", "/a.safetensors"):
        files = MODELS | {"m/model.safetensors.index.json": index([shard])}
        assert "other parts are missing" in refusal(files)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "{ is missing"),
        (b"[]", "{ is missing"),
        (b"{}", "weight_map is missing"),
        (b'{"weight_map": []}', "{ is missing"),
        (b'{"weight_map": {"a": 1}}', '" is missing'),
        (b'{"weight_map": {}} x', "something follows its end"),
        (b'{"metadata": ' + b"[" * 100_000, "nested too deeply"),
        (b"\xff", "is not UTF-8"),
    ],
)
def test_an_index_that_is_none_is_refused(content: bytes, problem: str) -> None:
    assert problem in refusal(MODELS | {"model.safetensors.index.json": content})


@given(st.text(alphabet='{}[]":,\\ weight_map1.5', max_size=80))
def test_any_index_is_accepted_or_refused(content: str) -> None:
    judged(MODELS | {"model.safetensors.index.json": content.encode()})


@pytest.mark.parametrize(("ending", "content"), [("gguf", gguf()), ("safetensors", safetensors())])
def test_a_numbered_series_needs_all_its_parts(ending: str, content: bytes) -> None:
    files = {f"big-{number:05}-of-00003.{ending}": content for number in (1, 2, 3)}
    assert verify(files) == Finding()
    del files[f"big-00002-of-00003.{ending}"]
    assert refusal(files) == (
        f"big-00001-of-00003.{ending} is one part of a model whose other parts are missing: big-00002-of-00003.{ending}"
    )
    assert "other parts are missing" in refusal({f"huge-00001-of-99999.{ending}": content})


@dataclass(frozen=True)
class OnDisk(FakeCandidate):
    """One file on the disk, of which most is a hole."""

    contents: dict[str, bytes] = field(default_factory=dict)
    path: Path = Path()

    @property
    def files(self) -> dict[str, StagedFile]:
        return {self.path.name: StagedFile(size=self.path.stat().st_size, digest="sha256:", sensitive=False)}

    def open(self, name: str) -> BinaryIO:
        return self.path.open("rb")


HUGE = 100 * 1000**3


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.safetensors", safetensors({"a": tensor(0, HUGE)}, data=0)),
        ("b.gguf", Gguf().tensor(b"a", [HUGE], 24, 0).file(0)),
    ],
)
def test_files_of_a_hundred_gigabytes_are_judged_by_their_headers_alone(
    tmp_path: Path, name: str, start: bytes
) -> None:
    candidate = OnDisk(path=tmp_path / name)
    candidate.path.write_bytes(start)
    os.truncate(candidate.path, len(start) + HUGE)
    assert ModelVerifier(ModelOptions()).verify(candidate) == Finding()
    os.truncate(candidate.path, len(start) + HUGE - 1)
    with pytest.raises(RejectedError, match="is cut short: by its header it has at least 1000000"):
        ModelVerifier(ModelOptions()).verify(candidate)
