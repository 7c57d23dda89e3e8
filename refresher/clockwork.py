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
from threading import Condition, Lock, Thread

from apscheduler.executors.base import BaseExecutor
from apscheduler.job import Job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger

_log = logging.getLogger(__name__)

BEAT = timedelta(seconds=5)
IDLE = timedelta(seconds=30)


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
        with self._arming:
            self._disarm(key)
            self._scheduler.add_job(action, DateTrigger(when, UTC), id=key, name=key)

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
    """A scheduler whose loop says that it lives.

    A job that beats would be silent for an hour when the clock is set back by one, and the pod would be killed for it.
    """

    def __init__(self, beat: timedelta, executor: BaseExecutor) -> None:
        super().__init__(timezone=UTC, executors={"default": executor})
        self._beat = beat.total_seconds()
        self.beat_at = datetime.now(UTC)

    def _process_jobs(self) -> float:
        wait: float | None = super()._process_jobs()
        self.beat_at = datetime.now(UTC)
        return self._beat if wait is None else min(wait, self._beat)


class _Pool(BaseExecutor):  # type: ignore[misc]
    """Daemon threads, started on demand and ended when idle, all but one. A job runs however late it comes.

    Those of `concurrent.futures` are joined when the interpreter exits: one hanging action would hold up SIGTERM.
    """

    def __init__(self, workers: int) -> None:
        super().__init__()
        self._workers = workers
        self._threads = 0
        self._idle = 0
        self._closed = False
        self._waiting: deque[Job] = deque()
        self._next: dict[str, Job | None] = {}  # for each key that runs or waits for a thread: what comes after
        self._changed = Condition()

    def open(self) -> None:
        """Start the one thread that stays, so that a machine without threads to give is noticed at once."""
        with self._changed:
            self._start_thread()

    def submit_job(self, job: Job, run_times: list[datetime]) -> None:
        """Called by the scheduler's loop. Run the job now, or after the one of the same key that is running."""
        with self._changed:
            if job.id in self._next:
                self._next[job.id] = job
            else:
                self._next[job.id] = None
                self._do_submit_job(job, run_times)

    def forget(self, key: str) -> None:
        """Don't run what was to come after the key's running action."""
        with self._changed:
            if key in self._next:
                self._next[key] = None

    def shutdown(self, wait: bool = True) -> None:  # noqa: FBT001, FBT002 - APScheduler's signature
        """Start nothing more; the running actions aren't waited for."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._next.clear()
            self._changed.notify_all()

    def _do_submit_job(self, job: Job, run_times: list[datetime]) -> None:
        self._waiting.append(job)
        if len(self._waiting) <= self._idle:
            self._changed.notify()
        elif self._threads < self._workers:
            try:
                self._start_thread()
            except RuntimeError:
                _log.warning("no more threads can be started: %s waits for one of %d", job.id, self._threads)

    def _start_thread(self) -> None:
        Thread(target=self._work, name=f"action-{self._threads}", daemon=True).start()
        self._threads += 1

    def _work(self) -> None:
        while job := self._take():
            try:
                job.func()
            except BaseException:  # noqa: BLE001 - a thread that ended here would take its share of the pool along
                _log.exception("%s: its action failed unexpectedly", job.id)
            self._finish(job.id)
            del job  # or an idle thread would keep what the action holds

    def _take(self) -> Job | None:
        """The next job, None if this thread isn't needed any more."""
        with self._changed:
            self._idle += 1
            while not self._waiting and not self._closed:
                if not self._changed.wait(IDLE.total_seconds()) and not self._waiting and self._threads > 1:
                    break
            self._idle -= 1
            if self._waiting:
                return self._waiting.popleft()
            self._threads -= 1
            return None

    def _finish(self, key: str) -> None:
        with self._changed:
            follower = self._next.pop(key, None)
            if follower is not None:
                self._next[key] = None
                self._do_submit_job(follower, [])
