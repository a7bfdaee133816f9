"""Hands groups of folds to workers until each is done or has failed for good."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from datasets.errors import UserError
from fdp_jax.grouping import grouped
from fdp_jax.plan import FoldTask, Machine, Plan
from launch.cluster import Cluster
from launch.share import Share

GIVE_UP_SECONDS = 60.0  # without any machine
PAUSE_SECONDS = 3.0  # after a worker that did not start; a cluster may just have begun


@dataclass(eq=False)
class Job:
    """A group of folds to be trained together.

    Attributes:
      tasks: the folds.
      failures: why each try failed so far.
    """

    tasks: list[FoldTask]
    failures: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The folds' names."""
        names = ", ".join(task.fold.name for task in self.tasks)
        return f"fold {names}" if len(self.tasks) == 1 else f"folds {names}"


@dataclass(eq=False)
class Hand:
    """One worker.

    Attributes:
      number: counted from 1, never used again.
      worker: Ray's handle.
      call: what it is doing, Ray's handle; None while it waits for work.
      place: its answer to `Worker.place`, with the cores it was given; None until then.
      is_ready: whether it is prepared.
      job: that it trains.
      began: when it began with the job, by `time.monotonic`.
    """

    number: int
    worker: object
    call: object
    place: dict | None = None
    is_ready: bool = False
    job: Job | None = None
    began: float = 0.0

    @property
    def device(self) -> str:
        """Where it trains, in a few words."""
        if self.place is None:
            return ""
        gpu = f" GPU {self.place['gpu']}" if self.place["gpu"] else ""
        cores = "".join(f" core {core}" for core in self.place["held_to"])
        return f"{self.place['host']}{gpu or cores}"


@dataclass(frozen=True)
class Orders:
    """What the launcher was asked for.

    Attributes:
      arguments: its command line.
      folder: that it was typed in.
      share: of a machine for each worker.
      retries: how often a group is tried again.
    """

    arguments: tuple[str, ...]
    folder: str
    share: Share
    retries: int


# Called with the event's name and what there is to tell of it.
Tell = Callable[..., None]


