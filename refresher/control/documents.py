"""What the API says about assets and outcomes, as JSON values. Never any content, never a lease's id."""

from datetime import UTC, datetime
from typing import overload

from refresher.control.shapes import (
    AssetDocument,
    ConfigurationDocument,
    DetailsDocument,
    EndpointDocument,
    OutcomeDocument,
    RememberedDocument,
    TransferDocument,
)
from refresher.model import Outcome, Result
from refresher.state import AssetState, ConfigurationState, EndpointState
from refresher.traffic import Transfer


@overload
def moment(at: datetime) -> str: ...
@overload
def moment(at: datetime | None) -> str | None: ...
def moment(at: datetime | None) -> str | None:
    """`2026-11-22T09:00:00Z`."""
    # Not strftime, which writes the year 1 with one digit.
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if at else None


def asset_document(state: AssetState) -> AssetDocument:
    """How an asset stands, with the result and the error of its last outcome, what is on its way, and from where."""
    return {
        **outcome_document(state, state.result, state.error),
        "transfer": _transfer_document(state.transfer),
        "endpoint": _endpoint_document(state.endpoint),
    }


def _endpoint_document(endpoint: EndpointState | None) -> EndpointDocument | None:
    if endpoint is None:
        return None
    return {
        "address": endpoint.address,
        "circuit": endpoint.circuit,
        "until": moment(endpoint.until),
        "failures": endpoint.failures,
    }


def _transfer_document(transfer: Transfer | None) -> TransferDocument | None:
    if transfer is None:
        return None
    return {
        "received": transfer.received,
        "expected": transfer.expected,
        "seconds": round(transfer.seconds, 1),
        "bytes_per_second": round(transfer.rate),
    }


def configuration_document(state: ConfigurationState) -> ConfigurationDocument:
    """How the configuration stands."""
    return {
        "valid": state.valid,
        "problems": list(state.problems),
        "loaded_at": moment(state.loaded_at),
        "restart_needed": list(state.restart_needed),
    }


def outcome_document(state: AssetState, result: Result | None, error: str | None) -> OutcomeDocument:
    """How an asset stands, with the result and the error of one refresh; None while that isn't known."""
    return {
        "asset": state.asset,
        "result": result,
        "generation": state.generation,
        "revision": state.revision,
        "digest": state.digest,
        "files": dict(state.files),
        "published_at": moment(state.published_at),
        "expires_at": moment(state.expires_at),
        "next_refresh_at": moment(state.next_refresh_at),
        "why_next": state.why_next,
        "notified_generation": state.notified_generation,
        "refused": state.refused,
        "pinned": state.pinned,
        "error": error,
    }


def details_document(state: AssetState) -> DetailsDocument:
    """The same, with what led there; the history is oldest first."""
    return {
        **asset_document(state),
        "last_attempt_at": moment(state.last_attempt_at),
        "last_success_at": moment(state.last_success_at),
        "consecutive_failures": state.consecutive_failures,
        "history": [_remembered(outcome) for outcome in state.history],
    }


def _remembered(outcome: Outcome) -> RememberedDocument:
    return {
        "result": outcome.result,
        "started_at": moment(outcome.started_at),
        "finished_at": moment(outcome.finished_at),
        "generation": outcome.generation,
        "revision": outcome.revision,
        "fetched_bytes": outcome.fetched_bytes,
        "error": outcome.error,
        "error_class": outcome.error_class,
    }
