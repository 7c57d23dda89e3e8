"""A candidate whose files are in memory."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO

from refresher.contract import StagedFile

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@dataclass(frozen=True)
class FakeFiles:
    contents: Mapping[str, bytes]

    @property
    def files(self) -> dict[str, StagedFile]:
        return {
            name: StagedFile(size=len(data), digest=f"sha256:{hashlib.sha256(data).hexdigest()}", sensitive=False)
            for name, data in self.contents.items()
        }

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(self.contents[name])


@dataclass(frozen=True)
class FakeCandidate(FakeFiles):
    contents: Mapping[str, bytes]
    now: datetime = NOON
    published: FakeFiles | None = None
    asset: str = field(default="web-tls")


@dataclass(frozen=True)
class UnreadableCandidate(FakeCandidate):
    """One whose files may not be opened: for checks that must do with what is known already."""

    def open(self, name: str) -> BinaryIO:
        raise AssertionError(f"{name} was read")


@dataclass(frozen=True)
class HugeCandidate(UnreadableCandidate):
    """One whose files say that they are huge."""

    size: int = 10**12

    @property
    def files(self) -> dict[str, StagedFile]:
        return {
            name: StagedFile(size=self.size, digest=file.digest, sensitive=False)
            for name, file in super().files.items()
        }
