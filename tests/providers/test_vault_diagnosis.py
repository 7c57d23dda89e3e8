"""Vault looked at by a doctor: each way in which it can be wrong has its own answer, and nothing is left behind."""

from pathlib import Path
from typing import Any

import pytest

from refresher.abilities import Verdict
from refresher.demo.openbao import OpenBao
from refresher.demo.process import free_port
from tests.certificates import Authority
from tests.diagnoses import black_hole, diagnosed, failure, verdicts
from tests.providers.vault_logins import METHODS, Logins
from tests.providers.vault_sources import Source, Sources, unique
from tests.waiting import until


def tokens(bao: OpenBao) -> set[str]:
    """The accessors of those that live."""
    return bao.names("auth/token/accessors")


def test_a_server_that_works_is_seen_step_by_step(source: Sources, policy: str) -> None:
    found = diagnosed(source().provider)
    assert [(each.of, each.verdict) for each in found] == [
        ("name", Verdict.OK),
        ("connection", Verdict.OK),
        ("health", Verdict.OK),
        ("login", Verdict.OK),
        ("right", Verdict.OK),
    ]
    assert found[-1].seen == f"read {policy}/app"
    assert found[2].seen.startswith("active, ")
    assert found[2].server_time is not None


@pytest.mark.parametrize("method", METHODS)
def test_each_login_is_tried_and_its_token_revoked(bao: OpenBao, logins: Logins, method: str) -> None:
    login = logins.by(method)
    before = tokens(bao)
    found = diagnosed(login.source().provider)
    assert verdicts(found)["login"] is verdicts(found)["right"] is Verdict.OK
    assert (found[-1].of, found[-1].seen) == ("logout", "the token of this look was revoked")
    assert len(login.asked()) == 1
    assert until(lambda: tokens(bao) <= before)  # somebody else's may expire meanwhile


def test_a_token_that_was_given_is_not_revoked(bao: OpenBao, source: Sources, policy: str, file: Any) -> None:
    token = bao.new_token([policy])
    assert "logout" not in verdicts(diagnosed(source(auth={"token": file(token)}).provider))
    assert bao.read("auth/token/lookup-self", token=token)


def test_a_token_that_ends_soon_and_cannot_be_renewed_is_warned_of(
    bao: OpenBao, source: Sources, policy: str, file: Any
) -> None:
    token = bao.new_token([policy], ttl="10m", renewable=False)
    (login,) = [each for each in diagnosed(source(auth={"token": file(token)}).provider) if each.of == "login"]
    assert login.verdict is Verdict.WARN
    assert token not in str(login)


def test_a_wrong_token_fails_at_the_login_and_is_not_shown(source: Sources, file: Any) -> None:
    failed = failure(diagnosed(source(auth={"token": file("s.opensesame")}).provider))
    assert failed.of == "login"
    assert "is refused" in failed.seen
    assert "opensesame" not in str(failed)


def test_a_wrong_password_fails_at_the_login_and_is_not_shown(logins: Logins) -> None:
    login = logins.userpass()
    login.auth["userpass"]["password"]["file"].write_text("wrong-and-secret")
    failed = failure(diagnosed(login.source().provider))
    assert (failed.of, failed.advice) == (
        "login",
        "Compare auth.userpass with the role at the server, and what that demands of who logs in.",
    )
    assert "wrong-and-secret" not in str(failed)


def test_a_missing_right_is_named_with_the_line_to_add(policy: str, logins: Logins) -> None:
    found = diagnosed(logins.approle().source(path=f"{policy}/other").provider)
    failed = failure(found)
    assert failed.seen == f"the token may not read {policy}/other: it has deny there"
    assert failed.advice == f'Add to its policy: path "{policy}/other" {{ capabilities = ["read"] }}'
    assert found[-1].of == "logout"


def test_the_right_to_read_version_2_is_asked_for_where_it_is_read(bao: OpenBao, source: Sources) -> None:
    mount = unique("kv")
    bao.kv(mount, 2)
    assert diagnosed(source(path=f"{mount}/app").provider)[-1].seen == f"read {mount}/data/app"