class Crew:
    """All workers of one run.

    Attributes:
      hands: the workers there are.
      waiting: groups that nobody trains now; None until the first worker has said how many folds
        its device trains at once.
      done: folds that were finished here.
      failed: groups that have failed for good.
    """

    def __init__(self, cluster: Cluster, orders: Orders, plan: Plan, tell: Tell):
        """Args: cluster, orders, plan: what to train where; tell: hears every event."""
        self._cluster, self._orders, self._plan, self._tell = cluster, orders, plan, tell
        self._pending = plan.pending()
        self._hired = 0
        self._failed_starts: list[str] = []
        self._seen_machine = time.monotonic()
        self._hires_from = 0.0
        self.hands: list[Hand] = []
        self.waiting: deque[Job] | None = None
        self.done: list[FoldTask] = []
        self.failed: list[Job] = []

    def run(self, look: Callable[["Crew"], None]) -> None:
        """Trains all pending folds, or finds out that some cannot be.

        Args:
          look: called about once a second.

        Raises:
          UserError: no worker can start, or there is no machine for them.
        """
        try:
            while self.waiting is None or self.waiting or any(hand.job for hand in self.hands):
                self._hire()
                for hand in [hand for hand in self.hands if hand.is_ready and hand.call is None]:
                    self._give_work(hand)
                self._listen()
                look(self)
        finally:
            for hand in list(self.hands):
                self._dismiss(hand)

    def _hire(self) -> None:
        """As many workers as there is room for, and work."""
        room = self._cluster.room_for(self._orders.share)
        now = time.monotonic()
        self._seen_machine = now if room else self._seen_machine
        if not room and (not self._hired or now - self._seen_machine > GIVE_UP_SECONDS):
            raise UserError(
                f"no machine has {self._orders.share.told()} for a worker (there are: "
                f"{self._cluster.told()}); give another --gpus_per_fold or --cpus_per_fold, or "
                "another --address"
            )
        if len(self._failed_starts) > self._orders.retries:
            if not self.hands:
                raise UserError(f"no worker can start: {self._failed_starts[-1]}")
            return  # those that are there go on alone
        if now < self._hires_from:
            return
        jobs = len(self._pending) if self.waiting is None else len(self.waiting)
        busy = sum(hand.job is not None for hand in self.hands)
        for _ in range(min(room, jobs + busy) - len(self.hands)):
            worker = self._cluster.start_worker(self._orders.share)
            self._hired += 1
            self.hands.append(Hand(self._hired, worker, worker.place.remote()))

    def _give_work(self, hand: Hand) -> None:
        if not self.waiting:
            self._dismiss(hand)
            return
        hand.job, hand.began = self.waiting.popleft(), time.monotonic()
        tries = len(hand.job.failures) + 1
        folds = [(task.seed, task.fold.name) for task in hand.job.tasks]
        hand.call = hand.worker.train.remote(folds, f"try {tries} of {hand.job.name}")
        self._tell("begins", hand, folds=folds, attempt=tries)

    def _listen(self) -> None:
        """Waits for an answer, about a second at most, and heeds all that are there."""
        calls = {hand.call: hand for hand in self.hands if hand.call is not None}
        if not calls:
            time.sleep(1.0)
            return
        for call in self._cluster.first_answers(list(calls), 1.0):
            hand, answer = calls[call], self._cluster.answer(call)
            hand.call = None
            if hand.job is not None:
                self._heed_training(hand, answer)
            elif answer["error"]:
                self._failed_starts.append(answer["error"])
                self._hires_from = time.monotonic() + PAUSE_SECONDS
                self._tell("no start", hand, reason=answer["error"])
                self._dismiss(hand)
            elif hand.place is None:
                self._heed_place(hand, answer)
            else:
                self._heed_preparation(hand, answer)

    def _heed_place(self, hand: Hand, answer: dict) -> None:
        held_to = [] if self._orders.share.gpus else self._free_cores(answer)
        hand.place = {**answer, "held_to": held_to}
        facts = {name: answer[name] for name in ("node", "pid", "gpu")}
        self._tell("worker", hand, **facts, cores=held_to)
        orders = self._orders
        hand.call = hand.worker.prepare.remote(orders.arguments, orders.folder, held_to)

    def _free_cores(self, answer: dict) -> list[int]:
        """The cores of that machine that the fewest workers are held to; none where none can be."""
        taken = [
            core
            for hand in self.hands
            if hand.place is not None and hand.place["host"] == answer["host"]
            for core in hand.place["held_to"]
        ]
        by_use = sorted(answer["cores"], key=taken.count)
        return sorted(by_use[: self._orders.share.cpus])

    def _heed_preparation(self, hand: Hand, answer: dict) -> None:
        hand.is_ready, self._failed_starts = True, []
        machine = Machine(**answer["machine"])
        if self._orders.share.gpus and "(cpu)" in machine.device:
            self._tell("no gpu support", hand)
        if self.waiting is None:
            self._plan.write_seeds(machine)
            self.waiting = deque(self._jobs(answer["folds_at_once"]))

    def _jobs(self, device_trains_at_once: int) -> list[Job]:
        wanted, at_once = self._plan.wanted, self._plan.run.folds_at_once
        if at_once == "auto":
            room = max(1, self._cluster.room_for(self._orders.share))
            # No worker shall be idle for it.
            at_once = min(device_trains_at_once, math.ceil(len(wanted) / room))
        # Of all folds, so that a run that goes on has the groups it had before.
        groups = [
            [task for task in group if task in self._pending] for group in grouped(wanted, at_once)
        ]
        return [Job(group) for group in groups if group]

    def _heed_training(self, hand: Hand, answer: dict) -> None:
        job, hand.job = hand.job, None
        folds = [(task.seed, task.fold.name) for task in job.tasks]
        if not answer["error"]:
            self.done += job.tasks
            self._tell("done", hand, folds=folds, seconds=time.monotonic() - hand.began)
            return
        job.failures.append(answer["error"])
        tries_left = self._orders.retries + 1 - len(job.failures)
        self._tell("failed", hand, folds=folds, reason=answer["error"], tries_left=tries_left)
        # Last in the row, so that a fold that takes its worker with it keeps none from its turn.
        (self.waiting if tries_left else self.failed).append(job)
        self._dismiss(hand)  # after an error a process may not be what it was

    def _dismiss(self, hand: Hand) -> None:
        self.hands.remove(hand)
        self._cluster.stop_worker(hand.worker)


def names_of(jobs: Sequence[Job]) -> str:
    """What failed and why, the last reason of each."""
    return "; ".join(f"{job.name}: {job.failures[-1].rstrip('.')}" for job in jobs)
