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


CALLED = """
import os, signal, threading
from refresher.host import End
end = End()
end.answer(signal.SIGHUP, lambda: os.write(1, b"called by " + threading.current_thread().name.encode() + b"\\n"))
print("ready", flush=True)
end.wait()
print("ended")
"""


def test_a_signal_with_an_answer_is_answered_each_time_and_ends_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", CALLED], stdout=subprocess.PIPE) as process:
        output = cast("IO[bytes]", process.stdout)
        assert output.readline() == b"ready\n"
        for _ in range(2):
            process.send_signal(signal.SIGHUP)
            assert output.readline() == b"called by MainThread\n"
        process.send_signal(signal.SIGTERM)
        assert output.read() == b"ended\n"


HOLDING_A_LOCK = """
import signal, threading
from refresher.host import End
end, lock = End(), threading.Lock()

def answer():
    with lock:
        print("answered")
    signal.raise_signal(signal.SIGTERM)

end.answer(signal.SIGHUP, answer)
with lock:
    signal.raise_signal(signal.SIGHUP)
end.wait()
"""


def test_an_answer_may_need_a_lock_that_the_interrupted_thread_holds() -> None:
    ran = subprocess.run([sys.executable, "-c", HOLDING_A_LOCK], capture_output=True, text=True, check=True, timeout=30)
    assert ran.stdout == "answered\n"


AT_ONCE = """
import signal
from refresher.host import ENDING, End
put = signal.signal

def put_and_raised(number, handler):
    put(number, handler)
    if number in ENDING:
        signal.raise_signal(number)

signal.signal = put_and_raised
End().wait()
"""


def test_a_signal_that_comes_as_soon_as_it_has_an_answer_is_heard() -> None:
    subprocess.run([sys.executable, "-c", AT_ONCE], check=True, timeout=30)


TO_ANOTHER_THREAD = """
import signal, threading
from refresher.host import End
end = End()
begun = threading.Event()

def other():
    begun.wait()
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    signal.pause()

threading.Thread(target=other, daemon=True).start()
end.answer(signal.SIGHUP, begun.set)
signal.raise_signal(signal.SIGHUP)
end.wait()
"""


def test_a_signal_that_the_kernel_gives_to_another_thread_ends_it_too() -> None:
    subprocess.run([sys.executable, "-c", TO_ANOTHER_THREAD], check=True, timeout=30)
