import contextlib
import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from refresher import cycle, rollback
from refresher.contract import Finding
from refresher.errors import RejectedError
from refresher.model import NamedVerifier, Result, Wish
from refresher.verifiers.checksums import ChecksumsOptions, ChecksumsVerifier
from tests.fakes.candidate import FakeCandidate, FakeFiles, HugeCandidate, UnreadableCandidate
from tests.fakes.source import Source, Time, asset, read

FILES = {"model.bin": b"weights", "tokens/vocab.txt": b"words"}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def gnu(files: dict[str, bytes], marker: str = " ") -> bytes:
    return "".join(f"{digest(data)} {marker}{name}\n" for name, data in files.items()).encode()


def verify(files: dict[str, bytes], name: str = "SHA256SUMS") -> Finding:
    return ChecksumsVerifier(ChecksumsOptions(file=name)).verify(FakeCandidate(files))


def refusal(files: dict[str, bytes], name: str = "SHA256SUMS") -> str:
    with pytest.raises(RejectedError) as refused:
        verify(files, name)
    return str(refused.value)


def follow(before: bytes | None, after: bytes) -> Finding:
    """Judge files of which the list is `after` where the list `before` is published (None: nothing is)."""
    published = FakeFiles({"a": b"0"} | ({} if before is None else {"L": before}))
    candidate = FakeCandidate({"a": b"1", "L": after}, published=published)
    return ChecksumsVerifier(ChecksumsOptions(file="L", monotonic=True)).verify(candidate)


def aged(line: str, content: bytes = b"1") -> bytes:
    return f"{line}\n".encode() + gnu({"a": content})


def stale(before: bytes | None, after: bytes) -> str:
    with pytest.raises(RejectedError) as refused:
        follow(before, after)
    return str(refused.value)


def pinned(files: dict[str, bytes], **digests: str) -> Finding:
    options = ChecksumsOptions.model_validate({"digests": digests})
    return ChecksumsVerifier(options).verify(UnreadableCandidate(files))


@pytest.mark.parametrize("marker", [" ", "*"], ids=["text", "binary"])
def test_a_list_in_the_gnu_format_is_read(marker: str) -> None:
    assert verify(FILES | {"SHA256SUMS": gnu(FILES, marker)}) == Finding()


@pytest.mark.parametrize("line", ["SHA256 ({name}) = {digest}", "SHA256({name})= {digest}"], ids=["bsd", "openssl"])
def test_a_list_in_the_bsd_formats_is_read(line: str) -> None:
    lines = "\n".join(line.format(name=name, digest=digest(data)) for name, data in FILES.items())
    assert verify(FILES | {"SHA256SUMS": lines.encode()})


def test_windows_line_ends_comments_empty_lines_and_upper_case_are_read() -> None:
    content = b"# made by hand\r\n\r\n" + gnu(FILES).replace(b"\n", b"\r\n")
    assert verify(FILES | {"SHA256SUMS": content})
    assert verify({"a": b"1", "SHA256SUMS": f"{digest(b'1').upper()}  a".encode()})


def test_names_may_begin_with_the_current_directory() -> None:
    assert verify({"a": b"1", "SHA256SUMS": gnu({"./a": b"1"})})


def test_names_are_relative_to_the_directory_of_the_list() -> None:
    files = {"v1/a": b"1", "v1/SHA256SUMS": gnu({"a": b"1"})}
    assert verify(files, "v1/SHA256SUMS")
    assert "listed files are missing: v1/b" in refusal(files | {"v1/SHA256SUMS": gnu({"b": b"1"})}, "v1/SHA256SUMS")


