"""What is examined: for each asset its source, its files, its place on the volume and its app; then the listeners."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial

from refresher.abilities import DiagnosableApp, Observation
from refresher.contract import Change
from refresher.doctor.examination import Examination, Section, examined
from refresher.doctor.files import files
from refresher.doctor.listeners import control, probes
from refresher.doctor.source import source
from refresher.doctor.volume import volume
from refresher.errors import PermanentError
from refresher.model import Asset, Clock, NamedNotifier
from refresher.notify import change_of
from refresher.place import holding_on
from refresher.settings import Settings


def examine(settings: Settings, kept: Sequence[Asset], *, clock: Clock) -> Examination:
    """Examine these assets, and the listeners of the sidecar."""
    sections = [section for asset in kept for section in _of_asset(asset, settings, clock)]
    return examined(
        [
            *sections,
            Section(None, "control", partial(control, settings.control)),
            Section(None, "probes", partial(probes, settings.probes)),
        ]
    )


def _of_asset(asset: Asset, settings: Settings, clock: Clock) -> Iterator[Section]:
    yield Section(asset.name, "source", partial(source, asset, clock=clock))
    yield Section(asset.name, "files", partial(files, settings.assets[asset.name]))
    yield Section(asset.name, "volume", partial(volume, asset))
    for named in asset.notifiers:
        yield Section(asset.name, f"notify {named.name}", partial(_app, asset, named))


def _app(asset: Asset, named: NamedNotifier) -> Iterator[Observation]:
    notifier = named.notifier
    if not isinstance(notifier, DiagnosableApp):
        yield Observation.skipped("app", "this notifier can't look at the app without telling it")
        return
    yield from notifier.diagnose(_change(asset))


def _change(asset: Asset) -> Change | None:
    """What the app is told of what is visible; None if nothing is, or the volume, as it says itself, can't be read."""
    with suppress(PermanentError):
        holding = holding_on(asset)
        return change_of(asset, holding) if holding.current else None
    return None
