"""One asset's plan: `due` asked with what the volume tells, and how much of the answer that leaves open.

A running sidecar knows more than it writes down: the moment of each unchanged look, and how many attempts in a row
failed. Where one of these decides, the plan is a span of time; everywhere else it is the sidecar's own moment.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from refresher.due import LONGEST, OBEYED, Due, Weighed, Why, look_at, weigh
from refresher.errors import PermanentError
from refresher.ledger import Holding
from refresher.model import Asset
from refresher.place import holding_on
from refresher.renewal import OVERDUE, later
from refresher.standing import GOOD, Standing, standing_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is held, what was weighed, and between which moments the next refresh is; both are one where it is exact.

    `is_looked_after`: on the interval the source is asked whether what it made anew is still good.
    """

    asset: Asset
    holding: Holding
    standing: Standing
    weighed: Weighed
    earliest: datetime | None
    latest: datetime | None
    is_looked_after: bool

    @property
    def is_exact(self) -> bool:
        """Whether a running sidecar has this very moment."""
        return self.earliest == self.latest

    @property
    def reason(self) -> Due | None:
        """What decides, None if nothing is planned; while attempts fail, the back-off that only the sidecar knows."""
        return self.weighed.retry if self.weighed.retry and not self.is_exact else self.weighed.chosen

    @property
    def next(self) -> Due | None:
        """The next refresh: the sidecar's own if the plan is exact, else if it wrote its last look down and still runs.

        None: only on request, or only itself knows when: it looked since, or its next look is the interval's, and that
        depends on why it came to the last one.
        """
        reason = self.reason
        if reason is None or self.is_exact:
            return reason
        is_its_own = reason.why is not Why.INTERVAL and reason.at > (self.earliest or reason.at)
        return reason if is_its_own else None


def plan(asset: Asset, *, now: datetime, seed: str) -> Plan:
    """The asset's plan. Contacts nobody, locks and writes nothing. Raises PermanentError if the volume can't be read.

    `seed` is the sidecar's, so that what it draws is drawn the same.
    """
    holding = holding_on(asset)
    standing = _standing(asset, holding, now)
    weighed = _untried(weigh(asset.refresh, standing, now=now, seed=seed), standing)
    earliest, latest = _span(asset, standing, weighed, now)
    look = look_at(asset.refresh, standing, now=now, seed=seed)
    return Plan(
        asset=asset,
        holding=holding,
        standing=standing,
        weighed=weighed,
        earliest=earliest,
        latest=latest,
        is_looked_after=look is not None,
    )


def _standing(asset: Asset, holding: Holding, now: datetime) -> Standing:
    """As the sidecar sees it that wrote the last outcome, if it still runs."""
    last = holding.ledger.outcome
    standing = standing_of(asset, holding, started_at=now)
    if last is None:
        return standing
    failed = standing.result is not None and last.error is not None
    return replace(
        standing,
        started_at=min(last.looked_at, now),
        last_attempt_at=last.looked_at,
        permanent=last.error_class == PermanentError.__name__,
        retry_after=last.retry_after,
        failures=1 if failed else 0,
    )


def _untried(weighed: Weighed, standing: Standing) -> Weighed:
    """Without a back-off after an attempt that was good: it was another source's, and this one wasn't tried yet."""
    if not (standing.source_changed and standing.result in GOOD):
        return weighed
    return replace(weighed, chosen=weighed.reasons[0], retry=None, delays=False)


def _span(asset: Asset, standing: Standing, weighed: Weighed, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Between which moments a running sidecar refreshes next."""
    chosen = weighed.chosen
    if chosen is None:
        return None, None
    if chosen.why is Why.SOURCE_CHANGED and weighed.retry is None:
        return chosen.at, chosen.at
    ends = [_latest(asset, reason, now) for reason in weighed.reasons]
    if weighed.retry is None:
        exact = standing.last_attempt_at is None or all(_is_known(reason, now) for reason in weighed.reasons)
        return (chosen.at, chosen.at) if exact and weighed.reasons[0].why is not Why.INTERVAL else (now, min(ends))
    # Which failure in a row it is nobody wrote down, and so neither how far the back-off has come.
    patience = later(now, max(LONGEST, min(standing.retry_after or timedelta(0), OBEYED)))
    if weighed.delays:
        return (chosen.at, chosen.at) if chosen.at > patience else (now, patience)
    return now, min([patience, *ends])


def _is_known(reason: Due, now: datetime) -> bool:
    """Whether nothing that was done since, or a restart, can have moved it."""
    return reason.at > now and reason.why is not Why.INTERVAL


def _latest(asset: Asset, reason: Due, now: datetime) -> datetime:
    """When at the latest it is acted on by a sidecar that runs; what is over has been acted on unseen."""
    if reason.why is Why.INTERVAL:
        return later(now, asset.refresh.every * (1 + asset.refresh.jitter))
    if reason.at > now:
        return reason.at
    ends_at = reason.renewal.term.ends_at if reason.renewal else now
    return max(ends_at, later(now, OVERDUE))
