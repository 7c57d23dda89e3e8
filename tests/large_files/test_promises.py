"""What a list of digests promises, and is kept, is linked: only the list and what is new come."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from refresher.model import Asset, NamedVerifier, Result
from refresher.verifiers.checksums import LIST_LIMIT, ChecksumsOptions, ChecksumsVerifier
from tests.fakes.models import MiB, Model, content
from tests.fakes.source import Source, read
from tests.large_files.assets import ONE, THREE, TWO, incoming, inode, refresh, web
from tests.large_files.test_unpacking import packed

LIST = "SHA256SUMS"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def lines(files: Mapping[str, bytes]) -> bytes:
    return "".join(f"{digest(data)}  {name}\n" for name, data in files.items()).encode()


def models(files: Mapping[str, bytes], version: str) -> list[Model]:
    """Files that the source gives other revisions in each version."""
    return [Model(name, data, revision=f"{version}/{name}") for name, data in files.items()]


def checked(volume: Path, files: Sequence[Model], *, revision: str, options: Any = None, **changes: object) -> Asset:
    verifier = ChecksumsVerifier(ChecksumsOptions(**(options or {"file": LIST})))
    return web(volume, files, revision=revision, verifiers=(NamedVerifier(name="sums", verifier=verifier),), **changes)


def listed(volume: Path, files: Sequence[Model], says: bytes, *, revision: str, **changes: object) -> Asset:
    """The files, with a list that says this, of its own revision."""
    return checked(volume, [*files, *models({LIST: says}, revision)], revision=revision, **changes)


def publish(volume: Path, files: Mapping[str, bytes], version: str, **changes: object) -> list[Model]:
    """Publish the files with their list: what of them came."""
    come = models(files, version)
    outcome = refresh(listed(volume, come, lines(files), revision=version, **changes))
    assert outcome.result is Result.PUBLISHED, outcome
    return [model for model in come if model.opened]


FIRST = {"a": ONE, "deep/b": TWO}
SECOND = {"a": ONE, "deep/b": THREE}


def test_what_the_list_promises_and_is_kept_is_not_fetched(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, "v1")
    assert [model.name for model in publish(tmp_path, SECOND, "v2")] == ["deep/b"]
    assert read(tmp_path / "web") == SECOND | {LIST: lines(SECOND)}
    store = tmp_path / "web/..refresher"
    assert inode(store / "00000001/files/a") == inode(store / "00000002/files/a")


def test_going_back_to_what_is_kept_costs_the_list(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, "v1")
    publish(tmp_path, SECOND, "v2")
    come = models(FIRST, "v3")
    assert refresh(listed(tmp_path, come, lines(FIRST), revision="v3")).fetched_bytes == len(lines(FIRST))
    assert read(tmp_path / "web") == FIRST | {LIST: lines(FIRST)}


def test_a_list_that_did_not_change_is_read_where_it_is_kept(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, "v1")
    again = [*models(FIRST, "v2"), *models({LIST: lines(FIRST), "deep/.keep": b""}, "v1")]
    outcome = refresh(checked(tmp_path, again, revision="v2"))
    assert "not listed: deep/.keep" in str(outcome.error)
    assert outcome.fetched_bytes == 0


def test_a_list_of_a_directory_promises_the_files_below_it(tmp_path: Path) -> None:
    for version, says in (("v1", lines({"b c": TWO})), ("v2", f"SHA256 (./b c) = {digest(TWO).upper()}\n".encode())):
        come = models({"deep/b c": TWO, f"deep/{LIST}": says}, version)
        outcome = refresh(checked(tmp_path, come, revision=version, options={"file": f"deep/{LIST}"}))
        assert outcome.result is Result.PUBLISHED, outcome
    assert come[0].moved == 0


def test_digests_that_are_configured_need_no_list(tmp_path: Path) -> None:
    options = {"digests": {name: f"sha256:{digest(data)}" for name, data in FIRST.items()}}
    refresh(checked(tmp_path, models(FIRST, "v1"), revision="v1", options=options))
    outcome = refresh(checked(tmp_path, models(FIRST, "v2"), revision="v2", options=options))
    assert (outcome.result, outcome.fetched_bytes) == (Result.UNCHANGED, 0)


def test_what_another_source_brought_counts_by_its_content(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, "v1")
    assert publish(tmp_path, {**FIRST, "c": THREE}, "v2", source="sha256:other")[0].name == "c"


def test_a_list_that_promises_another_size_is_not_believed(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, "v1")
    come = models({"a": THREE, "deep/b": TWO}, "v2")
    outcome = refresh(listed(tmp_path, come, lines(FIRST), revision="v2"))
    assert str(outcome.error) == f"sums: {LIST}: files differ from their listed digests: a"
    assert come[0].moved == len(THREE)
    assert read(tmp_path / "web") == FIRST | {LIST: lines(FIRST)}


def test_a_digest_that_the_source_promises_itself_counts_more(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, "v1")
    come = [Model("a", TWO, revision="v2", digest=f"sha256:{digest(TWO[:-1])}"), *models({"deep/b": TWO}, "v2")]
    outcome = refresh(listed(tmp_path, come, lines(FIRST), revision="v2"))
    assert outcome.error == "a does not have the promised digest"


def test_what_a_list_promised_wrongly_comes_once_it_is_corrected(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, "v1")
    wrong = models({"a": TWO, "deep/b": THREE}, "v2")
    assert refresh(listed(tmp_path, wrong, lines(SECOND), revision="v2")).result is Result.PUBLISHED
    assert read(tmp_path / "web") == SECOND | {LIST: lines(SECOND)}
    right = {"a": TWO, "deep/b": THREE}
    assert refresh(listed(tmp_path, models(right, "v2"), lines(right), revision="v3")).result is Result.PUBLISHED
    assert read(tmp_path / "web") == right | {LIST: lines(right)}


@pytest.mark.parametrize(
    ("says", "error"),
    [
        (b"nonsense\n" + lines(FIRST), "line 1 is not a SHA-256 digest and a name"),
        (lines(FIRST) + b"\xff", "is not UTF-8 text"),
        (lines(FIRST) + b"#" * LIST_LIMIT, f"at most {LIST_LIMIT} are read"),
        (b"# none\n", "lists no files"),
        (None, f"{LIST} is missing"),
    ],
    ids=["broken", "binary", "huge", "empty", "missing"],
)
def test_a_list_that_cannot_be_read_promises_nothing(tmp_path: Path, says: bytes | None, error: str) -> None:
    publish(tmp_path, FIRST, "v1")
    come = models(FIRST, "v2")
    offered = come if says is None else [*come, *models({LIST: says}, "v2")]
    outcome = refresh(checked(tmp_path, offered, revision="v2"))
    assert outcome.result is Result.REJECTED
    assert error in str(outcome.error)
    assert [model.moved for model in come] == [len(ONE), len(TWO)]


def test_a_list_may_name_itself_and_what_is_not_there_and_leave_out_what_is(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, "v1")
    come = models({"a": ONE, "c": TWO}, "v2")
    says = lines({LIST: ONE, "a": ONE, "gone": TWO})
    assert "listed files are missing: gone" in str(refresh(listed(tmp_path, come, says, revision="v2")).error)
    assert [model.moved for model in come] == [0, len(TWO)]


@pytest.mark.parametrize("spoil", ["sensitive", "written into"])
def test_what_is_never_linked_is_not_linked_for_a_promise_either(tmp_path: Path, spoil: str) -> None:
    files = {"a": THREE}
    publish(tmp_path, files, "v1")
    if spoil == "written into":
        with (tmp_path / "web/..refresher/00000001/files/a").open("r+b") as file:
            file.write(b"forged")
    come = models(files, "v2")
    come[0].sensitive = spoil == "sensitive"
    refresh(listed(tmp_path, come, lines(files), revision="v2"))
    assert come[0].moved == len(THREE)


def test_what_came_with_the_answer_is_judged_and_not_replaced(tmp_path: Path) -> None:
    said = lines({"a": b"one"})
    source = Source(files={"a": b"one", LIST: said})
    refresh(checked(tmp_path, [], revision="", provider=source))
    source.revision, source.files = "r2", {"a": b"two", LIST: said}
    assert "differ from their listed digests: a" in str(
        refresh(checked(tmp_path, [], revision="", provider=source)).error
    )


def test_an_archive_is_unpacked_whatever_a_list_promises_of_it(tmp_path: Path) -> None:
    archive = {"m.tar.gz": packed({"model.bin": ONE})}
    publish(tmp_path, archive, "v1")
    come = models(archive, "v2")
    refresh(listed(tmp_path, come, lines(archive), revision="v2", unpack=True))
    assert come[0].moved == len(archive["m.tar.gz"])


def test_what_had_begun_to_come_gives_way_to_the_link(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, "v1")
    begun = models({**FIRST, "a": TWO[: 10 * MiB]}, "v2")
    begun[0].breaks = [8 * MiB, 0, 0, 0]
    refresh(checked(tmp_path, begun, revision="v2"))
    assert (incoming(tmp_path)[0] / "files/a").stat().st_size == 8 * MiB
    assert publish(tmp_path, {**FIRST, "c": THREE}, "v2")[0].name == "c"
    assert read(tmp_path / "web")["a"] == ONE
    assert incoming(tmp_path) == []


def test_what_was_linked_for_a_promise_is_not_gone_on_with_as_what_the_source_has(tmp_path: Path) -> None:
    publish(tmp_path, FIRST, "v1")
    there = {"a": content(12 * MiB, seed=8), "deep/b": content(12 * MiB, seed=9)}
    begun = models(there, "v2")
    begun[1].breaks = [8 * MiB, 0, 0, 0]
    lie = lines({**there, "a": ONE})
    assert refresh(listed(tmp_path, begun, lie, revision="v2")).error_class == "TransientError"
    # Nobody else has it now, as after its generation was pruned.
    (tmp_path / "web/..refresher/00000001/files/a").unlink()
    come = models(there, "v2")
    assert refresh(listed(tmp_path, come, lines(there), revision="v3")).result is Result.PUBLISHED
    assert [model.moved for model in come] == [12 * MiB, 4 * MiB]
