"""What refresher sets for itself on the machine that it runs on."""

import subprocess
import sys

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
