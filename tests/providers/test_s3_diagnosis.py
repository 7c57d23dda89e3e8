"""A bucket looked at by a doctor."""

from pathlib import Path

import pytest

from refresher.abilities import Verdict
from refresher.demo.process import free_port
from tests.diagnoses import black_hole, diagnosed, failure, verdicts
from tests.providers.buckets import Store


def test_an_object_that_may_be_had_is_seen_step_by_step(store: Store) -> None:
    store.put("model.bin", b"weights")
    found = diagnosed(store.provider(key="model.bin"))
    assert [each.of for each in found] == ["name", "connection", "credentials", "right to get"]
    assert set(verdicts(found).values()) == {Verdict.OK}
    assert found[2].seen == "from the environment"
    assert found[3].seen == "model.bin has 7 bytes"
    assert found[3].server_time is not None


def test_below_a_prefix_the_right_to_list_and_to_get_are_looked_at(store: Store) -> None:
    for name in ("a", "b"):
        store.put(f"current/{name}", b"x")
    found = diagnosed(store.provider(prefix="current/"))
    assert [each.seen for each in found[-2:]] == ["2 objects below current/", "current/a has 1 bytes"]


def test_a_pointer_is_followed(store: Store) -> None:
    store.put("v1/model.bin", b"weights")
    store.put("current", b"v1/")
    found = diagnosed(store.provider(current="current"))
    assert [each.of for each in found[-3:]] == ["pointer", "right to list", "right to get"]
    assert set(verdicts(found).values()) == {Verdict.OK}


def test_a_prefix_with_nothing_below_fails_because_nothing_empty_is_published(store: Store) -> None:
    failed = failure(diagnosed(store.provider(prefix="none/")))
    assert (failed.of, failed.advice) == ("right to list", "Correct prefix, or put the objects there.")


def test_an_object_that_there_is_not_is_told_from_a_missing_right(store: Store) -> None:
    failed = failure(diagnosed(store.provider(key="none")))
    assert failed.advice == "Correct key, prefix or bucket, or put the object there."


def test_a_bucket_that_there_is_not_is_named(store: Store) -> None:
    failed = failure(diagnosed(store.provider(bucket="no-such-bucket", prefix="x/")))
    assert "NoSuchBucket" in failed.seen
    assert failed.advice.startswith("Correct bucket")


def test_a_wrong_key_is_refused_and_not_shown(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-and-secret")
    found = diagnosed(store.provider(prefix="x/"))
    assert failure(found).advice.startswith("Compare the credentials")
    assert "wrong-and-secret" not in str(found)


def test_no_credentials_at_all_are_told_from_refused_ones(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    assert "no link of the chain has credentials" in failure(diagnosed(store.provider(prefix="x/"))).seen


def test_the_link_of_the_chain_is_named(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    key, secret = store.server.access_key, store.server.secret_key
    file.write_text(f"[default]\naws_access_key_id={key}\naws_secret_access_key={secret}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    store.put("x/a", b"x")
    (found,) = [each for each in diagnosed(store.provider(prefix="x/")) if each.of == "credentials"]
    assert found.seen == "from the credentials file"


def test_nobody_there_and_nobody_who_answers_are_told_apart(store: Store) -> None:
    closed = store.provider(key="x", endpoint_url=f"http://127.0.0.1:{free_port()}")
    assert failure(diagnosed(closed)).of == "connection"
    with black_hole() as address:
        silent = failure(diagnosed(store.provider(key="x", endpoint_url=f"http://{address}")))
    assert silent.of == "right to get"
    assert "can't be reached" in silent.seen
