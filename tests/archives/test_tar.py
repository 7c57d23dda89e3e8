"""Tar archives, as people and attackers make them."""

import gzip
import io
import os
import subprocess
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refresher.archives.tar import EXTENSION_LIMIT
from refresher.errors import RejectedError
from refresher.model import Limits
from tests.archives.making import (
    END,
    Delivery,
    blocks,
    contents,
    expect_rejected,
    link,
    member,
    raw_header,
    somewhere,
    tar_of,
    tarred,
    unpacked,
)

LINKS = {"hard": tarfile.LNKTYPE, "symbolic": tarfile.SYMTYPE}

both_links = pytest.mark.parametrize("kind", LINKS.values(), ids=LINKS)


def pax(content: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """A pax header of this content."""
    return raw_header("pax", kind, len(content)) + content + bytes(-len(content) % 512)


def record(key: str, value: str) -> bytes:
    """A record of a pax header, which begins with its own length."""
    rest = len(f" {key}={value}\n".encode())
    length = next(size for size in range(rest, rest + 9) if size == rest + len(str(size)))
    return f"{length} {key}={value}\n".encode()


def program(*argv: str, cwd: Path) -> None:
    subprocess.run(argv, cwd=cwd, check=True)


@pytest.mark.parametrize("written", ["gnu", "oldgnu", "pax", "posix", "ustar", "v7"])
def test_what_gnu_tar_writes_is_read(tmp_path: Path, written: str) -> None:
    wanted = {"model.bin": os.urandom(3000), "a b/ü": b"x", "n" * 90: b"", f"{'d' * 60}/e": b"y", "empty": b""}
    if written not in {"ustar", "v7"}:
        wanted[f"{'d' * 120}/{'e' * 120}/f"] = b"deep"
    for name, content in wanted.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(content)
    (tmp_path / "tree/zz-hard").hardlink_to(tmp_path / "tree/model.bin")
    (tmp_path / "tree/zz-soft").symlink_to("a b/ü")
    program("tar", f"--format={written}", "--sort=name", "-czf", "../m.tar.gz", ".", cwd=tmp_path / "tree")
    with somewhere() as inside:
        unpacked(inside, "m.tar.gz", (tmp_path / "m.tar.gz").read_bytes())
        assert contents(inside) == {**wanted, "zz-hard": wanted["model.bin"], "zz-soft": b"x"}


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=200).map(str.lower),
        st.binary(max_size=2000),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_what_tarfile_writes_is_read_as_tarfile_reads_it(files: dict[str, bytes], written: int) -> None:
    archive = tarred(*(member(f"d/{name}", content) for name, content in files.items()), format=written)
    with somewhere() as inside:
        try:
            unpacked(inside, "a.tar", archive)
        except RejectedError as error:
            assert "too long" in str(error) or "one and the same" in str(error)  # noqa: PT017
            return
        with tarfile.open(fileobj=io.BytesIO(archive)) as read:
            assert contents(inside) == {each.name: read.extractfile(each).read() for each in read}  # type: ignore[union-attr]


def test_owners_and_modes_of_the_archive_are_ignored() -> None:
    facts = {"mode": 0o7777, "uid": 0, "gid": 0, "uname": "root", "gname": "root", "mtime": 2**33}
    with somewhere() as inside:
        unpacked(inside, "a.tar", tarred(member("a", b"x", **facts)))
        status = (inside / "a").stat()
        assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o644, os.getuid(), os.getgid())


def test_what_a_mac_adds_is_published_like_the_rest() -> None:
    files = {"a": b"x", "._a": b"\x00\x05\x16\x07", ".DS_Store": b"y"}
    with somewhere() as inside:
        unpacked(inside, "a.tar", tar_of(files))
        assert contents(inside) == files


@both_links
def test_a_link_to_a_file_before_it_is_that_file(kind: bytes) -> None:
    target = {tarfile.LNKTYPE: "./d/a", tarfile.SYMTYPE: "../../d/./a"}[kind]
    archive = tarred(
        member("d/a", b"x"),
        link("e/f/l", target, kind),
        link("e/f/m", {True: "e/f/l", False: "l"}[kind == tarfile.LNKTYPE], kind),
    )
    for above in ("", "models/"):
        with somewhere() as inside:
            files = unpacked(inside, f"{above}a.tar", archive)
            assert set(files) == {f"{above}{name}" for name in ("d/a", "e/f/l", "e/f/m")}
            assert len(set(map(repr, files.values()))) == 1
            assert (inside / above / "e/f/m").samefile(inside / above / "d/a")


