import gc
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TypeVar

import pytest

from providers.vault import VaultProvider
from providers.vault.session import Sessions
from refresher.contract import Fetched, Held, Unchanged
from refresher.demo.openbao import OpenBao
from refresher.errors import PermanentError, RefresherError, TransientError
from tests.fakes.serving import Asked, Reply, serving
from tests.providers.databases import database, lets_in, role
from tests.providers.vault_sources import Source, contents, held, passed_on, unique
from tests.servers.postgres import Postgres
from tests.waiting import until

T = TypeVar("T")
Readers = Callable[..., list[Source]]
READERS = 10


@pytest.fixture
def mount(bao: OpenBao) -> str:
    mount = unique("kv2")
    bao.kv(mount, 2)
    bao.write(f"{mount}/data/app", {"data": {"user": "ann", "password": "p1"}})
    return mount


@pytest.fixture
def shared() -> Sessions:
    return VaultProvider.Shared()


@pytest.fixture
def readers(bao: OpenBao, tmp_path: Path, shared: Sessions) -> Readers:
    """Ten sources of one path with one login between them."""
    token = tmp_path / "token"
    token.write_text(bao.token)

    def make(**options: object) -> list[Source]:
        given = {"shared": shared, "auth": {"token": {"file": token}}} | options
        return [Source(bao, tmp_path, **given) for _ in range(READERS)]

    return make


def at_once(calls: list[Callable[[], T]]) -> list[T]:
    """The answers of all calls, begun together."""
    together = threading.Barrier(len(calls))

    def call(each: Callable[[], T]) -> T:
        together.wait()
        return each()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


def patient(found: Fetched, fresh_for: timedelta) -> Held:
    return replace(held(found), fresh_for=fresh_for)


def asked(bao: OpenBao, mount: str) -> int:
    return bao.requests(f"{mount}/data/app").count(f"read {mount}/data/app")


def failure(source: Source) -> Exception | None:
    try:
        source.look()
    except RefresherError as error:
        return error
    return None


def reading() -> int:
    """How many threads are inside `providers.vault.reads` at this moment."""
    return sum(
        any(frame.f_globals["__name__"] == "providers.vault.reads" for frame, _ in traceback.walk_stack(top))
        for top in sys._current_frames().values()
    )


def remembers(shared: Sessions, secret: bytes) -> bool:
    """Whether the secret can be reached from there in memory."""
    seen, todo = set[int](), [shared]
    while todo:
        each: object = todo.pop()
        if id(each) not in seen and not isinstance(each, type | ModuleType | FunctionType):
            seen.add(id(each))
            if each == secret.decode():
                return True
            todo.extend(gc.get_referents(each))
    return False


def test_ten_who_ask_at_once_share_what_began_after_they_asked(bao: OpenBao, readers: Readers, mount: str) -> None:
    first = iter([True])

    def answer(each: Asked) -> Reply:
        if each.path.endswith("/data/app") and next(first, False):
            until(lambda: reading() == READERS)  # a slow machine has them all ask while it is on its way, too
        return passed_on(bao, each)

    with serving(answer) as address:
        sources = readers(path=f"{mount}/app", fields=["user"], address=address)
        found = at_once([source.fetched for source in sources])
    assert all(contents(each) == {"user": b"ann"} for each in found)
    assert asked(bao, mount) < READERS / 2


def test_ten_who_take_what_is_fresh_enough_share_one_request_and_its_moment(
    bao: OpenBao, readers: Readers, mount: str
) -> None:
    sources = readers(path=f"{mount}/app")
    last = patient(sources[0].fetched(), timedelta(0))
    looks = [partial(source.look, replace(last, fresh_for=timedelta(minutes=1))) for source in sources]
    before = asked(bao, mount)
    answers = at_once(looks)
    assert asked(bao, mount) == before + 1
    assert all(isinstance(each, Unchanged) for each in answers)
    assert len({each.as_of for each in answers}) == 1


def test_an_answer_older_than_that_is_asked_for_again(bao: OpenBao, readers: Readers, mount: str) -> None:
    one, other, *_ = readers(path=f"{mount}/app")
    first = one.look(patient(one.fetched(), timedelta(minutes=1)))
    fresh = timedelta(seconds=0.05)
    until(lambda: first.as_of is not None and datetime.now(UTC) - first.as_of > fresh)
    before = asked(bao, mount)
    other.look(Held(revision="another", digests={}, fresh_for=fresh))
    assert asked(bao, mount) == before + 1


@pytest.mark.parametrize("nothing_is_held", [True, False])
def test_who_asks_by_hand_is_never_given_an_earlier_answer(
    bao: OpenBao, readers: Readers, mount: str, nothing_is_held: bool
) -> None:
    sources = readers(path=f"{mount}/app")
    first = sources[0].fetched()
    sources[0].look(patient(first, timedelta(minutes=1)))
    before = asked(bao, mount)
    for source in sources:
        source.look(None if nothing_is_held else held(first))
    assert asked(bao, mount) == before + READERS


def test_what_was_asked_before_the_secret_changed_answers_nobody_who_asks_after(
    bao: OpenBao, readers: Readers, mount: str
) -> None:
    answered, let_go = threading.Event(), threading.Event()

    def answer(each: Asked) -> Reply:
        reply = passed_on(bao, each)
        if each.path.endswith("/data/app"):
            answered.set()
            assert let_go.wait(60)
        return reply

    with serving(answer) as address, ThreadPoolExecutor(2) as pool:
        early, late, *_ = readers(path=f"{mount}/app", fields=["user"], address=address)
        before = pool.submit(early.fetched)
        assert answered.wait(30)
        bao.write(f"{mount}/data/app", {"data": {"user": "bob"}})
        after = pool.submit(late.fetched)
        until(lambda: reading() == 2)
        let_go.set()
        assert contents(before.result()) == {"user": b"ann"}
        assert contents(after.result()) == {"user": b"bob"}


