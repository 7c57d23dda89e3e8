import importlib.util
import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import kubernetes_validate
import pytest
import typer.main
import yaml

from refresher.cli import app
from refresher.control.api import Api
from refresher.control.calls import Call
from refresher.control.description import describe
from refresher.control.guards import FORWARDING
from refresher.control.health import Health
from refresher.control.metrics import Metrics
from refresher.control.refreshes import Refreshes
from refresher.demo.openbao import OpenBao
from refresher.logs import FIELDS
from refresher.ratelimit import RateLimit
from refresher.settings import SharedParts, assets
from refresher.settings.models import Probes
from refresher.settings.read import read
from refresher.verifiers.checksums import ChecksumsOptions, ChecksumsVerifier
from refresher.verifiers.signature import SignatureOptions, SignatureVerifier
from tests.fakes.candidate import FakeCandidate
from tests.fakes.sidecar import AWAY, NOW, FakeSidecar, state

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")],
)
OPERATIONS = (ROOT / "docs/operations.md").read_text()
LOCAL_API = (ROOT / "docs/local-api.md").read_text()
MONITORING = (ROOT / "docs/monitoring.md").read_text()


class Block(NamedTuple):
    page: str
    line: int
    language: str
    role: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    opened: tuple[int, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if not line.startswith("```"):
            lines.append(line)
        elif opened is None:
            opened, lines = (number, line.removeprefix("```")), []
        else:
            language, _, role = opened[1].partition(" ")
            yield Block(str(page.relative_to(ROOT)), opened[0], language, role, "\n".join(lines) + "\n")
            opened = None
    assert opened is None, f"{page}: a block has no end"


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def blocks(*languages: str, role: str | None = None) -> list[Block]:
    found = [block for block in BLOCKS if block.language in languages]
    return found if role is None else [block for block in found if block.role == role]


def without_blocks(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)


def accept(configuration: dict[str, Any], beside: Path = ROOT) -> None:
    shared = SharedParts()
    try:
        assets(read(configuration, {}, beside=beside), shared)
    finally:
        shared.close()


def test_every_block_says_what_it_is() -> None:
    known = {
        ("", ""),
        ("caddyfile", "app"),
        ("console", ""),
        ("console", "try"),
        ("dockerfile", ""),
        ("haproxy", "app"),
        ("hcl", ""),
        ("ini", "app"),
        ("javascript", "app"),
        ("jinja", "template"),
        ("json", ""),
        ("nginx", "app"),
        ("promql", ""),
        ("python", "app"),
        ("python", "contract"),
        ("python", "diagnosis"),
        ("python", "file"),
        ("python", "notifier"),
        ("python", "provider"),
        ("python", "test"),
        ("python", "verifier"),
        ("sh", ""),
        ("sh", "try"),
        ("sh", "try server"),
        ("sh", "try vault"),
        ("sh", "try app"),
        ("sh", "try refresher"),
        ("toml", ""),
        ("toml", "plugins"),
        ("yaml", ""),
        ("yaml", "app"),
        ("yaml", "asset"),
        ("yaml", "kubernetes"),
        ("yaml", "manifest"),
        ("yaml", "plugin"),
        ("yaml", "plugins"),
        ("yaml", "prometheus"),
    }
    assert {(block.language, block.role) for block in BLOCKS} == known


@pytest.mark.parametrize("block", blocks("yaml", role=""), ids=str)
def test_a_configuration_works(block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VAULT_ADDR", "https://vault:8200")
    configuration = yaml.safe_load(block.text)
    (template,) = blocks("jinja")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/app.yaml.j2").write_text(template.text)
    accept({"assets": {"example": {"source": "file:///source"}}, **configuration}, beside=tmp_path)


@pytest.mark.parametrize("block", blocks("yaml", role="asset"), ids=str)
def test_a_part_of_an_asset_works(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_ADDR", "https://vault:8200")
    accept({"assets": {"example": {"source": "file:///source", **yaml.safe_load(block.text)}}})


@pytest.mark.parametrize("block", blocks("yaml", role="kubernetes"), ids=str)
def test_a_part_of_a_pod_is_valid_for_kubernetes(block: Block) -> None:
    spec = {"containers": [{"name": "app"}], **yaml.safe_load(block.text)}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "example"}, "spec": spec}
    kubernetes_validate.validate(pod, kubernetes_validate.__version__, strict=True)


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_a_json_example_is_json(block: Block) -> None:
    assert isinstance(json.loads(block.text), dict)


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_a_toml_example_is_toml(block: Block) -> None:
    assert tomllib.loads(block.text)


def commands() -> Iterator[tuple[str, str]]:
    """(where, command) for each command of refresher's that is shown, in blocks and in the text."""
    shown = r"(?:^|[\s$`])refresher ((?:[a-z][^`|&#\n]*?)?)(?=\s*(?:[`|&#]|$))"
    for block in blocks("sh", "console"):
        text = block.text.replace("\\\n", " ")
        yield from ((str(block), match) for match in re.findall(shown, text, flags=re.M))
    for page in PAGES:
        code = re.findall(r"`(refresher [^`]+)`", " ".join(without_blocks(page).split()))
        yield from ((page.name, command.removeprefix("refresher ")) for command in code)


@pytest.mark.parametrize("block", blocks("hcl"), ids=str)
def test_a_policy_is_one_that_the_server_takes(bao: OpenBao, block: Block) -> None:
    bao.policy("documented", block.text)
    written = bao.read("sys/policies/acl/documented")["data"]["policy"]
    assert set(re.findall(r'^path "(.+?)"', written, flags=re.M)) >= {"secret/data/web/*", "sys/leases/revoke"}


def test_every_command_that_is_shown_exists_with_its_options() -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    found = list(commands())
    assert len(found) > 20
    for where, written in found:
        name, *words = written.replace("[", " ").replace("]", " ").split()
        if name == "--help":
            continue
        assert name in known, f"{where}: refresher {written}"
        options = {option for parameter in known[name].params for option in parameter.opts} | {"--help"}
        for word in words:
            assert not word.startswith("-") or word in options, f"{where}: refresher {written}"


def calls() -> list[Call]:
    sidecar, limit = FakeSidecar(), RateLimit(burst=1, per_second=1, clock=lambda: 0)
    health = Health(sidecar, Metrics(sidecar, notifiers={}), clock=lambda: NOW)
    api = Api(sidecar, Refreshes(sidecar, limit), health, clock=lambda: NOW, token=False)
    return api.calls(lambda method, path: False)


def test_every_command_and_call_is_documented() -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name in known:
        assert f"| `refresher {name}" in OPERATIONS
    for call in calls():
        assert f"`{call.name}`" in LOCAL_API


def test_the_metrics_that_are_documented_are_those_that_there_are() -> None:
    text = (
        Metrics(FakeSidecar(state("web", renewal_at=NOW, endpoint=AWAY)), notifiers={"web": ["http"]}).text().decode()
    )
    there = dict(re.findall(r"^# TYPE (\w+) (\w+)", text, flags=re.M))
    rows = re.findall(r"^\| `(refresher_\w+)` \| (\w+) \| ([\w, -]+) \|", MONITORING, flags=re.M)
    assert {name: kind for name, kind, _ in rows} == there
    for name, _, labels in rows:
        given = re.findall(rf"^{name}(?:_sum)?(?:{{(.*)}})? ", text, flags=re.M)
        assert {", ".join(re.findall(r"(\w+)=", each)) for each in given} == {labels.strip("-")}, name
    for block in blocks("promql"):
        assert set(re.findall(r"refresher_\w+", block.text)) <= set(there)


def documented_keys() -> dict[str, str]:
    """The keys of a line of the log, and the type of each."""
    (table,) = re.findall(r"^\| key \| type .*?\n\n", MONITORING, flags=re.M | re.S)
    return dict(re.findall(r"^\| `(\w+)` \| (text|number|moment) \|", table, flags=re.M))


def test_the_keys_of_the_log_that_are_documented_are_those_that_there_are() -> None:
    assert list(documented_keys()) == ["time", "level", "message", *FIELDS, "exception"]


@pytest.mark.parametrize("block", blocks("yaml", role="manifest"), ids=str)
def test_a_manifest_to_be_scraped_names_the_port_of_the_probes(block: Block) -> None:
    port = Probes().listen.port
    manifest = yaml.safe_load(block.text)
    if manifest.get("kind") == "PodMonitor":
        (endpoint,) = manifest["spec"]["podMetricsEndpoints"]
        assert f"[{{name: {endpoint['port']}, containerPort: {port}}}]" in block.text
    else:
        assert manifest["metadata"]["annotations"]["prometheus.io/port"] == str(port)


def test_every_status_that_is_answered_is_documented() -> None:
    described = describe(calls(), lambda method, path: True)
    answered = {int(s) for path in described["paths"].values() for call in path.values() for s in call["responses"]}
    documented = re.findall(r"^\| (\d{3})(?:, (\d{3}))? \|", LOCAL_API, flags=re.M)
    assert {int(status) for row in documented for status in row if status} == answered | {405}


def test_every_header_that_a_proxy_is_known_by_is_documented() -> None:
    for header in FORWARDING:
        assert f"`{header}`" in LOCAL_API.lower()


def test_every_test_that_a_page_names_exists() -> None:
    there = {name for path in ROOT.glob("tests/**/*.py") for name in re.findall(r"def (test_\w+)\(", path.read_text())}
    named = {name for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text())}
    assert len(named) > 40
    assert named <= there


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", without_blocks(page), flags=re.M)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = without_blocks(page)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {target}"
        assert there.is_relative_to(ROOT)
        assert not anchor or anchor in anchors(there), f"{page.name}: {target}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, left = set[Path](), [ROOT / "README.md"]
    while left:
        page = left.pop()
        reached.add(page)
        for target in re.findall(r"\]\(([^)\s#]+\.md)[)#]", page.read_text()):
            there = (page.parent / target).resolve()
            if there not in reached:
                left.append(there)
    assert set(PAGES) <= reached


