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
    of: tuple[str, ...] = ()
    section: str | None = None
    env: tuple[str, ...] = ()
    trim_blocks: bool = False
    lstrip_blocks: bool = False

    def __post_init__(self) -> None:
        if sum(getattr(self, way) is not None for way in WAYS) != 1:
            raise ValueError(f"must have exactly one of {', '.join(WAYS)}")
        self._refuse_lost("of", needs="form")
        self._refuse_lost("section", needs="form: ini", there=self.form is Form.INI)
        for key in ("env", "trim_blocks", "lstrip_blocks"):
            self._refuse_lost(key, needs="template or inline", there=self.is_template)

    @property
    def is_template(self) -> bool:
        """Whether Jinja2 is needed for it."""
        return self.template is not None or self.inline is not None

    def _refuse_lost(self, key: str, *, needs: str, there: bool | None = None) -> None:
        is_there = self.form is not None if there is None else there
        if getattr(self, key) and not is_there:
            raise ValueError(f"{key} does nothing without {needs}")
