"""The plugins that the configuration names: which class, and options that its own model has read."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from refresher.errors import ConfigError
from refresher.plugins import Kind, as_from_url, plugin
from refresher.settings.directories import below_volume, problem_below_volume
from refresher.settings.models import Choice
from refresher.settings.paths import Place, laid_over
from refresher.settings.problems import UNKNOWN, problems

REPLACED_WHOLE = frozenset({"auth"})
"""Provider options that a source's own value replaces as a whole: of login methods exactly one is allowed."""

Problem = tuple[Place, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """Reads the entries of `source`, `verify` and `notify`; what's wrong gathers in `problems`.

    `volume_paths` are the places and absolute paths of the files that notifiers write into the volume.
    """

    volume: Path
    providers: Mapping[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    volume_paths: list[tuple[Place, Path]] = field(default_factory=list)
    found: dict[tuple[Kind, str], type[Any]] = field(default_factory=dict)

    def source(self, entry: object, place: Place) -> Choice | None:
        """The provider of a mapping with one name, or of a URL."""
        try:
            named = self._from_url(entry) if isinstance(entry, str) else entry
        except ConfigError as error:
            self.problems.extend((place, problem) for problem in error.problems)
            return None
        return self._choice(Kind.PROVIDER, named, place)

    def sources(self, entries: object, place: Place) -> object:
        """The providers by the names of their sources; anything but a mapping is left for pydantic to refuse."""
        if not isinstance(entries, Mapping):
            return entries
        return {name: self.source(entry, (*place, name)) for name, entry in entries.items()}

    def verifiers(self, entries: object, place: Place, *, sources: Collection[str] = ()) -> object:
        """Those of a list of names and mappings with one name; anything else is left for pydantic to refuse.

        Where the asset has several `sources`, each verifier may name one of them.
        """
        if not isinstance(entries, list):
            return entries
        if not sources:
            return [self._of_the_only_source(entry, (*place, number)) for number, entry in enumerate(entries)]
        return [self._of_one_source(entry, (*place, number), sources) for number, entry in enumerate(entries)]

    def _of_the_only_source(self, entry: object, place: Place) -> Choice | None:
        """Reads the entry; a `source` in it, which no plugin knows either, is told as what it is meant for."""
        before = len(self.problems)
        choice = self._choice(Kind.VERIFIER, entry, place)
        for number, (at, why) in enumerate(self.problems[before:], before):
            if len(at) == len(place) + 2 and at[-1] == "source" and why.startswith(UNKNOWN):
                self.problems[number] = at, "names one of several sources, and this asset has one"
        return choice

    def _of_one_source(self, entry: object, place: Place, sources: Collection[str]) -> Choice | None:
        name, options = next(iter(entry.items())) if isinstance(entry, Mapping) and len(entry) == 1 else ("", None)
        if not isinstance(options, Mapping) or "source" not in options:
            return self._choice(Kind.VERIFIER, entry, place)
        options = dict(options)
        source = options.pop("source")
        choice = self._choice(Kind.VERIFIER, {name: options}, place)
        if not isinstance(source, str) or source not in sources:
            self.problems.append(
                ((*place, name, "source"), f"must be one of the asset's sources: {', '.join(sources)}")
            )
        return choice and replace(choice, source=source)

    def notifiers(self, entries: object, place: Place) -> object:
        """As `verifiers`."""
        return self.listed(Kind.NOTIFIER, entries, place) if isinstance(entries, list) else entries

    def listed(self, kind: Kind, entries: Sequence[object], place: Place) -> list[Choice | None]:
        """One choice for each entry, None for those that have a problem."""
        return [self._choice(kind, entry, (*place, number)) for number, entry in enumerate(entries)]

    def _choice(self, kind: Kind, entry: object, place: Place) -> Choice | None:
        if isinstance(entry, str) and kind is not Kind.PROVIDER:
            entry = {entry: {}}
        if not isinstance(entry, Mapping) or len(entry) != 1:
            names = f", found {', '.join(map(str, entry)) or 'none'}" if isinstance(entry, Mapping) else ""
            self.problems.append((place, f"must be a mapping with exactly one {kind.noun}'s name{names}"))
            return None
        ((name, given),) = entry.items()
        try:
            chosen = self._plugin(kind, name)
        except ConfigError as error:
            self.problems.extend((place, problem) for problem in error.problems)
            return None
        return self._with_options(kind, name, chosen, given, (*place, name))

    def _with_options(self, kind: Kind, name: str, chosen: type[Any], given: object, place: Place) -> Choice | None:
        options = {} if given is None else given
        if kind is Kind.PROVIDER:
            options = laid_over(self.providers.get(name), options, whole=REPLACED_WHOLE)
        initial = True
        if kind is Kind.NOTIFIER and isinstance(options, Mapping):
            options = dict(options)
            initial = self._initial(options.pop("initial", True), place)
        options = self._inside_volume(chosen, options, place)
        try:
            read = chosen.Options.model_validate(options)
        except ValidationError as error:
            found = problems(error, chosen.Options, options)
            self.problems.extend(((*place, *below), sentence) for below, sentence in found)
            return None
        return Choice(kind=kind, name=name, plugin=chosen, options=read, initial=initial)

    def _initial(self, value: object, place: Place) -> bool:
        if value in (True, "true", False, "false"):
            return value in (True, "true")
        self.problems.append(((*place, "initial"), "must be true or false"))
        return True

    def _inside_volume(self, chosen: type[Any], options: object, place: Place) -> object:
        """The options with the paths that the plugin calls its `volume_paths` made absolute."""
        if not isinstance(options, Mapping):
            return options
        absolute = {}
        for key in _strings(options, getattr(chosen.Options, "volume_paths", frozenset())):
            problem = problem_below_volume(options[key])
            if problem:
                self.problems.append(((*place, key), problem))
            absolute[key] = str(below_volume(self.volume, options[key]))
            self.volume_paths.append(((*place, key), Path(absolute[key])))
        return {**options, **absolute}

    def _from_url(self, url: str) -> dict[str, Any]:
        """The `source` mapping that a URL is short for. ConfigErrors leave the URL out: it may hold a password."""
        scheme, mark, _ = url.partition("://")
        if not mark:
            raise ConfigError("must be a mapping with a provider's name, or a URL such as https://host/path")
        name = {"https": "http"}.get(scheme.lower(), scheme.lower().partition("+")[0])
        provider = as_from_url(self._plugin(Kind.PROVIDER, name))
        if provider is None:
            raise ConfigError(f"the provider {name!r} has no URL form; write its options as a mapping")
        try:
            return {name: dict(provider.from_url(url))}
        except ValueError as error:
            raise ConfigError(f"is not a URL of the provider {name!r}: {error}") from None

    def _plugin(self, kind: Kind, name: str) -> type[Any]:
        """As `plugin`, which looks through every installed package: a thousand assets of one kind need that once."""
        if (kind, name) not in self.found:
            self.found[kind, name] = plugin(kind, name)
        return self.found[kind, name]


def _strings(options: Mapping[str, Any], keys: frozenset[str]) -> Iterator[str]:
    return (key for key in sorted(keys) if isinstance(options.get(key), str))