def test_the_page_of_all_options_is_current() -> None:
    write = runpy.run_path(str(ROOT / "docs/reference.py"))["reference"]
    assert (ROOT / "docs/reference.md").read_text() == write(), "run: python docs/reference.py"


def test_every_option_that_a_page_names_by_its_path_exists() -> None:
    page = (ROOT / "docs/reference.md").read_text()
    tables = re.split(r"^## ", page, flags=re.M)[1:]
    known = {table.split("\n", 1)[0]: set(re.findall(r"^\| `(\w+)`", table, flags=re.M)) for table in tables}
    sections = ("control", "probes", "transfers", "publish", "refresh", "limits")
    named = re.compile(rf"`({'|'.join(sections)})\.(\w+)(?:: [^`]*)?`")
    found = [(p.name, *match) for p in PAGES for match in named.findall(without_blocks(p))]
    assert len(found) > 5
    for where, section, option in found:
        assert option in known[section], f"{where}: {section}.{option}"


def test_the_promise_is_the_same_everywhere() -> None:
    (promise,) = re.findall(r"^> .*(?:\n> .*)*", (ROOT / "README.md").read_text(), flags=re.M)
    text = " ".join(promise.replace("> ", "").split())
    assert text.startswith("refresher keeps a directory of a shared volume fresh.")
    assert text.endswith("When the source is down or wrong, the last good files stay.")


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[\[<>=,]", dependency)[0] for dependency in project["dependencies"]}
    table = (ROOT / "docs/decisions/dependencies.md").read_text()
    assert set(re.findall(r"^\| ([a-z0-9-]+) \| [a-zA-Z]", table, flags=re.M)) - {"library"} == names


def test_every_room_is_on_the_map() -> None:
    table = (ROOT / "docs/architecture.md").read_text()
    on_it = set(re.findall(r"`(\w+)`", "\n".join(line for line in table.splitlines() if line.startswith("|"))))
    rooms = {path.stem for path in (ROOT / "refresher").glob("[!_.]*")} - {"py"}
    assert rooms <= on_it


def pytest_in(directory: Path) -> str:
    """What pytest prints of the tests in `directory`, all of which have to pass."""
    (directory / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(directory)]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False, cwd=directory)
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def test_the_provider_in_the_documentation_passes_the_conformance_kit(tmp_path: Path) -> None:
    ((provider,), (suite,)) = blocks("python", role="provider"), blocks("python", role="test")
    (tmp_path / "my_sqlite.py").write_text(provider.text)
    (tmp_path / "test_my_sqlite.py").write_text(suite.text)
    assert "17 passed" in pytest_in(tmp_path)


