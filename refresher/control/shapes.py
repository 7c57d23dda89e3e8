"""The types of what the API answers: `documents` makes values of them, and `GET /openapi.json` describes them."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from refresher.model import Result
from refresher.state import CircuitState

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="UTC, in whole seconds")]
Digest = Annotated[str, Field(pattern="^sha256:[0-9a-f]+$")]
Count = Annotated[int, Field(ge=0)]


class OutcomeDocument(TypedDict):
    """How an asset stands, and how one refresh of it ended: `result` and `error` are null while that isn't known."""

    asset: str
    result: Result | None
    generation: Count | None
    revision: str | None
    digest: Digest | None
    files: dict[str, Digest]
    published_at: Moment | None
    expires_at: Moment | None
    next_refresh_at: Moment | None
    why_next: str | None
    notified_generation: Count | None
    refused: Annotated[str | None, Field(description="what the app answered, if it can't use the visible generation")]
    pinned: bool
    error: str | None


class TransferDocument(TypedDict):
    """What is on its way: bytes, and `expected` is null where the source doesn't say how many."""

    received: Count
    expected: Count | None
    seconds: Annotated[float, Field(ge=0)]
    bytes_per_second: Count


class EndpointDocument(TypedDict):
    """The server that an asset comes from: who asks it, and until when nobody does."""

    address: str
    circuit: Annotated[
        CircuitState, Field(description="closed: all may ask; open: nobody does; half-open: one asset at a time")
    ]
    until: Moment | None
    failures: Annotated[int, Field(ge=0, description="assets that found nobody there since it last answered")]


class AssetDocument(OutcomeDocument):
    """How an asset stands, with the end of its last refresh, what is on its way, and the server it comes from."""

    transfer: TransferDocument | None
    endpoint: EndpointDocument | None


class RememberedDocument(TypedDict):
    """How one refresh ended."""

    result: Result
    started_at: Moment
    finished_at: Moment
    generation: Count | None
    revision: str | None
    fetched_bytes: Count
    error: str | None
    error_class: str | None


class DetailsDocument(AssetDocument):
    """How an asset stands, and what led there; the history is oldest first."""

    last_attempt_at: Moment | None
    last_success_at: Moment | None
    consecutive_failures: Count
    history: list[RememberedDocument]


class ListedDocument(OutcomeDocument):
    """One of several refreshes, with the status that it would have been answered with alone."""

    status: int


class ListedDocuments(TypedDict):
    """The refreshes of all assets."""

    assets: list[ListedDocument]


class ConfigurationDocument(TypedDict):
    """How the configuration stands: `problems` keep the file as it is now from being used."""

    valid: bool
    problems: list[str]
    loaded_at: Annotated[Moment, Field(description="when the one that is used was read; UTC, in whole seconds")]
    restart_needed: Annotated[list[str], Field(description="keys whose values count from the next start on")]


class AssetDocuments(TypedDict):
    """How all assets stand, and the configuration that they are from."""

    assets: list[AssetDocument]
    configuration: ConfigurationDocument


class Problem(TypedDict):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class RefreshProblem(Problem, OutcomeDocument):
    """The problem of a refresh that did not work, with its outcome."""


class RefreshProblems(Problem, ListedDocuments):
    """The worst problem of several refreshes, with all of their outcomes."""


class Unready(TypedDict):
    """Why an asset isn't ready."""

    asset: str
    reason: str


class UnreadyProblem(Problem):
    """Which required assets aren't ready."""

    assets: list[Unready]


class Ready(TypedDict):
    """Every required asset can be used."""

    ready: bool


class Alive(TypedDict):
    """The scheduler runs."""

    alive: bool


class Calls(TypedDict):
    """What can be asked."""

    calls: dict[str, str]
