"""`bao agent`, OpenBao's own, with templates: what refresher is compared with."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from refresher.demo.process import program
from refresher.demo.process import running as process

EXAMPLE = Path(__file__).parents[2] / "examples/vault-agent"


_ENDING = """\
vault {{ address = "{address}" }}
auto_auth {{
  method "token_file" {{
    config = {{ token_file_path = "token" }}
  }}
}}
exit_after_auth = true
template_config {{ exit_on_retry_failure = true }}
"""


class Agent:
    """A running agent, its files in `rendered`, and its log."""

    def __init__(self, directory: Path) -> None:
        self.pid = 0
        self.rendered, self.log, self.told = directory / "rendered", directory / "agent.log", directory / "told"

    @property
    def writes(self) -> int:
        """How many times it replaced a file."""
        return len(re.findall(r"\(runner\) rendered ", self.log.read_text()))

    @property
    def commands(self) -> int:
        """How many times it ran the command of its templates."""
        return self.told.read_text().count("told") if self.told.exists() else 0

    def files(self) -> dict[str, bytes]:
        """Everything that it has written, by name. What it is writing is called by a number, and moved then."""
        return {path.name: path.read_bytes() for path in self.rendered.iterdir() if not path.name.isdecimal()}


def example(address: str, interval: str) -> str:
    """The configuration of the example, for this server, with a command that can be counted."""
    text = (EXAMPLE / "before/agent.hcl").read_text()
    replaced = {
        "http://127.0.0.1:8200": address,
        '"before/': f'"{EXAMPLE}/before/',
        "kill -HUP $(cat app.pid)": "echo told >> told",
        'interval = "5m"': f'interval = "{interval}"',
    }
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    return text


def of_templates(address: str, templates: Mapping[str, str]) -> str:
    """A configuration of these templates, by the names of their files, that ends once all are written."""
    template = "template {{\n contents = {text}\n destination = {destination}\n}}\n"
    each = (
        template.format(text=json.dumps(text), destination=json.dumps(f"rendered/{name}"))
        for name, text in templates.items()
    )
    return _ENDING.format(address=address) + "".join(each)


@contextmanager
def running(directory: Path, configuration: str, token: str, files: int) -> Iterator[Agent]:
    """An agent that runs until the context ends; entered once it has written so many files."""
    agent = Agent(directory)
    _prepare(directory, configuration, token)
    with process(
        _argv(), log=agent.log, answers=lambda: len(agent.files()) == files, env=_environment(directory)
    ) as child:
        agent.pid = child.pid
        yield agent


def once(directory: Path, configuration: str, token: str, **environment: str) -> dict[str, bytes]:
    """The files that an agent has written when it ends by itself, as `of_templates` has it end."""
    process = ended(directory, configuration, token, **environment)
    assert process.returncode == 0, process.stdout
    return Agent(directory).files()


def ended(directory: Path, configuration: str, token: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """An agent that has ended by itself."""
    _prepare(directory, configuration, token)
    seen = _environment(directory) | environment
    pipe = subprocess.PIPE
    return subprocess.run(
        _argv(), stdout=pipe, stderr=subprocess.STDOUT, text=True, timeout=60, check=False, cwd=directory, env=seen
    )


def _prepare(directory: Path, configuration: str, token: str) -> None:
    (directory / "rendered").mkdir(parents=True)
    (directory / "token").write_text(token)
    (directory / "agent.hcl").write_text(configuration)


def _argv() -> list[str]:
    return [program("bao"), "agent", "-config=agent.hcl"]


def _environment(directory: Path) -> dict[str, str]:
    return {"HOME": str(directory), "PATH": "/usr/bin:/bin"}