def test_the_diagnosis_in_the_documentation_passes_the_conformance_kit(tmp_path: Path) -> None:
    for role, name in (("provider", "my_sqlite"), ("diagnosis", "examined")):
        (block,) = blocks("python", role=role)
        (tmp_path / f"{name}.py").write_text(block.text)
    (suite,) = blocks("python", role="test")
    examined = "from examined import ExaminedProvider as SqliteProvider\nfrom my_sqlite import SqliteOptions\n"
    text = suite.text.replace("from my_sqlite import SqliteOptions, SqliteProvider\n", examined)
    assert "ExaminedProvider" in text
    (tmp_path / "test_my_sqlite.py").write_text(text)
    assert "17 passed" in pytest_in(tmp_path)


LARGE = """
import zlib
from contextlib import contextmanager

import pytest
from large import LargeFile

from refresher.contract import Fetched, Unchanged
from refresher.errors import PermanentError, TransientError
from refresher.testing import ProviderContract


class Depot:
    def __init__(self, directory, pattern):
        self._directory, self._pattern = directory, pattern

    @contextmanager
    def fetch(self, held):
        if not self._directory.exists():
            raise TransientError("no depot")
        if not (paths := sorted(self._directory.glob(self._pattern))):
            raise PermanentError("no model")
        content = paths[-1].read_bytes()
        file = LargeFile("weights.bin", paths[-1], size=len(content), crc32=zlib.crc32(content))
        if held is not None and held.revision == file.revision:
            yield Unchanged()
        else:
            yield Fetched(revision=file.revision, files=[file])


class TestDepot(ProviderContract):
    @pytest.fixture(autouse=True)
    def _source(self, tmp_path):
        self.depot = tmp_path / "depot"
        self.depot.mkdir()
        self.change()

    def provider(self):
        return Depot(self.depot, "*.weights")

    def change(self):
        version = len(list(self.depot.iterdir()))
        (self.depot / f"{version}.weights").write_bytes(bytes([version]) * 300_000)

    def missing_provider(self):
        return Depot(self.depot, "*.missing")

    def unreachable_provider(self):
        return Depot(self.depot / "away", "*.weights")
"""


