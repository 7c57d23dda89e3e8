import subprocess
import sys

import pytest

HEAVY = ("boto3", "hvac", "pydantic", "apscheduler", "watchdog", "cryptography", "urllib3")


def loaded_by(module: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after importing this one."""
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


@pytest.mark.parametrize("module", ["refresher.contract", "refresher.options", "refresher.errors", "refresher.model"])
def test_the_nouns_load_no_library(module: str) -> None:
    assert not loaded_by(module) & set(HEAVY)


def test_what_is_looked_for_would_be_seen() -> None:
    assert "pydantic" in loaded_by("pydantic")


def test_the_settings_load_no_vendors_library_and_no_parser_before_it_is_needed() -> None:
    assert not loaded_by("refresher.settings") & {*HEAVY, "yaml", "jsonschema", "typer"} - {"pydantic"}
