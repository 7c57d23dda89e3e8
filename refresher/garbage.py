"""The interpreter's garbage collector: off while what stays is loaded, and looking through none of that afterwards."""

import gc


def put_off() -> None:
    """Collect none: what is being loaded stays, and looking through it took a twelfth of a start."""
    gc.disable()


def collect_from_now_on() -> None:
    """Collect again, but not among what there is by now: that stays."""
    gc.freeze()
    gc.enable()


def settle() -> None:
    """Collect all that is gone, and from now on not among what is left."""
    gc.unfreeze()
    gc.collect()
    collect_from_now_on()