def test_the_large_file_in_the_documentation_passes_the_conformance_kit(tmp_path: Path) -> None:
    (block,) = blocks("python", role="file")
    (tmp_path / "large.py").write_text(block.text)
    (tmp_path / "test_large.py").write_text(LARGE)
    assert "17 passed" in pytest_in(tmp_path)


def recipe(beginning: str) -> Block:
    """The one block of shell whose text begins so."""
    (block,) = (block for block in blocks("sh") if block.text.startswith(beginning))
    return block


def test_the_documented_list_has_files_in_directories_too_and_can_be_written_again(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "variables").mkdir(parents=True)
    (model / "saved_model.pb").write_text("graph")
    (model / "variables/data").write_text("weights")
    make_list = "".join(line for line in recipe("rm -f").text.splitlines(keepends=True) if "cosign" not in line)
    for _ in range(2):
        subprocess.run(["sh", "-ec", make_list], cwd=model, check=True)
    candidate = FakeCandidate({str(p.relative_to(model)): p.read_bytes() for p in model.rglob("*") if p.is_file()})
    assert set(candidate.contents) == {"SHA256SUMS", "saved_model.pb", "variables/data"}
    ChecksumsVerifier(ChecksumsOptions(file="SHA256SUMS", monotonic=True)).verify(candidate)


