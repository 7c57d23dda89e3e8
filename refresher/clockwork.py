"""The schedule's clockwork: one armed moment and one running action a key. The only file that knows APScheduler.

    at(key, when, action) --scheduler's loop--> pool --thread--> action()

The scheduler finds out when; the pool sees to it that one key's action never runs twice at once. APScheduler 3 itself
drops a one-shot job whose predecessor still runs; the pool keeps it, and runs it afterwards.
"""

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from math import inf
from threading import Condition, Lock, Thread
from time import monotonic

from apscheduler.executors.base import BaseExecutor
from apscheduler.job import Job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger

_log = logging.getLogger(__name__)

BEAT = timedelta(seconds=5)
IDLE = timedelta(seconds=30)
PATIENCE = timedelta(milliseconds=20)
"""A job that has waited for so long is given one more thread."""
GRID = timedelta(milliseconds=500)
"""What is armed for between `FROM` and `TO` ahead may come so much later."""
FROM, TO = timedelta(seconds=4), timedelta(days=1)


def grouped(when: datetime, *, now: datetime, began: datetime) -> datetime:
    """The moment itself if it's near, else the next on a grid, so that actions wake the machine together.

    Waking costs as much as looking: 100 looks every 5 s took 3.0 s of CPU time a minute without the grid, 2.2 with
    it. It begins when this process did, or all pods of a cluster would ask their server in the same instant.
    """
    if not FROM <= when - now <= TO:
        return when
    return when + (began - when) % GRID


class Clockwork:
    """Runs actions at their moments, each in one of at most `workers` threads, which are started when they are needed.

    `beat` is how often the loop lives at the least, and how long a clock that was set forward can go unnoticed.
    """

    def __init__(self, *, workers: int, beat: timedelta = BEAT) -> None:
        # It writes three lines for every job at level INFO.
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        self._pool = _Pool(workers)
        self._scheduler = _BeatingScheduler(beat, self._pool)
        self._arming = Lock()
        self._began = datetime.now(UTC)

    def start(self) -> None:
        """Begin; what was armed before runs from now on."""
        self._pool.open()
        self._scheduler.start()

    def stop(self) -> None:
        """Run nothing more. Returns at once: what runs is left behind, in threads that don't keep the process alive."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def at(self, key: str, when: datetime, action: Callable[[], None]) -> None:
        """Run the action at that moment, at once if it's past. From any thread, also from the key's own action.

        The latest call wins: a key has one armed moment, and this replaces it. If the key's action is running when the
        moment comes, this one runs right after it. What has begun, or only waits for a free thread, isn't replaced.
        """
        moment = grouped(when, now=datetime.now(UTC), began=self._began)
        with self._arming:
            self._disarm(key)
            self._scheduler.add_job(action, DateTrigger(moment, UTC), id=key, name=key)

    def cancel(self, key: str) -> None:
        """Forget the key's armed moment, if there is one; an action that runs goes on."""
        with self._arming:
            self._disarm(key)

    @property
    def beat_at(self) -> datetime:
        """When the scheduler's loop last lived: an answer older than a few beats is a loop that is dead or stuck."""
        return self._scheduler.beat_at

    def _disarm(self, key: str) -> None:
        with suppress(JobLookupError):
            self._scheduler.remove_job(key)
        self._pool.forget(key)


class _BeatingScheduler(BackgroundScheduler):  # type: ignore[misc]
    """A scheduler whose loop says that it lives, and sleeps while nothing is due.

    A job that beats would be silent for an hour when the clock is set back by one, and the pod would be killed for it.
    """

    def __init__(self, beat: timedelta, pool: "_Pool") -> None:
        self._armed = MemoryJobStore()
        super().__init__(timezone=UTC, jobstores={"default": self._armed}, executors={"default": pool})
        self._pool, self._beat = pool, beat.total_seconds()
        self._sleeps_until = inf
        self.beat_at = datetime.now(UTC)

    def wakeup(self) -> None:
        """Called when a job was added. The loop lives sooner only if that job, or another, is due before it would.

        APScheduler wakes it for every one: after every look, because of the moment of the next.
        """
        soonest = self._armed.get_next_run_time()
        if soonest is None or (soonest - datetime.now(UTC)).total_seconds() < self._sleeps_until - monotonic():
            super().wakeup()

    def _process_jobs(self) -> float:
        self._sleeps_until = inf  # before the jobs are looked at: whoever adds one from now on may be too late for that
        waits = [self._beat, super()._process_jobs(), self._pool.relieve()]
        self.beat_at = datetime.now(UTC)
        soonest: float = min(wait for wait in waits if wait is not None)
        self._sleeps_until = monotonic() + soonest
        return soonest


