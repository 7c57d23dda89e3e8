"""The plan as JSON values. Never any content, never a lease's id."""

from typing import Any

from refresher.control.documents import moment
from refresher.due import Due
from refresher.model import NamedNotifier
from refresher.notify import is_owed
from refresher.options import write_duration
from refresher.plan.planned import Plan
from refresher.plan.words import explained, unknown, waiting


def plan_document(plan: Plan) -> dict[str, Any]:
    """One asset's plan. `next_refresh_at` and `why_next` are as in GET /assets, for a sidecar that runs, if `exact`."""
    upcoming, reason = plan.next, plan.reason
    return {
        "asset": plan.asset.name,
        "held": _held(plan),
        "told": [_told(named, plan) for named in plan.asset.notifiers],
        "next_refresh_at": moment(upcoming.at) if upcoming else None,
        "why_next": reason.why if reason else None,
        "because": explained(reason, plan) if reason else waiting(plan),
        "exact": plan.is_exact,
        "earliest": moment(plan.earliest),
        "latest": moment(plan.latest),
        "unknown": unknown(plan) or None,
        "looks_every": write_duration(plan.asset.refresh.every) if plan.is_looked_after else None,
        "lost": [_lost(reason, plan) for reason in _losers(plan)],
    }


def _held(plan: Plan) -> dict[str, Any] | None:
    current, ledger = plan.holding.current, plan.holding.ledger
    if current is None:
        return None
    return {
        "generation": current.number,
        "revision": ledger.source_and_revision(current)[1],
        "digest": current.digest,
        "files": len(current.files),
        "fetched_at": moment(current.fetched_at),
        "published_at": moment(current.published_at),
        "expires_at": moment(plan.holding.expires_at),
        "minted": current.minted,
        "source_changed": plan.standing.source_changed,
        "pinned": plan.standing.pinned,
    }


def _told(named: NamedNotifier, plan: Plan) -> dict[str, Any]:
    told = plan.holding.ledger.told.get(named.key)
    return {
        "notifier": named.name,
        "generation": (told.generation or None) if told else None,
        "at": moment(told.at) if told else None,
        "refused": told.refused if told else None,
        "owed": is_owed(named, plan.holding),
    }


def _losers(plan: Plan) -> list[Due]:
    """What was weighed and didn't decide."""
    weighed = [*plan.weighed.reasons, *([plan.weighed.retry] if plan.weighed.retry else [])]
    decided = next((each for each in weighed if plan.reason and each.why is plan.reason.why), None)
    return [each for each in weighed if each is not decided]


def _lost(reason: Due, plan: Plan) -> dict[str, Any]:
    return {"why": reason.why, "at": moment(reason.at), "because": explained(reason, plan)}
