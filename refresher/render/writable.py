"""What is written for a value; nonsense isn't: Python's words for what is nothing, a function, or not made yet."""

from refresher.render.unfit import Unfit


def written(value: object) -> str:
    """The value's text. Raises Unfit if it has none, and what an undefined value raises, also for one in a list."""
    text = str(value)
    refuse_nonsense(value)
    return text


def refuse_nonsense(value: object) -> None:
    """Raise for a value that has no text of its own. Its repr may hold an address, another one in each process."""
    if value is None:
        raise Unfit('it is null: default("…", true) says what to write then, and tojson writes null')
    if isinstance(value, bytes):
        raise Unfit("it is bytes, and only b64encode and sha256 take those")
    _refuse(value)


def _refuse(value: object) -> None:
    match value:
        case None | str() | int() | float():
            return
        case list() | tuple():
            for each in value:
                _refuse(each)
        case dict():
            for key, each in value.items():
                _refuse(key)
                _refuse(each)
        case _:
            _refuse_object(value)


def _refuse_object(value: object) -> None:
    str(value)  # raises for what is undefined, with its name, where a list would show "Undefined"
    if type(value).__str__ is not object.__str__:
        return
    if callable(value):
        raise Unfit("it is a function, which has to be called")
    raise Unfit(f"it is a {type(value).__name__}, which has no text: join or tojson says how to write it")
