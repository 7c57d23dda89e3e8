"""Known vulnerabilities in what a sidecar runs with: `python .ci/audit.py [LOCK]`, as `make audit` does.

Ends with 1 if one is found, or if the lock file can't be read. Where the database can't be reached, or doesn't know a
package, it says so and ends with 0: a check that couldn't be made is not one that failed, and not one that passed.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

UNREACHABLE = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError", "SSLError", "HTTPError")
"""Names of what requests and pip-audit raise, in the last lines of a traceback."""


def main() -> int:
    """Ask pip-audit, and say what it found."""
    lock = sys.argv[1] if len(sys.argv) > 1 else "requirements.lock"
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.json"
        program = str(Path(sys.executable).with_name("pip-audit"))
        # The lock has every package with its hash, so nothing is resolved, installed or run.
        argv = [program, "--disable-pip", "--require-hashes", "-r", lock, "-f", "json", "-o", str(report),
                "--progress-spinner", "off", "--timeout", "15"]  # fmt: skip
        asked = subprocess.run(argv, capture_output=True, text=True, check=False)
        if report.exists():
            said, found = verdict(json.loads(report.read_text()))
        else:
            said, found = failure(asked.stderr)
    sys.stdout.write(f"{said}\n")
    return found


def verdict(report: dict[str, Any]) -> tuple[str, int]:
    """What is in a report, and the exit code."""
    looked_up = [each for each in report["dependencies"] if "vulns" in each]
    unknown = len(report["dependencies"]) - len(looked_up)
    lines = [
        f"{each['name']} {each['version']}: {vulnerability['id']}, repaired in {repaired(vulnerability)}"
        for each in looked_up
        for vulnerability in each["vulns"]
    ]
    found = int(bool(lines))
    lines.append(f"{len(looked_up)} packages looked up, {len(lines)} known vulnerabilities")
    if unknown:
        lines.append(f"NOT CHECKED: {unknown} packages that the database doesn't know, or that couldn't be asked for")
    return "\n".join(lines), found


def repaired(vulnerability: dict[str, Any]) -> str:
    """The releases without it."""
    return ", ".join(vulnerability["fix_versions"]) or "no release yet"


def failure(errors: str) -> tuple[str, int]:
    """What kept pip-audit from reporting, and the exit code."""
    last = errors.strip().splitlines()[-1:]
    if any(name in line for name in UNREACHABLE for line in errors.splitlines()[-5:]):
        return "NOT CHECKED: the database of vulnerabilities couldn't be reached", 0
    return f"pip-audit failed: {''.join(last)}", 1


if __name__ == "__main__":
    sys.exit(main())