@both_links
@pytest.mark.parametrize("target", ["/etc/passwd", "../x", "../inside/x", "missing", "later", "itself", "d", "", "."])
def test_a_link_to_anything_else_is_rejected(kind: bytes, target: str) -> None:
    archive = tarred(
        member("d", type=tarfile.DIRTYPE), member("a", b"1"), link("itself", target, kind), member("later", b"2")
    )
    expect_rejected("a.tar", archive, "a link, itself,")
    expect_rejected("models/a.tar", archive, "a link, models/itself,")


@both_links
def test_a_link_to_a_file_of_somebody_else_is_rejected(kind: bytes) -> None:
    with somewhere() as inside:
        (inside / "other").write_text("secret")
        with pytest.raises(RejectedError, match="no file that stands before it"):
            unpacked(inside, "a.tar", tarred(link("a", "other", kind)), taken=("other",))


def test_nothing_is_written_through_a_link() -> None:
    archive = tarred(member("d/a", b""), link("l", "d/a", tarfile.SYMTYPE), member("l/x", b"through"))
    expect_rejected("a.tar", archive, "given twice")
    expect_rejected("a.tar", tarred(link("l", "..", tarfile.SYMTYPE), member("l/x", b"through")), "a link, l,")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"V", b"M", b"D", b"Z"])
def test_a_member_that_is_neither_file_nor_directory_is_rejected(kind: bytes) -> None:
    expect_rejected("a.tar", tarred(member("a", type=kind)), "no file, directory or link")


def test_a_file_that_some_take_for_a_directory_is_rejected() -> None:
    expect_rejected("a.tar", raw_header("a/", tarfile.REGTYPE, 0) + END, "ends as a directory's")


def test_sparse_files_are_rejected(tmp_path: Path) -> None:
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(2**20)
        file.write(b"x")
    for options in (
        ["--format=gnu"],
        *(["--format=pax", f"--sparse-version={version}"] for version in ("0.0", "0.1", "1.0")),
    ):
        program("tar", "--sparse", *options, "-cf", "a.tar", "holes", cwd=tmp_path)
        expect_rejected("a.tar", (tmp_path / "a.tar").read_bytes(), r"sparse|type 'S'")