class _Pool(BaseExecutor):  # type: ignore[misc]
    """Daemon threads, as few as keep the line short, ended when idle, all but one. A job runs however late it comes.

    A thread for each job would be simpler. But a look takes a millisecond, and threads that all want the interpreter at
    once spend more on waking and waiting than on looking: 3.8 s of CPU time a minute for 100 looks every 5 s, instead
    of 2.3. So a job waits for the thread that is at work, and gets one of its own only if that takes longer than
    `PATIENCE`.

    Those of `concurrent.futures` are joined when the interpreter exits: one hanging action would hold up SIGTERM.
    """

    def __init__(self, workers: int) -> None:
        super().__init__()
        self._workers = workers
        self._threads = 0
        self._closed = False
        self._waiting: deque[tuple[Job, float]] = deque()  # each with the moment since when
        self._next: dict[str, Job | None] = {}  # for each key that runs or waits for a thread: what comes after
        self._changing = Lock()
        self._idle: list[Condition] = []

    def open(self) -> None:
        """Start the one thread that stays, so that a machine without threads to give is noticed at once."""
        with self._changing:
            self._start_thread()

    def submit_job(self, job: Job, run_times: list[datetime]) -> None:
        """Called by the scheduler's loop. Run the job now, or after the one of the same key that is running."""
        with self._changing:
            if job.id in self._next:
                self._next[job.id] = job
            else:
                self._next[job.id] = None
                self._do_submit_job(job, run_times)

    def relieve(self) -> float | None:
        """Called by the scheduler's loop. One more thread if a job has waited too long; when to ask again."""
        with self._changing:
            if not self._waiting:
                return None
            if monotonic() - self._waiting[0][1] >= PATIENCE.total_seconds():
                self._call_thread()
            return PATIENCE.total_seconds()

    def forget(self, key: str) -> None:
        """Don't run what was to come after the key's running action."""
        with self._changing:
            if key in self._next:
                self._next[key] = None

    def shutdown(self, wait: bool = True) -> None:  # noqa: FBT001, FBT002 - APScheduler's signature
        """Start nothing more; the running actions aren't waited for."""
        with self._changing:
            self._closed = True
            self._waiting.clear()
            self._next.clear()
            while self._idle:
                self._idle.pop().notify()

    def _do_submit_job(self, job: Job, run_times: list[datetime]) -> None:
        self._waiting.append((job, monotonic()))
        if len(self._idle) == self._threads:
            self._call_thread()

    def _call_thread(self) -> None:
        """Wake the thread that fell idle last, so that those that aren't needed are never called, and end."""
        if self._idle:
            self._idle.pop().notify()
        elif self._threads < self._workers:
            try:
                self._start_thread()
            except RuntimeError:
                waits = self._waiting[0][0].id
                _log.warning("no more threads can be started: %s waits for one of %d", waits, self._threads)

    def _start_thread(self) -> None:
        Thread(target=self._work, name=f"action-{self._threads}", daemon=True).start()
        self._threads += 1

    def _work(self) -> None:
        bell = Condition(self._changing)
        while job := self._take(bell):
            try:
                job.func()
            except BaseException:  # noqa: BLE001 - a thread that ended here would take its share of the pool along
                _log.exception("%s: its action failed unexpectedly", job.id)
            self._finish(job.id)
            del job  # or an idle thread would keep what the action holds

    def _take(self, bell: Condition) -> Job | None:
        """The next job, None if this thread isn't needed any more."""
        with self._changing:
            while not self._waiting and not self._closed:
                self._idle.append(bell)
                bell.wait(IDLE.total_seconds())
                if bell in self._idle:  # nobody called
                    self._idle.remove(bell)
                    if self._threads > 1 and not self._waiting:
                        break
            if self._waiting:
                return self._waiting.popleft()[0]
            self._threads -= 1
            return None

    def _finish(self, key: str) -> None:
        with self._changing:
            follower = self._next.pop(key, None)
            if follower is not None:
                self._next[key] = None
                self._do_submit_job(follower, [])
