import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from refresher.demo.process import BLOCK, free_port

OTHER = "from refresher.demo.process import free_port; [print(free_port()) for _ in range({})]; input()"


def test_no_two_processes_that_live_at_once_are_given_the_same_port() -> None:
    ours = {free_port() for _ in range(BLOCK)}
    others = [
        subprocess.Popen(
            [sys.executable, "-c", OTHER.format(BLOCK)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    given = []
    for other in others:
        assert other.stdout is not None
        given.append({int(other.stdout.readline()) for _ in range(BLOCK)})
    for other in others:
        other.communicate("\n")
    assert len(ours.union(*given)) == len(ours) + sum(map(len, given))


def test_no_two_threads_are_given_the_same_port_at_once() -> None:
    with ThreadPoolExecutor(8) as threads:
        ports = list(threads.map(lambda _: free_port(), range(BLOCK // 2)))
    assert len(set(ports)) == len(ports)
