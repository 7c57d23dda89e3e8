"""The two that are compared, each told to keep the same values of one OpenBao server in files, looking every 5 s."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from refresher.demo.openbao import OpenBao
from refresher.demo.process import end, free_port, program

EVERY = "5s"
MOUNT = "bench"
TOGETHER = "together"
FIELDS = [f"field-{number}" for number in range(10)]
"""One path, and the fields that are kept in files of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A command to run in its own directory, and the files that it makes. `control`: refresher's local API."""

    argv: Sequence[str]
    directory: Path
    files: Sequence[Path]
    control: str = ""

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run it until the context ends, its output in `log`."""
        environment = {"HOME": str(self.directory), "PATH": os.environ["PATH"]}
        with (self.directory / "log").open("wb") as log:
            child = subprocess.Popen(
                self.argv, cwd=self.directory, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            yield child
        finally:
            end(child)


def names_of(count: int) -> list[str]:
    """The names of that many values, each at `bench/NAME`, field `value`."""
    return [f"value-{number:03d}" for number in range(count)]


def refresher(directory: Path, bao: OpenBao, count: int, *, every: str = EVERY) -> Job:
    """The sidecar with that many key-value assets."""
    sources: dict[str, Any] = {name: f"vault://{MOUNT}/{name}" for name in names_of(count)}
    job = refresher_of(directory, bao, sources, every=every)
    files = [directory / "shared" / name / "value" for name in names_of(count)]
    return Job(argv=job.argv, directory=directory, files=files, control=job.control)


def refresher_on_one_path(directory: Path, bao: OpenBao) -> Job:
    """The sidecar with an asset for each field of one path."""
    job = refresher_of(directory, bao, {field: f"vault://{MOUNT}/{TOGETHER}#{field}" for field in FIELDS})
    return replace(job, files=[file / file.name for file in job.files])


def refresher_of(directory: Path, bao: OpenBao, sources: Mapping[str, Any], *, every: str = EVERY) -> Job:
    """The sidecar with an asset for each of these sources."""
    volume, control = directory / "shared", f"127.0.0.1:{free_port()}"
    volume.mkdir(parents=True)
    configuration = {
        "volume": str(volume),
        "control": {"listen": control},
        "probes": {"listen": f"127.0.0.1:{free_port()}"},
        "providers": {"vault": {"address": bao.address, "auth": {"token": {"file": str(_token(directory, bao))}}}},
        "defaults": {"refresh": {"every": every}},
        "assets": {name: {"source": source} for name, source in sources.items()},
    }
    config = directory / "refresher.yaml"
    config.write_text(yaml.safe_dump(configuration))
    argv = [sys.executable, "-m", "refresher", "run", "-c", str(config)]
    return Job(argv=argv, directory=directory, files=[volume / name for name in sources], control=control)


_AGENT = """\
vault {{
  address = "{address}"
}}
auto_auth {{
  method "token_file" {{
    config = {{
      token_file_path = "{token}"
    }}
  }}
}}
template_config {{
  static_secret_render_interval = "{every}"
}}
"""
_TEMPLATE = """\
template {{
  contents = {contents}
  destination = {destination}
}}
"""


def bao_agent(directory: Path, bao: OpenBao, count: int) -> Job:
    """`bao agent` with a template for each of that many values."""
    return bao_agent_of(directory, bao, {name: _value(name, "value") for name in names_of(count)})


def bao_agent_on_one_path(directory: Path, bao: OpenBao) -> Job:
    """`bao agent` with a template for each field of one path."""
    return bao_agent_of(directory, bao, {field: _value(TOGETHER, field) for field in FIELDS})


def bao_agent_of(directory: Path, bao: OpenBao, templates: Mapping[str, str]) -> Job:
    """`bao agent` with these templates, by the names of the files that they are rendered to."""
    directory.mkdir(parents=True)
    files = [directory / "rendered" / name for name in templates]
    text = _AGENT.format(address=bao.address, token=_token(directory, bao), every=EVERY)
    for contents, file in zip(templates.values(), files, strict=True):
        # A JSON string is one of HCL's, too.
        text += _TEMPLATE.format(contents=json.dumps(contents), destination=json.dumps(str(file)))
    config = directory / "agent.hcl"
    config.write_text(text)
    return Job(argv=[program("bao"), "agent", f"-config={config}"], directory=directory, files=files)


def _value(name: str, field: str) -> str:
    return f'{{{{ with secret "{MOUNT}/data/{name}" }}}}{{{{ index .Data.data "{field}" }}}}{{{{ end }}}}'


def _token(directory: Path, bao: OpenBao) -> Path:
    file = directory / "token"
    file.write_text(bao.token)
    return file
