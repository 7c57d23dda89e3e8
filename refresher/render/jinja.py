"""The only file that knows Jinja2: a sandbox that is metered, pure, strict, and tells no value when it fails."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial, update_wrapper, wraps
from typing import Any

from jinja2 import (
    StrictUndefined,
    TemplateNotFound,
    TemplateSyntaxError,
    UndefinedError,
    meta,
    nodes,
    pass_eval_context,
)
from jinja2.compiler import CodeGenerator, Frame
from jinja2.filters import do_urlencode, make_attrgetter, sync_do_join
from jinja2.loaders import FunctionLoader
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEscapeFormatter, SandboxedFormatter
from jinja2.utils import missing
from markupsafe import Markup, soft_str

from refresher.errors import RejectedError
from refresher.render import growth
from refresher.render.filters import FILTERS
from refresher.render.meter import Meter
from refresher.render.nothing import percent, refuse_inputs
from refresher.render.unfit import Unfit
from refresher.render.view import Document, Files, called
from refresher.render.writable import refuse_null_within, writable, written

IMPURE = ("random",)
"""Jinja2's filters that answer something else each time: each look would publish, and tell the app."""


class MeteredCode(CodeGenerator):
    """Templates compiled so that the meter is asked where a template can go on for ever, or double a text."""

    def visit_For(self, node: nodes.For, frame: Frame) -> None:  # noqa: N802 - Jinja2's name
        """Ask at each turn: a loop without output would never come back to whoever takes the output."""
        node.body.insert(0, nodes.ExprStmt(_asked("tick"), lineno=node.lineno))
        super().visit_For(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja2's name
        """Ask before `~`, which no sandbox intercepts."""
        self.visit(_asked("joined_texts", *node.nodes), frame)


@pass_eval_context
def _join(context: nodes.EvalContext, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    pieces = value if attribute is None else map(make_attrgetter(context.environment, attribute), value)
    return sync_do_join(context, map(writable, pieces), d)


def _format(text: object, *args: Any, **kwargs: Any) -> str:
    if args and kwargs:
        raise Unfit("format takes values by place or by name, and not both")
    refuse_null_within(text)
    return percent(soft_str(text), kwargs or args)


def _urlencode(value: Any) -> str:
    # Pairs may come one by one, from `items`.
    one_by_one = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    whole: Any = list(value) if one_by_one else value
    refuse_null_within(whole)
    return do_urlencode(whole)


class Formatter(SandboxedFormatter):
    """What `'{}'.format(…)` makes: nothing that is null or undefined gets into the text."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        """The value of `{0.port}`, and the name before the dot."""
        found, first = super().get_field(field_name, args, kwargs)
        refuse_null_within(found)
        return found, first


class EscapingFormatter(Formatter, SandboxedEscapeFormatter):
    """The same of a text that is marked safe."""


def _asked(method: str, *arguments: nodes.Expr) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(method), list(arguments), [], None, None)


class Sandbox(ImmutableSandboxedEnvironment):
    """For one rendering of one file; `texts` are the templates that there are, by name."""

    code_generator_class = MeteredCode
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, texts: Mapping[str, str], meter: Meter, **options: bool) -> None:
        super().__init__(
            loader=FunctionLoader(lambda name: (texts[name], name, lambda: True) if name in texts else None),
            undefined=_named_undefined(lambda: self._names, lambda: self.known),
            finalize=writable,
            keep_trailing_newline=True,
            autoescape=False,
            cache_size=-1,
            **options,
        )
        self._texts, self._meter = texts, meter
        self.known: Collection[str] = ()  # the variables that there are
        self.tick = meter.tick
        self.concat = meter.joined  # type: ignore[method-assign]
        self.filters.update(FILTERS, format=_format, join=_join, string=written, urlencode=_urlencode)
        self.filters = {name: self._guarded(name, make) for name, make in self.filters.items()}
        for name in IMPURE:
            del self.filters[name]
        del self.globals["lipsum"]

    @property
    def _names(self) -> frozenset[str]:
        """All names that stand in the templates; they are looked for where something is missing, and only there."""
        return frozenset(name for text in self._texts.values() for name in _said_in(self.parse(text)))

    def joined_texts(self, *values: object) -> str:
        """What `~` makes."""
        return self._meter.joined(map(written, values))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as Jinja2's
        """Call it, if there is time."""
        __self.tick()
        method = getattr(__obj, "__wrapped__", __obj)
        if isinstance(text := getattr(method, "__self__", None), str):
            growth.foresee(__self._meter, growth.METHODS.get(method.__name__), text, *args, **kwargs)
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Combine them, if that isn't too large."""
        self._meter.operands(operator, left, right)
        if operator == "%" and isinstance(left, str):
            return percent(left, right)
        return super().call_binop(context, operator, left, right)

    def _guarded(self, name: str, make: Callable[..., Any]) -> Callable[..., Any]:
        """The filter, asked before what it is given, and how large it gets.

        `wraps` has it called with what Jinja2 passes to some first.
        """
        passed = 1 if hasattr(make, "jinja_pass_arg") else 0
        size = growth.FILTERS.get(name)

        @wraps(make)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            refuse_inputs(name, *args[passed:], *kwargs.values())
            growth.foresee(self._meter, size, *args[passed:], **kwargs)
            return make(*args, **kwargs)

        return guarded

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`format` and `format_map` of a text, as the sandbox has them, by our formatters; None for anything else."""
        if super().wrap_str_format(value) is None:
            return None
        text = value.__self__
        kind: type[str] = type(text)
        formatter = EscapingFormatter(self, escape=text.escape) if isinstance(text, Markup) else Formatter(self)

        def formatted(*args: Any, **kwargs: Any) -> str:
            return kind(formatter.vformat(text, args, kwargs))

        def mapped(values: Mapping[str, Any]) -> str:
            return kind(formatter.vformat(text, (), values))

        return update_wrapper(mapped if value.__name__ == "format_map" else formatted, value)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A file or a field before a method of the same name: `db.items` is what the source calls so."""
        theirs = isinstance(obj, Files | Document) and attribute in obj
        return obj[attribute] if theirs else super().getattr(obj, attribute)


class NamedUndefinedError(UndefinedError):
    """Its message quotes the template, and no value."""


def _named_undefined(
    names: Callable[[], frozenset[str]], known: Callable[[], Collection[str]]
) -> type[StrictUndefined]:
    """Undefined values that tell their name if the template has it: others are values, `files[db.password]` is one."""

    class Named(StrictUndefined):
        __slots__ = ()

        def __init__(self, hint: str | None = None, obj: Any = missing, name: Any = None, exc: Any = None) -> None:
            told = exc is None or exc is UndefinedError
            super().__init__(hint, obj, name, NamedUndefinedError if told else exc)

        @property
        def _undefined_message(self) -> str:
            name = self._undefined_name
            if not isinstance(name, str) or name not in names():
                return "a value is undefined"
            if self._undefined_obj is missing:
                return f"{name!r} is undefined{_meant(name, known())}"
            if isinstance(self._undefined_obj, Files):
                return _unknown_file(self._undefined_obj, name)
            # No similar key is told: those of a document may be values, tokens by user say.
            inside = isinstance(self._undefined_obj, Document)
            return f"{called(self._undefined_obj, name) if inside else name!r} is undefined"

    return Named


def _unknown_file(files: Files, name: str) -> str:
    return f"{called(files, name)!r} is undefined{_meant(name, files, called=partial(called, files))}"


def _meant(name: str, known: Iterable[str], called: Callable[[str], str] = str) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {called(close[0])!r}?" if close else ""


def _said_in(tree: nodes.Template) -> Iterator[str]:
    for node in tree.find_all((nodes.Name, nodes.Getattr, nodes.Const)):
        said = getattr(node, "attr", None) or getattr(node, "name", None) or getattr(node, "value", None)
        if isinstance(said, str):
            yield said


def references(text: str) -> list[str]:
    """The templates that this one includes, imports or extends. Raises Unfit for what no template can be."""
    named = _understood(lambda: list(meta.find_referenced_templates(Sandbox({}, Meter()).parse(text))), "")
    if None in named:
        raise Unfit("a template must be named literally where it is included, imported or extended")
    return [name for name in named if name]


def refuse_mistakes(texts: Mapping[str, str]) -> None:
    """Raise Unfit with the template and the line of what can be seen without values: syntax, unknown filters."""
    for name in texts:
        _understood(partial(Sandbox(texts, Meter()).get_template, name), f"{name}: ")


def _understood(read: Callable[[], Any], where: str) -> Any:
    try:
        return read()
    except TemplateSyntaxError as error:
        raise Unfit(f"{where}line {error.lineno}: {error.message}") from None
    except (RecursionError, MemoryError, SyntaxError):  # Python's, of the code that the template is compiled to
        raise Unfit(f"{where}it is nested too deeply") from None


def rendered(
    name: str,
    texts: Mapping[str, str],
    variables: Mapping[str, Any],
    options: Mapping[str, bool],
    *,
    meter: Meter | None = None,
) -> str:
    """What the template `name` makes of the variables.

    Raises RejectedError with the template, the line and what is wrong; never with a value. It is raised outside of what
    it tells of, so that an error that quotes a secret isn't its context.
    """
    meter = meter or Meter()
    try:
        sandbox = Sandbox(texts, meter, **options)
        sandbox.known = variables.keys()
        return meter.joined(_counted(sandbox.get_template(name).generate(variables), meter))
    except Exception as error:  # noqa: BLE001 - a template calls anything, with any value
        told = f"{_place(error, texts)}{_sentence(error)}"
    raise RejectedError(told)


def _counted(pieces: Iterable[str], meter: Meter) -> Iterator[str]:
    size = 0
    for piece in pieces:
        size += len(piece)
        meter.admit(size)
        yield piece


def _sentence(error: Exception) -> str:
    if isinstance(error, Unfit | NamedUndefinedError):
        return str(error)
    if isinstance(error, TemplateNotFound):
        return "a template is missing"
    return type(error).__name__


def _place(error: Exception, texts: Mapping[str, str]) -> str:
    """The innermost template and line; Jinja2 has put the template's own lines into the traceback."""
    place, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        place = f"{file}: line {trace.tb_lineno}: " if file in texts else place
        trace = trace.tb_next
    return place