def test_ten_who_wait_for_a_server_that_hangs_wait_for_one_time_limit(bao: OpenBao, readers: Readers) -> None:
    requests, let_go = [], threading.Event()

    def answer(each: Asked) -> Reply:
        if each.path.endswith("lookup-self"):
            return passed_on(bao, each)
        requests.append(each.path)
        assert let_go.wait(30)
        return Reply(503)

    with serving(answer) as address:
        sources = readers(path="any/app", address=address, timeout="3s")
        failures = at_once([partial(failure, source) for source in sources])
        let_go.set()
    assert all(isinstance(each, TransientError) and "in time" in str(each) for each in failures)
    assert len(requests) == 1


def test_the_engine_is_found_out_once_by_all_who_begin_together(bao: OpenBao, readers: Readers, mount: str) -> None:
    names = [f"secret-{number}" for number in range(5)]
    for name in names:
        bao.write(f"{mount}/data/{name}", {"data": {"value": name}})
    fetched = at_once([readers(path=f"{mount}/{name}")[0].fetched for name in names])
    assert [contents(each)["value"].decode() for each in fetched] == names
    assert len(bao.requests(f"sys/internal/ui/mounts/{mount}/")) == 1


def test_ten_paths_of_a_server_that_hangs_are_waited_for_for_one_time_limit(bao: OpenBao, readers: Readers) -> None:
    let_go = threading.Event()

    def answer(each: Asked) -> Reply:
        if each.path.endswith("lookup-self"):
            return passed_on(bao, each)
        assert let_go.wait(30)
        return Reply(503)

    with serving(answer) as address:
        sources = [readers(path=f"any/{number}", address=address, timeout="1s")[0] for number in range(READERS)]
        began = time.monotonic()
        failures = at_once([partial(failure, source) for source in sources])
        took = time.monotonic() - began
        let_go.set()
    assert all(isinstance(each, TransientError) and "in time" in str(each) for each in failures)
    assert took < 0.9 * READERS, "one time limit after the other"


def test_a_missing_secret_is_there_for_all_once_it_is_written(bao: OpenBao, readers: Readers, mount: str) -> None:
    one, other, *_ = readers(path=f"{mount}/absent", fields=["user"])
    with_patience = Held(revision="", digests={}, fresh_for=timedelta(minutes=1))
    with pytest.raises(PermanentError, match="nothing is there"):
        one.look(with_patience)
    bao.write(f"{mount}/data/absent", {"data": {"user": "ann"}})
    assert contents(other.fetched(with_patience)) == {"user": b"ann"}


def test_other_versions_of_a_secret_are_other_reads(bao: OpenBao, readers: Readers, mount: str) -> None:
    bao.write(f"{mount}/data/app", {"data": {"user": "bob"}})
    with_patience = Held(revision="", digests={}, fresh_for=timedelta(minutes=1))
    for version, user in ((None, b"bob"), (1, b"ann"), (2, b"bob")):
        found = readers(path=f"{mount}/app", fields=["user"], version=version)[0].fetched(with_patience)
        assert contents(found) == {"user": user}


def test_logins_are_never_shared(bao: OpenBao, postgres: Postgres, readers: Readers) -> None:
    with database(bao, postgres) as mount:
        role(bao, mount, default_ttl="60s", max_ttl="100s")
        sources = readers(path=f"{mount}/creds/app")
        with_patience = Held(revision="", digests={}, fresh_for=timedelta(minutes=1))
        found = at_once([partial(source.fetched, with_patience) for source in sources])
        assert len({contents(each)["username"] for each in found}) == READERS
        assert all(lets_in(postgres, each) for each in found)


def test_an_answer_is_dropped_when_it_is_too_old_for_all(bao: OpenBao, readers: Readers, mount: str) -> None:
    sources = readers(path=f"{mount}/app", fields=["password"])
    at_once([source.fetched for source in sources])
    assert not remembers(sources[0].shared, b"p1")
    fresh = timedelta(seconds=3)
    sources[0].look(Held(revision="", digests={}, fresh_for=fresh))
    assert remembers(sources[0].shared, b"p1")
    looked = datetime.now(UTC)
    until(lambda: datetime.now(UTC) - looked > fresh)
    bao.write(f"{mount}/data/other", {"data": {"user": "ann"}})
    for other in readers(path=f"{mount}/other")[:1]:
        other.look()
    assert not remembers(sources[0].shared, b"p1")


def test_a_source_of_its_own_is_asked_each_time_and_nothing_is_kept(bao: OpenBao, tmp_path: Path, mount: str) -> None:
    only = Source(bao, tmp_path, path=f"{mount}/app")
    first = only.fetched()
    for _ in range(3):
        only.look(patient(first, timedelta(minutes=1)))
    assert asked(bao, mount) == 4
    assert not remembers(only.shared, b"p1")


def test_who_is_left_alone_with_a_path_shares_no_answer_any_more(bao: OpenBao, readers: Readers, mount: str) -> None:
    last, *others = readers(path=f"{mount}/app")
    found = patient(last.fetched(), timedelta(minutes=1))
    last.look(found)
    for other in others:
        other.provider.close()
    before = asked(bao, mount)
    last.look(found)
    assert asked(bao, mount) == before + 1
