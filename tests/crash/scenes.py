"""The steps that are killed: what the volume held before, what is done to it, and what a reader may see after it."""

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from refresher import cycle, telling
from refresher.errors import TransientError
from refresher.model import Asset, LayoutName, NamedVerifier, Publish, Result, Wish
from refresher.place import opened
from refresher.rollback import roll_back
from refresher.sources import Sources
from refresher.verifiers.checksums import ChecksumsOptions, ChecksumsVerifier
from tests.fakes.models import MiB, Model, Models, content
from tests.fakes.source import App, Source, Time, asset

Files = Mapping[str, bytes]

PAIR = {"tls.crt": b"certificate 1\n" * 200, "tls.key": b"key 1\n" * 200}
NEWER = {"tls.crt": b"certificate 2\n" * 200, "tls.key": b"key 2\n" * 200}
# Just large enough to be gone on with: each MiB costs every kill its time.
OLD_MODEL = {"model": content(9 * MiB, seed=1), "deep/words": content(MiB // 8, seed=2)}
NEW_MODEL = {**OLD_MODEL, "model": content(9 * MiB, seed=3), "deep/copy": OLD_MODEL["deep/words"]}
SEVERAL = {"db/password": b"secret", "flags/flags.json": b"{}"}
MORE_OF_ONE = {**SEVERAL, "flags/flags.json": b"{ }"}
LINKED = ("deep/words", "deep/copy", "db/password")
LIST = "SHA256SUMS"
BROKEN_AT = 6 * MiB


def listed(files: Files) -> Files:
    """The files, and a list of their digests."""
    lines = (f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    return {**files, LIST: "".join(lines).encode()}


def NOTHING(web: Asset) -> None:  # noqa: N802 - a constant that is called
    """Leave it as it is."""


@dataclass(frozen=True)
class Scene:
    """`held` is published one after the other, then spoiled; then comes `step`, after which readers see `wanted`.

    `begun` is what an earlier attempt at the step does before it, which readers don't see; the step goes on with it.
    """

    held: tuple[Files, ...]
    wanted: Files
    step: Callable[[Asset, Files], None]
    spoil: Callable[[Asset], None] = NOTHING
    begun: Callable[[Asset, Files], None] | None = None

    @property
    def before(self) -> Files:
        return self.held[-1] if self.held else {}

    def prepare(self, web: Asset) -> None:
        """Everything that comes before the step."""
        for files in self.held:
            # As the step brings them: what an attempt brought is known by its revision to the next.
            (self.step if self.begun else published)(web, files)
        self.spoil(web)
        if self.begun:
            self.begun(web, self.wanted)

    def passing(self, layout: LayoutName) -> list[Files]:
        """What may be visible at any moment: the old set or the new one; a file of another name beside the old one."""
        both = [{**self.before, **self.wanted}] if layout is LayoutName.FILE else []
        return [self.before, self.wanted, *both]


def published(web: Asset, files: Files) -> None:
    web = replace(web, provider=Source(files=files, revision=str(sorted(files.items()))))
    outcome = cycle.refresh(web, wish=Wish.RENEW, clock=Time()).outcome
    assert outcome.result is Result.PUBLISHED, outcome
    told(web)


def fetched(web: Asset, files: Files) -> None:
    """Published, large files among them; seen, if they are published already.

    Where there is a list, each set has revisions of its own, and only what the list promises can be linked.
    """
    outcome = cycle.refresh(_offering(web, files), wish=Wish.RENEW, clock=Time()).outcome
    assert outcome.result in {Result.PUBLISHED, Result.UNCHANGED}, outcome
    told(web)


def broken_off(web: Asset, files: Files) -> None:
    """The same, until its connection has broken too often."""
    outcome = cycle.refresh(_offering(web, files, breaks=[BROKEN_AT, 0, 0, 0]), wish=Wish.RENEW, clock=Time()).outcome
    assert outcome.error_class == "TransientError", outcome
    with opened(web) as place:
        assert list(place.store.directory.path.glob("incoming-*/files/model")), "nothing to go on with"


def fetched_together(web: Asset, files: Files) -> None:
    """The same of several sources, one for each directory: of those that have what is held, nothing comes."""
    outcome = cycle.refresh(_several(web, files), wish=Wish.RENEW, clock=Time()).outcome
    assert outcome.result in {Result.PUBLISHED, Result.UNCHANGED}, outcome
    told(web)


def failed_together(web: Asset, files: Files) -> None:
    """The same, while one of the sources is down."""
    outcome = cycle.refresh(_several(web, files, db=TransientError("down")), wish=Wish.RENEW, clock=Time()).outcome
    assert outcome.error == "db: down", outcome


def _several(web: Asset, files: Files, **troubles: Exception) -> Asset:
    sources = {}
    for name, body in files.items():
        directory, _, rest = name.partition("/")
        revision = _revision({rest: body})
        sources[directory] = Source({rest: body}, revision, trouble=troubles.get(directory))
    return replace(web, provider=Sources(sources, timeout=timedelta(seconds=60)))  # type: ignore[arg-type]


def _offering(web: Asset, files: Files, *, breaks: Sequence[int] = ()) -> Asset:
    has_list = LIST in files
    models = [
        Model(
            name,
            content,
            revision=_revision(files if has_list else {name: content}),
            breaks=list(breaks) if name == "model" else [],
        )
        for name, content in files.items()
    ]
    checks = (NamedVerifier(name="checksums", verifier=ChecksumsVerifier(ChecksumsOptions(file=LIST))),)
    return replace(web, provider=Models(models, _revision(files)), verifiers=checks if has_list else ())


def _revision(files: Files) -> str:
    return str({name: zlib.crc32(content) for name, content in files.items()})


def told(web: Asset) -> None:
    for named in web.notifiers:
        list(telling.tell(named, [web], clock=Time()))


def put_back(web: Asset, files: Files) -> None:
    with opened(web) as place, place.store.locked():
        roll_back(web, place, to=None, pin=True, now=Time()())


def tidied(web: Asset, files: Files) -> None:
    cycle.tidy(web, clock=Time(now=Time()() + timedelta(days=400)))


def recovered(web: Asset, files: Files) -> None:
    cycle.begin(web)


def spoiled(web: Asset) -> None:
    """Everything that an earlier kill could have left, and what somebody else did meanwhile."""
    with opened(web) as place:
        store = place.store.directory.path
    for name in ("incoming-1", "..0123456789abcdef", "00000009"):
        (store / name / "files/deep").mkdir(parents=True)
        (store / name / "files/deep/x").write_text("x")
    (store / "ledger.json").write_text("{")
    for link in web.directory.glob("tls.*") if web.publish.layout is LayoutName.KUBERNETES else []:
        link.unlink()


SCENES = {
    "first": Scene(held=(), wanted=PAIR, step=published),
    "update": Scene(held=(PAIR,), wanted=NEWER, step=published),
    "removed": Scene(held=(PAIR,), wanted={"tls.crt": b"alone"}, step=published),
    "directory": Scene(held=({"a": b"1", "b": b"1"},), wanted={"a/b": b"2", "b": b"2"}, step=published),
    "rollback": Scene(held=(PAIR, NEWER), wanted=PAIR, step=put_back),
    "tidy": Scene(held=(PAIR, NEWER, PAIR, NEWER), wanted=NEWER, step=tidied),
    "resumed": Scene(held=(OLD_MODEL,), wanted=NEW_MODEL, begun=broken_off, step=fetched),
    "promised": Scene(held=(listed(OLD_MODEL),), wanted=listed(NEW_MODEL), begun=broken_off, step=fetched),
    "several": Scene(held=(SEVERAL,), wanted=MORE_OF_ONE, begun=failed_together, step=fetched_together),
    "recovery": Scene(held=(PAIR, NEWER), wanted=NEWER, step=recovered, spoil=spoiled),
}
ONE_FILE = {
    "first": Scene(held=(), wanted={"app.conf": b"1"}, step=published),
    "update": Scene(held=({"app.conf": b"1"},), wanted={"app.conf": b"2"}, step=published),
    "renamed": Scene(held=({"app.conf": b"1"},), wanted={"web.conf": b"2"}, step=published),
    "rollback": Scene(held=({"app.conf": b"1"}, {"app.conf": b"2"}), wanted={"app.conf": b"1"}, step=put_back),
    "rollback-renamed": Scene(held=({"app.conf": b"1"}, {"web.conf": b"2"}), wanted={"app.conf": b"1"}, step=put_back),
    "tidy": Scene(
        held=({"app.conf": b"1"}, {"app.conf": b"2"}, {"app.conf": b"3"}), wanted={"app.conf": b"3"}, step=tidied
    ),
    "resumed": Scene(
        held=({"model": OLD_MODEL["model"]},), wanted={"model": NEW_MODEL["model"]}, begun=broken_off, step=fetched
    ),
    "recovery": Scene(held=({"app.conf": b"1"},), wanted={"app.conf": b"1"}, step=recovered, spoil=spoiled),
}


def scenes(layout: LayoutName) -> dict[str, Scene]:
    return ONE_FILE if layout is LayoutName.FILE else SCENES


def web(volume: Path, layout: LayoutName, app: App) -> Asset:
    return asset(volume, Source(), app=app, publish=Publish(layout=layout))


def seen(web: Asset) -> Files:
    """What a reader sees, whose view of each layout is the contract's."""
    root = web.directory
    if web.publish.layout is LayoutName.VERSIONS:
        numbers = [int(path.name) for path in root.iterdir() if path.name.isdigit()] if root.is_dir() else []
        if not numbers:
            return {}
        root = root / str(max(numbers))
    return {str(path.relative_to(root)): path.read_bytes() for path in _files_below(root)}


def _files_below(root: Path) -> list[Path]:
    found = []
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        if not path.name.startswith(".."):
            found += _files_below(path) if path.is_dir() else [path] if path.exists() else []
    return found