def test_without_any_right_in_a_mount_both_ways_to_read_there_are_named(bao: OpenBao, logins: Logins) -> None:
    mount = unique("kv")
    bao.kv(mount, 2)
    failed = failure(diagnosed(logins.approle().source(path=f"{mount}/app").provider))
    assert f'path "{mount}/app" {{' in failed.advice
    assert f'for key-value version 2 path "{mount}/data/app" {{' in failed.advice


def test_what_is_made_with_a_lease_needs_the_rights_to_renew_and_to_revoke_it(
    bao: OpenBao, source: Sources, file: Any
) -> None:
    mount = unique("database")
    bao.enable(mount, "database")
    bao.policy(mount, f'path "{mount}/creds/app" {{ capabilities = ["read"] }}')
    token = bao.new_token([mount])
    found = diagnosed(source(path=f"{mount}/creds/app", auth={"token": file(token)}).provider)
    rights = [(each.seen, each.verdict) for each in found if each.of == "right"]
    assert rights[0] == (f"read {mount}/creds/app", Verdict.OK)
    assert [verdict for _, verdict in rights[1:]] == [Verdict.OK, Verdict.FAIL]  # the default policy renews
    assert bao.requests(f"{mount}/creds") == []


def test_a_right_to_issue_is_found_out_without_issuing(bao: OpenBao, source: Sources) -> None:
    mount = unique("pki")
    bao.pki(mount, "web")
    found = diagnosed(source(path=f"{mount}/issue/web", data={"common_name": "web"}).provider)
    assert found[-1].seen == f"update {mount}/issue/web"
    assert bao.requests(f"{mount}/issue") == []


def test_a_wrapped_credential_is_not_used_up(bao: OpenBao, logins: Logins) -> None:
    login = logins.approle()
    login.auth["approle"]["secret_id"]["wrapped"] = True
    found = diagnosed(login.source().provider)
    assert (found[-1].of, found[-1].verdict) == ("login", Verdict.SKIPPED)
    assert login.asked() == []


def test_a_sealed_server_is_said_to_be(tmp_path: Path) -> None:
    directory = tmp_path / "bao"
    directory.mkdir()
    with OpenBao.started(directory) as bao:
        bao.seal()
        failed = failure(diagnosed(Source(bao, tmp_path, path="secret/app").provider))
    assert (failed.of, failed.seen) == ("health", "the server is sealed")
    assert failed.advice.startswith("Unseal it")


def test_an_authority_that_is_not_known_is_told_from_an_outage(bao: OpenBao, source: Sources, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(Authority.root().pem)
    failed = failure(diagnosed(source(address=bao.tls_address, ca_file=other).provider))
    assert (failed.of, failed.advice) == ("TLS", "Give the authority that signed it as ca_file.")


def test_a_certificate_for_another_name_is_told_from_an_unknown_authority(bao: OpenBao, source: Sources) -> None:
    options = {"address": bao.tls_address, "ca_file": bao.ca_file}
    assert verdicts(diagnosed(source(**options).provider))["TLS"] is Verdict.OK
    failed = failure(diagnosed(source(**options, tls_server_name="vault.example").provider))
    assert "tls_server_name" in failed.advice


def test_nobody_there_and_nobody_who_answers_are_told_apart(source: Sources) -> None:
    closed = failure(diagnosed(source(address=f"http://127.0.0.1:{free_port()}").provider))
    assert (closed.of, closed.seen.rpartition(": ")[2]) == ("connection", "Connection refused")
    with black_hole() as address:
        plain = failure(diagnosed(source(address=f"http://{address}").provider))
        secure = failure(diagnosed(source(address=f"https://{address}").provider))
    assert "no whole answer in time" in plain.seen
    assert (secure.of, secure.seen) == ("TLS", "no TLS connection within 3 s")


def test_a_host_without_an_address_fails_at_its_name(source: Sources) -> None:
    assert failure(diagnosed(source(address="http://vault.invalid:8200").provider)).of == "name"


def test_a_login_is_taken_back_even_if_nobody_wants_to_see_the_rest(bao: OpenBao, logins: Logins) -> None:
    before = tokens(bao)
    looking = logins.approle().source().provider.diagnose()
    assert "login" in iter(lambda: next(looking).of, None)
    looking.close()
    assert until(lambda: tokens(bao) <= before)
