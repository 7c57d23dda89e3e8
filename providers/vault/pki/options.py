"""What a `vault` source can say of certificates: where their keys come from, which files they become."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from refresher.options import Duration, Secret

KeyKind = Literal["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519"]
"""The names that the `certificate` verifier uses, too."""


def _file_name(value: str) -> str:
    if any(part in ("", ".") or part.startswith("..") for part in value.split("/")):
        raise ValueError("must be a relative file name such as tls.crt")
    return value


FileName = Annotated[str, AfterValidator(_file_name)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Pkcs12(_Section):
    """Key, leaf and chain as one PKCS#12 file; `legacy` for readers that know 3DES and SHA-1 only."""

    file: FileName
    password: Secret
    name: str | None = None
    legacy: bool = False


class Truststore(_Section):
    """The authorities to trust as one PKCS#12 file, each marked as trusted in the way that Java wants."""

    file: FileName
    password: Secret


class Files(_Section):
    """What the files are called, and which are written besides the usual three."""

    certificate: FileName = "tls.crt"
    key: FileName = "tls.key"
    ca: FileName = "ca.crt"
    bundle: FileName | None = None
    pkcs12: Pkcs12 | None = None
    truststore: Truststore | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = list(self._names())
        if len(set(names)) != len(names):
            raise ValueError("must be different names, one for each file")
        return self

    def _names(self) -> Iterator[str]:
        yield from (self.certificate, self.key, self.ca)
        yield from (name for name in (self.bundle,) if name is not None)
        yield from (store.file for store in (self.pkcs12, self.truststore) if store is not None)


class PkiOptions(_Section):
    """The part of a `vault` source's options that is for certificates only."""

    key: Literal["vault", "local"] = "vault"
    key_type: KeyKind = "ecdsa-p256"
    reuse_key: bool = False
    ca_overlap: Annotated[Duration, Field(json_schema_extra={"default": "0s"})] = timedelta(0)
    files: Files = Field(default_factory=Files)

    @model_validator(mode="after")
    def _key_is_ours(self) -> Self:
        unfit = [name for name in ("key_type", "reuse_key") if name in self.model_fields_set]
        if unfit and self.key != "local":
            raise ValueError(f"{' and '.join(unfit)} must stand with key: local")
        return self

    @property
    def chosen(self) -> tuple[str, ...]:
        """Those of these options that somebody set to something else than their default."""
        return tuple(name for name in PkiOptions.model_fields if getattr(self, name) != _DEFAULTS[name])


_DEFAULTS = dict(PkiOptions())