@pytest.mark.parametrize(
    ("kind", "command"), [("-algorithm EC -pkeyopt ec_paramgen_curve:P-256", 0), ("-algorithm ed25519", 1)]
)
def test_what_the_documented_openssl_commands_sign_is_accepted(tmp_path: Path, kind: str, command: int) -> None:
    (tmp_path / "SHA256SUMS").write_text("a list")
    keys = f"openssl genpkey {kind} -out model.key; openssl pkey -in model.key -pubout -out model.pub"
    sign = recipe("openssl").text.splitlines()[command]
    subprocess.run(["sh", "-ec", f"{keys}\n{sign}"], cwd=tmp_path, check=True, capture_output=True)
    signed = FakeCandidate({name: (tmp_path / name).read_bytes() for name in ("SHA256SUMS", "SHA256SUMS.sig")})
    options = {"file": "SHA256SUMS", "signature": "SHA256SUMS.sig", "public_key": {"file": str(tmp_path / "model.pub")}}
    SignatureVerifier(SignatureOptions.model_validate(options)).verify(signed)


def test_the_documented_package_of_a_plugin_brings_it(tmp_path: Path) -> None:
    (package,), (provider,) = blocks("toml", role=""), blocks("python", role="provider")
    (tmp_path / "pyproject.toml").write_text(package.text)
    (tmp_path / "my_sqlite.py").write_text(provider.text)
    argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*argv, "--wheel-dir", tmp_path, tmp_path], check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    files = ZipFile(wheel)
    assert "my_sqlite.py" in files.namelist()
    (entry_points,) = (name for name in files.namelist() if name.endswith("entry_points.txt"))
    assert files.read(entry_points).decode().split() == [
        "[refresher.providers]", "sqlite", "=", "my_sqlite:SqliteProvider"
    ]  # fmt: skip


def test_the_documented_plugin_configuration_fits_the_documented_options(tmp_path: Path) -> None:
    (provider,) = blocks("python", role="provider")
    (block,) = (block for block in blocks("yaml", role="plugin") if block.page == provider.page)
    path = tmp_path / "my_sqlite.py"
    path.write_text(provider.text)
    spec = importlib.util.spec_from_file_location("my_sqlite", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (source,) = [asset["source"] for asset in yaml.safe_load(block.text)["assets"].values()]
    assert module.SqliteOptions.model_validate(source["sqlite"]).name == "greeting"


def plugins_in(directory: Path) -> None:
    """The documented verifier and notifier, as their package has them."""
    for language, role, name in (
        ("python", "verifier", "my_shrink.py"),
        ("python", "notifier", "my_line.py"),
        ("toml", "plugins", "pyproject.toml"),
    ):
        (block,) = blocks(language, role=role)
        (directory / name).write_text(block.text)


def test_the_verifier_and_the_notifier_in_the_documentation_pass_the_conformance_kit(tmp_path: Path) -> None:
    plugins_in(tmp_path)
    (suite,) = blocks("python", role="contract")
    (tmp_path / "test_plugins.py").write_text(suite.text)
    assert "12 passed" in pytest_in(tmp_path)


def test_the_documented_verifier_and_notifier_are_used_by_their_names(tmp_path: Path) -> None:
    plugins_in(tmp_path)
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    installed, volume = tmp_path / "installed", tmp_path / "shared"
    volume.mkdir()
    subprocess.run([*argv, "--target", installed, tmp_path], check=True, capture_output=True, timeout=120)
    (block,) = blocks("yaml", role="plugins")
    (tmp_path / "refresher.yaml").write_text(block.text)
    ended = subprocess.run(
        [sys.executable, "-m", "refresher", "check", "-c", "refresher.yaml"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed), "REFRESHER_VOLUME": str(volume)},
    )
    assert (ended.returncode, ended.stderr) == (0, "")