def test_what_sha256sum_writes_for_odd_names_is_read(tmp_path: Path) -> None:
    files = {"two\nlines": b"1", "back\\slash": b"2", " spaces  ": b"3", "ümläut": b"4"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    for options in ([], ["--tag"]):
        written = subprocess.run(["sha256sum", *options, *files], cwd=tmp_path, capture_output=True, check=True).stdout
        assert verify(files | {"SHA256SUMS": written})


def test_a_different_file_is_refused() -> None:
    said = refusal(FILES | {"model.bin": b"other", "SHA256SUMS": gnu(FILES)})
    assert said == "SHA256SUMS: files differ from their listed digests: model.bin"


def test_a_listed_file_that_is_missing_is_refused() -> None:
    assert refusal({"SHA256SUMS": gnu({"a": b"1"})}) == "SHA256SUMS: listed files are missing: a"


def test_a_file_that_is_not_listed_is_refused() -> None:
    assert refusal(FILES | {"x": b"", "SHA256SUMS": gnu(FILES)}) == "SHA256SUMS: files are not listed: x"


def test_only_a_signature_of_the_list_itself_may_be_unlisted() -> None:
    signatures = {f"SHA256SUMS{ending}": b"s" for ending in (".sig", ".asc", ".bundle", ".sigstore.json")}
    files = FILES | {"SHA256SUMS": gnu(FILES)} | signatures
    assert verify(files)
    assert "not listed: model.bin.sig" in refusal(files | {"model.bin.sig": b""})


def test_a_list_that_is_missing_empty_or_something_else_is_refused() -> None:
    assert "SHA256SUMS is missing; there are: model.bin, tokens/vocab.txt" in refusal(FILES)
    assert refusal({"SHA256SUMS": b"\n"}) == "SHA256SUMS lists no files"
    assert "line 2 is not a SHA-256 digest and a name" in refusal({"SHA256SUMS": b"\n<html>"})
    assert "byte 0 can't be decoded" in refusal({"SHA256SUMS": b"\xff\xfe"})


def test_digests_of_another_kind_are_refused() -> None:
    line = f"{hashlib.sha512(b'1').hexdigest()}  a".encode()
    assert "line 1 is not" in refusal({"a": b"1", "SHA256SUMS": line})


def test_two_digests_for_one_name_are_refused() -> None:
    files = {"a": b"1", "SHA256SUMS": gnu({"a": b"1"}) + gnu({"./a": b"2"})}
    assert "line 2 has another digest" in refusal(files)
    assert verify(files | {"SHA256SUMS": gnu({"a": b"1"}) * 2})


def test_a_huge_list_is_refused_unread() -> None:
    with pytest.raises(RejectedError, match="SHA256SUMS has 1000000000000 bytes"):
        ChecksumsVerifier(ChecksumsOptions(file="SHA256SUMS")).verify(HugeCandidate({"SHA256SUMS": b""}))


def test_a_message_lists_only_some_of_many_names() -> None:
    files = {f"f{number}": b"" for number in range(9)}
    assert refusal(files | {"SHA256SUMS": gnu({"f0": b""})}).endswith("not listed: f1, f2, f3, f4, f5 and 3 more")


def test_configured_digests_are_compared_without_reading_anything() -> None:
    assert pinned({"a": b"1"}, a=f"sha256:{digest(b'1')}")


def test_configured_digests_cover_every_file() -> None:
    one = f"sha256:{digest(b'1')}"
    with pytest.raises(RejectedError, match="differ from their listed digests: a"):
        pinned({"a": b"2"}, a=one)
    with pytest.raises(RejectedError, match="listed files are missing: b"):
        pinned({"a": b"1"}, a=one, b=one)
    with pytest.raises(RejectedError, match="files are not listed: b"):
        pinned({"a": b"1", "b": b"1"}, a=one)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# version: 9", "# version: 10"),
        ("# date: 2026-11-26T10:00:00Z", "# date: 2026-11-26T10:00:01Z"),
        ("# date: 2026-11-26T10:00:00+02:00", "#date:2026-11-26T09:00:00Z"),
        ("# date: 2026-11-26T10:00:00Z", "# Date: 2026-11-26T10:00:00.000001Z"),
    ],
)
def test_a_newer_list_follows_an_older_one_and_never_the_other_way_round(before: str, after: str) -> None:
    assert follow(aged(before, b"0"), aged(after)) == Finding()
    assert "L is older than what is published" in stale(aged(after, b"0"), aged(before))


def test_a_replayed_list_is_refused_with_both_ages() -> None:
    said = stale(aged("# version: 17", b"0"), aged("# version: 16"))
    assert said == "L is older than what is published: version 16, after version 17"


def test_of_two_lists_of_one_age_only_the_published_one_is_accepted() -> None:
    published = aged("# version: 17")
    assert follow(published, published) == Finding()
    assert "L has the version 17, as what is published, and other content" in stale(published, published + b"# \n")
    moment, same = aged("# date: 2026-11-26T10:00:00Z", b"0"), aged("# date: 2026-11-26T12:00:00+02:00")
    assert "other content" in stale(moment, same)


def test_ages_of_two_kinds_are_not_compared_but_refused() -> None:
    said = stale(aged("# version: 17", b"0"), aged("# date: 2026-11-26T10:00:00Z"))
    assert said == "L has a date and the published one a version: they can't be compared"


@pytest.mark.parametrize("before", [None, gnu({"a": b"0"}), aged("# version: soon"), b"\xff"])
def test_what_was_published_without_an_age_bounds_nothing(before: bytes | None) -> None:
    assert follow(before, aged("# version: 1")) == Finding()


def test_the_first_list_of_all_needs_an_age_too() -> None:
    verifier = ChecksumsVerifier(ChecksumsOptions(file="L", monotonic=True))
    assert verifier.verify(FakeCandidate({"a": b"1", "L": aged("# version: 1")})) == Finding()
    with pytest.raises(RejectedError, match="has to say once how old it is, as `# version: 17` or `# date: "):
        verifier.verify(FakeCandidate({"a": b"1", "L": gnu({"a": b"1"})}))


