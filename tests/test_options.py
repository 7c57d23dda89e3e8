import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from refresher.errors import PermanentError
from refresher.options import (
    SECRET_LIMIT,
    Duration,
    LocalFile,
    Mode,
    Secret,
    Share,
    Size,
    parse_duration,
    parse_mode,
    parse_share,
    parse_share_or_duration,
    parse_size,
    write_duration,
    write_mode,
    write_share,
    write_share_or_duration,
    write_size,
)


@given(st.timedeltas(timedelta(0), timedelta(days=36500)))
def test_every_duration_is_read_as_it_was_written(duration: timedelta) -> None:
    assert parse_duration(write_duration(duration)) == duration


@given(st.integers(0, 2**63 - 1))
def test_every_size_is_read_as_it_was_written(size: int) -> None:
    assert parse_size(write_size(size)) == size


@given(st.integers(0, 10_000).map(lambda number: number / 10_000))
def test_every_share_is_read_as_it_was_written(share: float) -> None:
    assert parse_share(write_share(share)) == pytest.approx(share, abs=1e-12)
    assert parse_share_or_duration(write_share_or_duration(share)) == pytest.approx(share, abs=1e-12)


@given(st.integers(0, 0o777))
def test_every_mode_is_read_as_it_was_written(mode: int) -> None:
    assert parse_mode(write_mode(mode)) == mode


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("12h", 43200),
        ("7d", 604800),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("0", 0),
    ],
)
def test_durations_are_written_with_their_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(60, "60s"), (300, "5m"), (3600, "1h"), (86400, "24h"), (604800, "7d"), (0, "0s"), (0.25, "250ms")],
)
def test_durations_are_written_as_people_write_them(seconds: float, text: str) -> None:
    assert write_duration(timedelta(seconds=seconds)) == text


def test_what_was_read_already_stays_as_it_is() -> None:
    assert parse_duration(timedelta(hours=1)) == timedelta(hours=1)
    assert parse_share(0.25) == parse_share_or_duration(0.25) == 0.25


def test_zero_needs_no_unit() -> None:
    assert parse_duration(0) == timedelta(0)


@pytest.mark.parametrize(
    "value",
    ["", "soon", "5", "5 m", "-5m", "5M", "m5", "5m!", 5, 5.0, True, False, None, [], "٣s", "1e3s", "99999999999d"],
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64MiB", 64 * 2**20), ("10GB", 10**10), ("512", 512), ("1.5KiB", 1536), ("4 GiB", 2**32), (7, 7)],
)
def test_sizes_are_written_with_binary_or_decimal_units(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(("size", "text"), [(64 * 2**20, "64MiB"), (10**10, "10GB"), (1234, "1234B"), (0, "0B")])
def test_sizes_are_written_as_people_write_them(size: int, text: str) -> None:
    assert write_size(size) == text


def test_a_size_is_exact_beyond_what_a_float_holds() -> None:
    assert parse_size("9007199254740993") == 9007199254740993
    with pytest.raises(ValueError, match="must be a size below 8EiB"):
        parse_size("9" * 400)


@pytest.mark.parametrize("value", ["", "big", "-1", "10XB", -1, 1.5, True, None])
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="must be a size"):
        parse_size(value)


@pytest.mark.parametrize(("share", "text"), [(0.1, "10%"), (0.67, "67%"), (0.0, "0%"), (1.0, "100%"), (0.125, "12.5%")])
def test_shares_are_written_in_percent(share: float, text: str) -> None:
    assert write_share(share) == text
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("value", ["10", "101%", "-1%", "ten%", 10, True, None])
def test_what_is_no_share_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="must be a share"):
        parse_share(value)


def test_a_share_or_a_duration_is_told_apart_by_its_unit() -> None:
    assert parse_share_or_duration("67%") == 0.67
    assert parse_share_or_duration("8h") == timedelta(hours=8)
    assert write_share_or_duration(timedelta(hours=8)) == "8h"
    with pytest.raises(ValueError, match="must be a share such as 67%, or a duration such as 8h"):
        parse_share_or_duration("soon")


@pytest.mark.parametrize("value", [640, 0o640, "4755", "0999", "rw-r-----", "", "640 ", None])
def test_a_mode_is_three_octal_digits_in_quotes(value: object) -> None:
    assert parse_mode("640") == parse_mode("0640") == 0o640
    with pytest.raises(ValueError, match="must be an octal file mode in quotes"):
        parse_mode(value)


@dataclass(frozen=True, kw_only=True)
class Section:
    every: Duration = timedelta(minutes=5)
    part: Size = 64 * 2**20
    jitter: Share = 0.1
    mode: Mode = 0o640


def test_pydantic_reads_and_writes_the_types_as_people_do() -> None:
    reader = TypeAdapter(Section)
    assert reader.validate_python({"every": "1h", "part": "2KiB"}) == Section(every=timedelta(hours=1), part=2048)
    assert json.loads(reader.dump_json(Section())) == {"every": "5m", "part": "64MiB", "jitter": "10%", "mode": "0640"}


def test_a_secret_is_read_anew_at_each_use_and_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    secret = Secret(file=file)
    assert secret.read() == "first"
    file.write_text("second\r\n")
    assert secret.read() == "second"


def test_a_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_TOKEN", "from here")
    assert Secret(env="ACME_TOKEN").read() == "from here"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "missing or empty"),
        (b" \n", "missing or empty"),
        (b"x" * (SECRET_LIMIT + 1), "larger than"),
        (b"\xff\xfehunter2", "not UTF-8"),
    ],
)
def test_a_secret_that_cannot_be_one_is_permanent_and_never_shown(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(PermanentError, match=message) as raised:
        Secret(file=file).read()
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_secret_that_is_not_there_is_permanent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACME_NO_SUCH", raising=False)
    with pytest.raises(PermanentError, match="environment variable ACME_NO_SUCH is missing"):
        Secret(env="ACME_NO_SUCH").read()
    with pytest.raises(PermanentError, match="No such file"):
        Secret(file=tmp_path / "nothing").read()


def test_a_local_file_is_read_anew_at_each_use_up_to_its_limit(tmp_path: Path) -> None:
    local = LocalFile(file=tmp_path / "roots.pem")
    with pytest.raises(PermanentError, match=r"roots\.pem can't be read: No such file"):
        local.read(limit=3)
    local.file.write_bytes(b"abc")
    assert local.read(limit=3) == b"abc"
    assert str(local) == str(local.file)
    with pytest.raises(PermanentError, match="is larger than 2 bytes"):
        local.read(limit=2)


@pytest.mark.parametrize("value", [{}, {"file": "/a", "env": "B"}, {"value": "hunter2"}, "hunter2"])
def test_a_secret_is_a_reference_and_never_a_value(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Secret).validate_python(value)
