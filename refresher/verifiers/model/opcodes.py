"""Whether a pickle's interpreter could get from a file's first byte to an instruction that imports code.

The interpreter takes one instruction after the other, and stops at the first that it doesn't know. So a file is
harmless to it if there is such a byte, or the file's end, before an instruction that can import. Where that isn't known
after very many instructions, the answer is that it could.
"""

import os
import pickletools
from typing import BinaryIO

INSTRUCTIONS_LIMIT = 1_000_000

NAME_LIMIT = 65_536
"""Bytes of a line that names a module, or something in one; a longer line is taken for no name."""

LINE_LIMIT = 4 * 1024 * 1024
"""Bytes of a line that is passed over, and is in memory meanwhile."""

ARGUMENTS = {ord(opcode.code): opcode.arg.n if opcode.arg else 0 for opcode in pickletools.opcodes}
"""Bytes of each instruction's argument, or how their number is given (`pickletools`: a negative number)."""

_LENGTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_NAMING = frozenset(b"ci")
_NAMING_BY_TEXTS = 0x93
_TEXTS = frozenset(b"SUTVX\x8c\x8d" + b"ghj2")
"""Instructions that put a text on the stack, or something that may be one."""

_STOP, _PROTOCOL, _NEWEST = ord("."), 0x80, 5


def can_import(file: BinaryIO, *, size: int) -> bool:
    """Whether the file, from where it is, is a pickle that can import something, or nobody can tell."""
    try:
        return _reaches_import(file, size)
    except _LongLineError:
        return True


class _LongLineError(Exception):
    """A line of which the end wasn't found."""


def _reaches_import(file: BinaryIO, size: int) -> bool:
    texts = 0
    for _ in range(INSTRUCTIONS_LIMIT):
        read = file.read(1)
        if not read or (code := read[0]) not in ARGUMENTS:
            return False
        if code in _NAMING:
            return _names_something(file)
        if code == _NAMING_BY_TEXTS:
            return texts >= 2
        if not _pass(file, code, size=size):
            return False
        # After its end another pickle may follow, which PyTorch's older files do.
        texts = 0 if code == _STOP else texts + (code in _TEXTS)
    return True


def _names_something(file: BinaryIO) -> bool:
    """A module and a name, a line each. Without them the instruction fails."""
    return all(line.endswith(b"\n") and _is_name(line) for line in (file.readline(NAME_LIMIT) for _ in range(2)))


def _is_name(line: bytes) -> bool:
    try:
        name = line.decode().strip()
    except UnicodeDecodeError:
        return False
    return name.isprintable() and bool(name)


def _pass(file: BinaryIO, code: int, *, size: int) -> bool:
    """Pass over an instruction's argument; False if it isn't there."""
    length = ARGUMENTS[code]
    if length == pickletools.UP_TO_NEWLINE:
        return _pass_line(file)
    if code == _PROTOCOL:
        return (read := file.read(1)) != b"" and read[0] <= _NEWEST
    if length in _LENGTHS:
        count = file.read(_LENGTHS[length])
        length = int.from_bytes(count, "little") if len(count) == _LENGTHS[length] else size
    if length > size - file.tell():
        return False
    file.seek(length, os.SEEK_CUR)
    return True


def _pass_line(file: BinaryIO) -> bool:
    line = file.readline(LINE_LIMIT)
    if len(line) == LINE_LIMIT:
        raise _LongLineError
    return line.endswith(b"\n")