@pytest.mark.parametrize(
    "lines", ["# version: 1\n# version: 2", "# version: 1\n# date: 2026-11-26T10:00:00Z", "# none"]
)
def test_a_list_that_states_no_age_or_several_is_refused(lines: str) -> None:
    assert "has to say once how old it is" in stale(None, aged(lines))


@pytest.mark.parametrize(
    "line",
    [
        "version: -1",
        "version: 1.5",
        "version: 1234567890123456789",
        "version: \u0661",
        "version:",
        "date: yesterday",
        "date: 2026-11-26",
        "date: 2026-11-26T10:00:00",
        "date: 2026-02-30T10:00:00Z",
        "date: 2026-11-26 10:00:00Z",
    ],
)
def test_an_age_that_could_be_read_in_two_ways_is_refused(line: str) -> None:
    assert "says how old it is in a way that can't be read" in stale(None, aged(f"# {line}"))


def test_without_monotonic_ages_are_comments_like_others() -> None:
    files = {"a": b"1", "L": aged("# version: 1\n# version: soon")}
    candidate = FakeCandidate(files, published=FakeFiles({"L": aged("# version: 17")}))
    assert ChecksumsVerifier(ChecksumsOptions(file="L")).verify(candidate) == Finding()


def test_a_list_dated_as_documented_is_read_by_sha256sum_too(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    script = '{ echo "# date: $(date -u +%FT%TZ)"; sha256sum *; } > .list && mv .list L && sha256sum --strict -c L'
    told = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, check=True, text=True)
    assert (told.stdout, told.stderr) == ("a: OK\n", "")
    assert follow(None, (tmp_path / "L").read_bytes()) == Finding()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"file": "a", "digests": {}},
        {"digests": {"a": "md5:1"}},
        {"files": "a"},
        {"digests": {"a": f"sha256:{digest(b'1')}"}, "monotonic": True},
    ],
)
def test_options_that_say_too_little_or_too_much_are_configuration_errors(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ChecksumsOptions.model_validate(options)


@given(st.dictionaries(st.from_regex(r"[a-z0-9 ._-]{1,20}[a-z]", fullmatch=True), st.binary(max_size=20), min_size=1))
def test_a_list_of_any_files_holds_for_these_and_for_no_changed_ones(files: dict[str, bytes]) -> None:
    content = gnu(files, "*")
    assert verify(files | {"LIST": content}, "LIST") == Finding()
    changed = dict.fromkeys(files, b"something else entirely")
    assert "differ" in refusal(changed | {"LIST": content}, "LIST")


@given(st.text(max_size=200))
def test_any_list_is_either_read_or_refused(content: str) -> None:
    assert refusal({"LIST": content.encode("utf-8", "surrogatepass")}, "LIST").startswith("LIST")


@given(st.text(max_size=60), st.sampled_from(["version", "date"]))
def test_any_age_is_either_read_or_refused(written: str, kind: str) -> None:
    content = f"# {kind}: {written}\n".encode("utf-8", "surrogatepass") + gnu({"a": b"1"})
    with contextlib.suppress(RejectedError):
        assert follow(None, content) == Finding()


@given(st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1))
def test_of_any_two_versions_only_the_greater_follows(one: int, other: int) -> None:
    lesser, greater = sorted([one, other])
    if lesser < greater:
        assert follow(aged(f"# version: {lesser}", b"0"), aged(f"# version: {greater}")) == Finding()
    assert "version" in stale(aged(f"# version: {greater}", b"0"), aged(f"# version: {lesser}"))


def test_on_a_volume_a_replayed_list_changes_nothing_and_a_newer_one_does(tmp_path: Path) -> None:
    verifier = ChecksumsVerifier(ChecksumsOptions(file="L", monotonic=True))
    kept = asset(tmp_path, Source(), verifiers=(NamedVerifier(name="checksums", verifier=verifier),))

    def refresh(version: int) -> Result:
        content = str(version).encode()
        source = Source(files={"a": content, "L": aged(f"# version: {version}", content)}, revision=str(version))
        return cycle.refresh(replace(kept, provider=source), wish=Wish.LOOK, clock=Time()).outcome.result

    assert [refresh(version) for version in (17, 16, 18)] == [Result.PUBLISHED, Result.REJECTED, Result.PUBLISHED]
    assert read(kept.directory)["a"] == b"18"
    # Whoever goes back by hand means it: the bound goes back, too.
    rollback.go_back(kept, to=None, clock=Time())
    rollback.unpin(kept)
    assert read(kept.directory)["a"] == b"17"
    assert [refresh(version) for version in (16, 18)] == [Result.REJECTED, Result.PUBLISHED]
