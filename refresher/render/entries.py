"""An entry of `render`: what one file is made of. Read by pydantic, which this module doesn't load."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from refresher.model import STRICT

WAYS = ("template", "inline", "form", "copy")


class Form(StrEnum):
    """How fields are written."""

    ENV = "env"
    DOCKER_ENV = "docker-env"
    PROPERTIES = "properties"
    INI = "ini"
    JSON = "json"
    YAML = "yaml"
    PEM = "pem"
    BASE64 = "base64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file that is published: from a template, in a ready form, or a source's file as it is.

    `template` is absolute once the configuration is loaded. Raises ValueError for what doesn't go together.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    template: Path | None = None
    inline: str | None = None
    form: Form | None = None
    copy: str | None = None
    of: str | tuple[str, ...] = ()
    section: str | None = None
    env: tuple[str, ...] = ()
    trim_blocks: bool = False
    lstrip_blocks: bool = False

    def __post_init__(self) -> None:
        if sum(getattr(self, way) is not None for way in WAYS) != 1:
            raise ValueError(f"must have exactly one of {', '.join(WAYS)}")
        if self.form is None:
            self._refuse("of", without="form")
        if self.form is Form.BASE64 and len(self.files) > 1:
            raise ValueError("of must name one file: form base64 makes the bytes of that")
        if self.form is not Form.INI:
            self._refuse("section", without="form: ini")
        if self.template is None and self.inline is None:
            self._refuse("env", "trim_blocks", "lstrip_blocks", without="template or inline")

    @property
    def files(self) -> tuple[str, ...]:
        """What `of` names, which may be a single name."""
        return (self.of,) if isinstance(self.of, str) else self.of

    def _refuse(self, *keys: str, without: str) -> None:
        for key in keys:
            if getattr(self, key):
                raise ValueError(f"{key} does nothing without {without}")
