"""Which files of a repository appear, and which repositories are refused rather than published in part."""

import pytest
from dulwich.objects import Blob, ObjectID, Tree
from refresher_git import GitProvider, tree
from refresher_git.options import GitOptions
from serving import Asked, Repository

from refresher.contract import Fetched, Held, Unchanged
from refresher.errors import PermanentError, RejectedError

LINK, SUBMODULE, PROGRAM = 0o120000, 0o160000, 0o100755
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5000000\n"


def contents(url: str, **options: str) -> dict[str, bytes]:
    with GitProvider(GitOptions(url=url, **options)).fetch(None) as answer:
        assert isinstance(answer, Fetched)
        return {file.name: file.open().read() for file in answer.files}


def test_the_files_below_a_path_appear_by_their_names_there(repository: Repository, url: str) -> None:
    repository.commit({"config/web/a.conf": b"a", "config/web/de/b.conf": b"b", "config/webmail/c.conf": b"c"})
    assert contents(url, path="config/web/") == {"a.conf": b"a", "de/b.conf": b"b"}
    assert contents(url, path="config/web/de/b.conf") == {"b.conf": b"b"}
    assert set(contents(url)) == {"config/web/a.conf", "config/web/de/b.conf", "config/webmail/c.conf"}


def test_an_empty_file_and_a_program_are_files_like_others(repository: Repository, url: str) -> None:
    repository.commit({"empty": b"", "start.sh": (PROGRAM, b"#!/bin/sh\n")})
    assert contents(url) == {"empty": b"", "start.sh": b"#!/bin/sh\n"}


def test_a_branch_or_a_tag_can_be_followed(repository: Repository, url: str) -> None:
    first = repository.commit({"a": b"1"})
    repository.tag("v1", first)
    repository.commit({"a": b"2"}, branch="next")
    repository.commit({"a": b"3"})
    assert [contents(url, ref=ref)["a"] for ref in ("v1", "next", "main", "HEAD")] == [b"1", b"2", b"3", b"3"]


def test_a_name_that_a_branch_and_a_tag_have_is_not_guessed_at(repository: Repository, url: str) -> None:
    repository.tag("main", repository.commit({"a": b"1"}))
    repository.commit({"a": b"2"})
    with pytest.raises(PermanentError, match="main is a branch and a tag"):
        contents(url, ref="main")
    assert contents(url, ref="refs/tags/main") == {"a": b"1"}


@pytest.mark.parametrize("ref", ["mai", "refs/heads/nothing", "nothing"])
def test_a_ref_that_is_not_there_is_named(repository: Repository, url: str, ref: str) -> None:
    repository.commit({"a": b"1"})
    with pytest.raises(PermanentError, match=f"has no branch or tag {ref}"):
        contents(url, ref=ref)


def test_a_repository_without_commits_has_no_head(url: str) -> None:
    with pytest.raises(PermanentError, match="has no branch or tag HEAD"):
        contents(url)


@pytest.mark.parametrize("path", ["b", "a/b", "sub/b"])
def test_a_path_that_is_not_there_is_permanent(repository: Repository, url: str, path: str) -> None:
    repository.commit({"a": b"1", "sub": (SUBMODULE, b"")})
    with pytest.raises(PermanentError, match=f"has no {path}"):
        contents(url, path=path)


def test_an_unchanged_ref_is_asked_for_and_nothing_else(repository: Repository, url: str, asked: Asked) -> None:
    revision = repository.commit({"a": b"1"}).decode()
    with GitProvider(GitOptions(url=url)).fetch(Held(revision=revision, digests={})) as answer:
        assert isinstance(answer, Unchanged)
    assert asked == ["GET /settings.git/info/refs"]


def test_a_file_keeps_its_revision_while_another_one_changes(repository: Repository, url: str) -> None:
    def revisions() -> dict[str, str]:
        with GitProvider(GitOptions(url=url)).fetch(None) as answer:
            assert isinstance(answer, Fetched)
            return {file.name: file.revision for file in answer.files}

    repository.commit({"a": b"1", "b": b"1"})
    before = revisions()
    repository.commit({"a": b"2", "b": b"1"})
    after = revisions()
    assert before["a"] != after["a"]
    assert before["b"] == after["b"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"passwd": (LINK, b"/etc/passwd")}, "passwd is a symbolic link"),
        ({"lib": (SUBMODULE, b"x")}, "lib is a submodule"),
        ({"model.bin": POINTER}, "model.bin is kept in Git LFS"),
        ({"a/.GIT/config": b"x"}, "a/.GIT/config would be taken for a repository's own"),
    ],
)
def test_what_is_no_plain_file_is_refused_with_its_name(
    repository: Repository, url: str, files: dict[str, bytes | tuple[int, bytes]], reason: str
) -> None:
    repository.commit({"good": b"1", **files})
    with pytest.raises(RejectedError, match=reason):
        contents(url)


def test_what_is_refused_is_known_by_its_revision(repository: Repository, url: str) -> None:
    revision = repository.commit({"passwd": (LINK, b"/etc/passwd")})
    with GitProvider(GitOptions(url=url)).fetch(None) as answer:
        assert isinstance(answer, Fetched)
        assert answer.revision == revision.decode()


def test_a_name_that_is_not_unicode_is_refused(repository: Repository, url: str) -> None:
    blob, found = Blob.from_string(b"1"), Tree()
    found.add(b"stra\xdfe", 0o100644, blob.id)
    repository.repo.object_store.add_objects([(blob, None), (found, None)])
    repository.commit_of(found.id)
    with pytest.raises(RejectedError, match="not written in UTF-8"):
        contents(url)


def test_trees_that_contain_each_other_many_times_over_are_refused(
    repository: Repository, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "MOST", 1000)
    inner: ObjectID = Blob.from_string(b"1").id
    repository.repo.object_store.add_object(Blob.from_string(b"1"))
    for level in range(8):
        outer = Tree()
        for number in range(10):
            outer.add(str(number).encode(), 0o40000 if level else 0o100644, inner)
        repository.repo.object_store.add_object(outer)
        inner = outer.id
    repository.commit_of(inner)
    with pytest.raises(PermanentError, match="more than 1000 files"):
        contents(url)