def test_whatever_the_data_filter_of_python_refuses_is_refused(tmp_path: Path) -> None:
    kinds = [*LINKS.values(), tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
    names = ["x", "../x", "a/../../x", "a/../x", "/x", "..", "a/b"]
    refused = 0
    for kind in kinds:
        for name in names:
            for target in names:
                each = link(name, target, kind)
                try:
                    tarfile.data_filter(each[0], str(tmp_path))
                except tarfile.FilterError:
                    refused += 1
                    expect_rejected("a.tar", tarred(member("ok"), each), "name|archive")
    assert refused > 50


def endless(begin: bytes, then: bytes) -> Delivery:
    def pieces() -> Iterator[bytes]:
        yield begin
        while True:
            yield then

    return Delivery(pieces())


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_huge_name_is_refused_before_it_is_in_memory(kind: bytes) -> None:
    delivery = endless(raw_header("a", kind, 2**40), b"a" * 2**16)
    expect_rejected("a.tar", delivery, f"over {EXTENSION_LIMIT} bytes")
    assert delivery.received < 2**18


def test_a_chain_of_extension_headers_has_an_end() -> None:
    for each in (pax(b""), pax(b"", tarfile.XGLTYPE), pax(record("comment", "x" * 10_000))):
        delivery = endless(b"", each)
        expect_rejected("a.tar", delivery, f"over {EXTENSION_LIMIT} bytes")
        assert delivery.received < 2 * EXTENSION_LIMIT


@pytest.mark.parametrize("name", ["{}/", "same/", "./", "d/{}"])
def test_a_million_entries_are_refused_at_the_limit_in_little_memory(name: str) -> None:
    headers = (raw_header(name.format(number), tarfile.DIRTYPE, 0) for number in range(1_000_000))
    delivery = Delivery(headers)
    tracemalloc.start()
    try:
        expect_rejected("a.tar", delivery, r"limits\.files", limits=Limits(files=2000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert delivery.received <= 2001 * 512
    assert peak < 4 * 2**20


@pytest.mark.parametrize("size", [-1, -512, -(2**40)])
def test_a_negative_size_is_rejected(size: int) -> None:
    for kind in (tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.DIRTYPE):
        expect_rejected("a.tar", raw_header("a", kind, size) + END, "negative size")


@pytest.mark.parametrize("size", ["-1", "", "x", "1_0", "+1", "٣", "9" * 30])
def test_a_size_that_is_no_number_is_rejected(size: str) -> None:
    expect_rejected("a.tar", pax(record("size", size)) + blocks(*member("a")) + END, "size is no number")


def test_the_size_of_the_pax_header_counts() -> None:
    header, content = raw_header("a", tarfile.REGTYPE, 0), b"x" * 600
    with somewhere() as inside:
        unpacked(inside, "a.tar", pax(record("size", "600")) + header + content + bytes(424) + END)
        assert contents(inside) == {"a": content}


@pytest.mark.parametrize(
    "content",
    [b"x", b"\0" * 30, b"5 a=b", b"99 a=b\n", b"0 a=b\n", b"-6 a=b\n", b"6 a=b\n9", b"5 ab\n", b"1" * 2000, b" a=b\n"],
)
def test_a_damaged_pax_header_is_rejected(content: bytes) -> None:
    expect_rejected("a.tar", pax(content) + blocks(*member("a")) + END, "damaged pax header")


def test_a_member_has_one_name() -> None:
    two = record("path", "good") + record("path", "bad")
    with somewhere() as inside:
        unpacked(inside, "a.tar", pax(record("path", "good")) + blocks(*member("bad")) + END)
        assert set(contents(inside)) == {"good"}
    expect_rejected("a.tar", pax(two) + blocks(*member("a")) + END, "two names")
    expect_rejected("a.tar", pax(record("path", "a")) * 2 + blocks(*member("a")) + END, "two names")
    gnu = blocks(*member("n" * 150), format=tarfile.GNU_FORMAT)
    expect_rejected("a.tar", pax(record("path", "a")) + gnu + END, "two names")


def test_a_global_header_may_comment_and_not_name() -> None:
    comment = pax(record("comment", "0123456789abcdef"), tarfile.XGLTYPE)
    with somewhere() as inside:
        unpacked(inside, "a.tar", comment + tar_of({"a": b"x"}))
        assert contents(inside) == {"a": b"x"}
    expect_rejected("a.tar", pax(record("path", "b"), tarfile.XGLTYPE) + tar_of({"a": b""}), "one name")


def test_an_archive_ends_with_its_end_mark() -> None:
    damaged = bytearray(tar_of({"a": b"x", "b": b"y"}))
    damaged[1024] ^= 1
    expect_rejected("a.tar", bytes(damaged), "bad checksum")
    expect_rejected("a.tar", tar_of({"a": b"x"}).removesuffix(END), "no end mark")
    expect_rejected("a.tar", tar_of({"a": b"x"}) + tar_of({"b": b"y"}), "something after its end")
    expect_rejected("a.tar", pax(record("path", "a")) + END, "that its last header announces")
    expect_rejected("a.tar", blocks(*member("d", b"data", type=tarfile.DIRTYPE)) + END, "no whole tar file")


def test_the_way_that_sagemaker_packs_a_model(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "model.safetensors").write_bytes(os.urandom(5000))
    (tmp_path / "code/inference.py").write_text("def model_fn(model_dir): ...")
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "model.safetensors", arcname="model.safetensors")
        archive.add(tmp_path / "code", arcname="code")
    with somewhere() as inside:
        files = unpacked(inside, "fraud/model.tar.gz", (tmp_path / "model.tar.gz").read_bytes())
        assert set(files) == {"fraud/model.safetensors", "fraud/code/inference.py"}


def test_what_pigz_would_write_is_read() -> None:
    archive = tar_of({"a": os.urandom(300_000)})
    with somewhere() as inside:
        unpacked(
            inside, "a.tgz", b"".join(gzip.compress(archive[at : at + 131072]) for at in range(0, len(archive), 131072))
        )
