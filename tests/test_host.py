"""What refresher sets for itself on the machine that it runs on."""

import signal
import subprocess
import sys
from typing import IO, cast

PROGRAM = """
import resource
from refresher import host
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (100, most))
host.begin()
print(resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most))
"""


def test_all_descriptors_that_there_may_be_are_used() -> None:
    # In a process of its own: the limit is for the whole process.
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert ran.stdout == "True\n"


INTERRUPTED = """
import signal, sys
from refresher.host import End
end, left = End(), 50

def once_more(*_):
    global left
    if left:
        left -= 1
        signal.raise_signal(signal.SIGTERM)

sys.setprofile(once_more)
signal.raise_signal(signal.SIGTERM)
sys.setprofile(None)
end.wait()
print(left)
"""


def test_a_signal_that_interrupts_the_answer_to_another_one_ends_it_all_the_same() -> None:
    ran = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=True, timeout=30)
    assert int(ran.stdout) < 50, "none came in between"


WAITING = """
import os, signal
from refresher.host import End
end = End()
signal.signal(signal.SIGCHLD, lambda *_: os.write(1, b"other "))
print("ready", flush=True)
end.wait()
print("ended")
"""


def test_other_signals_do_not_end_it() -> None:
    with subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE) as process:
        output = cast("IO[bytes]", process.stdout)
        assert output.readline() == b"ready\n"
        process.send_signal(signal.SIGCHLD)
        assert output.read(6) == b"other "
        process.send_signal(signal.SIGINT)
        assert output.read() == b"ended\n"


ANSWERED = """
import os, signal, sys, threading
from refresher.host import End, at_signal

end, busy = End(), threading.Event()

def answer():
    os.write(1, b"answered ")
    busy.wait()

at_signal(signal.SIGUSR1, answer)
for _ in range(5):
    signal.raise_signal(signal.SIGUSR1)
print("ready", flush=True)
end.wait()
"""


def test_a_signal_is_answered_in_a_thread_of_its_own_so_that_another_one_ends_it_meanwhile() -> None:
    with subprocess.Popen([sys.executable, "-c", ANSWERED], stdout=subprocess.PIPE) as process:
        output = cast("IO[bytes]", process.stdout)
        seen = b""
        while not (b"answered" in seen and b"ready" in seen):
            seen += output.read(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


COUNTED = """
import signal, time
from refresher.host import at_signal

answers = []
at_signal(signal.SIGUSR1, lambda: answers.append(1))
for count in range(1, 101):
    signal.raise_signal(signal.SIGUSR1)
deadline = time.monotonic() + 20
while not answers and time.monotonic() < deadline:
    time.sleep(0.01)
print(1 <= len(answers) <= 100)
"""


def test_signals_that_come_close_together_are_answered_together() -> None:
    ran = subprocess.run([sys.executable, "-c", COUNTED], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "True\n"
