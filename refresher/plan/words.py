"""The rules of `due`, each with the numbers that it was computed from, as sentences."""

from refresher.control.documents import moment
from refresher.due import Due, Why
from refresher.options import write_duration, write_share_or_duration
from refresher.plan.planned import Plan
from refresher.renewal import EMERGENCY_SHARE, Kind, Renewal
from refresher.words import duration


def explained(reason: Due, plan: Plan) -> str:
    """Which rule this moment follows from."""
    refresh = plan.asset.refresh
    match reason.why:
        case Why.FIRST:
            return "nothing is held, so the source is asked at once"
        case Why.SOURCE_CHANGED:
            return "what is held came from another configured source, so this one is asked at once"
        case Why.INTERVAL:
            every, jitter = write_duration(refresh.every), f"{refresh.jitter:.0%}"
            after_start = f"anywhere within {every} of a start or a look out of turn"
            return f"refresh.every {every} ± {jitter} after the last look, or {after_start}"
        case Why.ROTATION:
            return "a second after the source said that it will have something else"
        case Why.EMERGENCY:
            return f"{EMERGENCY_SHARE:.0%} of its lifetime are left then, the one reason to ask for a pinned asset"
        case Why.RETRY:
            return _retry(plan)
        case Why.RENEWAL:
            return _renewal(reason, plan) if reason.renewal else ""


def unknown(plan: Plan) -> str:
    """What the volume leaves open, empty if nothing."""
    if plan.is_exact:
        return ""
    if plan.weighed.retry:
        return "how many attempts in a row have failed, and with it the back-off, only a running sidecar knows"
    return "unchanged looks aren't written down, so when the last one was only a running sidecar knows"


def waiting(plan: Plan) -> str:
    """What there is to wait for, where no refresh is planned."""
    if plan.standing.pinned:
        return f"only on request: pinned to generation {plan.standing.generation}, which has no end, until unpinned"
    return "only on request: refresh.every is 0 or it is made anew, and what is held has no end"


def _retry(plan: Plan) -> str:
    last = plan.holding.ledger.outcome
    ended = f"the last attempt that was written down ended {last.result}" if last else "an attempt failed"
    until = "and until then the source isn't asked" if plan.weighed.delays else "which comes before the interval"
    asked = plan.standing.retry_after
    wished = f"; the source asked for a pause of {duration(asked)}" if asked else ""
    return f"{ended} ({moment(plan.standing.last_attempt_at)}): back-off of 1s doubling to 5m, {until}{wished}"


def _renewal(reason: Due, plan: Plan) -> str:
    assert reason.renewal is not None  # noqa: S101 - the caller looked
    renewal = reason.renewal
    term, renew_at = renewal.term, write_share_or_duration(plan.asset.refresh.renew_at)
    what = "its lease's" if term.kind is Kind.LEASE else "its"
    whole = f"{what} lifetime of {duration(term.lifetime)} since {moment(term.starts_at)}"
    if reason.at != renewal.at:
        return f"due since {moment(renewal.at)} and tried: again when half of what was left has gone by"
    if _is_floor(renewal):
        return f"{EMERGENCY_SHARE:.0%} of {whole} are left then, which comes before refresh.renew_at {renew_at}"
    if renewal.at != term.starts_at + term.lifetime * renewal.share:
        return f"refresh.min_interval after {moment(term.starts_at)}, because {what} lifetime is so short"
    spread = f"minus {renewal.spread:.1%}, which this pod drew from refresh.spread {plan.asset.refresh.spread:.0%}"
    return f"at {renewal.share:.1%} of {whole}: refresh.renew_at {renew_at} {spread}"


def _is_floor(renewal: Renewal) -> bool:
    term = renewal.term
    return renewal.at == term.emergency_at < term.starts_at + term.lifetime * renewal.share
