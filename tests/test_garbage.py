"""What is loaded isn't looked through for garbage, and who stays for long collects what comes after."""

import subprocess
import sys

PROGRAM = """
import gc, weakref
from refresher import garbage

class Circle:
    def __init__(self):
        self.itself = self

def left():
    gone = weakref.ref(Circle())
    for _ in range(100_000):
        Circle()
    return gone() is not None

garbage.put_off()
before = left()
garbage.collect_from_now_on()
print(before, left(), gc.get_freeze_count() > 100_000)
garbage.settle()
print(gc.isenabled(), 0 < gc.get_freeze_count() < 100_000)
"""


def test_garbage_is_collected_from_when_it_is_said_and_what_there_was_is_left_alone_until_all_is_settled() -> None:
    # In a process of its own: the collector is the whole process's.
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert ran.stdout == "True False True\nTrue True\n"
