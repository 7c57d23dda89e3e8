"""What `check` says about a configuration that works, and perhaps not as its author thinks."""

from collections.abc import Iterator
from math import inf

from refresher.model import LayoutName, Limits, OnReject
from refresher.settings.models import AssetSettings, Settings


def warnings(settings: Settings) -> list[str]:
    """One sentence for each thing to look at, with the key's full path."""
    shared = settings.transfers.max_rate
    return [
        f"assets.{name}.{sentence}"
        for name, asset in settings.assets.items()
        for sentence in (*_asset(asset), *_rates(asset.limits, shared))
    ]


def _rates(limits: Limits, shared: int | None) -> Iterator[str]:
    if limits.max_rate is not None and shared is not None and limits.max_rate > shared:
        yield "limits.max_rate: does nothing, for transfers.max_rate is less, and for all assets together"
    if limits.min_rate > min(limits.max_rate or inf, shared or inf):
        yield "limits.min_rate: is more than max_rate lets through; waiting for our own limit doesn't count against it"


def _asset(asset: AssetSettings) -> Iterator[str]:
    publish, every = asset.publish, asset.refresh.every
    if publish.owner is not None:
        yield "publish.owner: needs the right to chown, which the image drops"
    if asset.on_reject is OnReject.ROLLBACK and publish.keep < 2:
        yield "on_reject: nothing can be rolled back to with publish.keep 1"
    if asset.on_reject is OnReject.ROLLBACK and not asset.notify:
        yield "on_reject: nobody is told, so nobody can refuse a generation"
    if asset.max_stale is not None and not every:
        yield "max_stale: with refresh.every 0 nothing looks at the source in between, so it will run out"
    elif asset.max_stale is not None and asset.max_stale < every:
        yield "max_stale: is shorter than refresh.every, so the asset isn't ready for part of each interval"
    if publish.nudge and publish.layout is not LayoutName.KUBERNETES:
        yield f"publish.nudge: does nothing with the layout {publish.layout}, which has no user links"
