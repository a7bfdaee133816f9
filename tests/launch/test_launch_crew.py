"""Who trains what, and what is tried again: the launcher's decisions, on a cluster of stand-ins."""

import dataclasses
import itertools
import json
from types import SimpleNamespace

import pytest

from datasets.errors import UserError
from fdp_jax.plan import Plan, Run
from fdp_jax.schedule import Cadence
from launch import crew
from launch.crew import Crew, Orders, names_of
from launch.share import Share
from tests.helpers.tiny import TINY, random_clips

FOLDS = ["p0", "p1", "p2", "p3"]
MACHINE = {"parameters": {"total": 7}, "device": "cpu (cpu)", "versions": {"jax": "1"}}
ON_CPU = Share(gpus=0, cpus=1)


@dataclasses.dataclass(eq=False)
class Call:
    worker: "StandIn"
    method: str
    given: tuple
    number: int = dataclasses.field(default_factory=itertools.count().__next__)


class StandIn:
    """A worker whose answers are written down beforehand."""

    def __init__(self, cluster, number):
        self.cluster, self.number, self.told = cluster, number, []
        self.place, self.prepare, self.train = (
            SimpleNamespace(remote=lambda *given, method=method: self._called(method, given))
            for method in ("place", "prepare", "train")
        )

    def _called(self, method, given):
        self.told.append((method, given))
        return Call(self, method, given)


class Cluster:
    """Answers calls in the order they were made."""

    def __init__(self, room=2, fails=None, at_once=1, no_start=lambda number: "", device=None):
        self.room, self.at_once, self.no_start = room, at_once, no_start
        self.fails = fails or (lambda fold, attempt: "")
        self.machine = {**MACHINE, "device": device or MACHINE["device"]}
        self.workers, self.alive, self.most, self.tries = [], set(), 0, []

    def room_for(self, share):
        return self.room

    def told(self):
        return "what there is"

    def start_worker(self, share):
        self.workers.append(StandIn(self, len(self.workers) + 1))
        self.alive.add(self.workers[-1])
        self.most = max(self.most, len(self.alive))
        return self.workers[-1]

    def stop_worker(self, worker):
        self.alive.remove(worker)

    def first_answers(self, calls, seconds):
        return [min(calls, key=lambda call: call.number)]

    def answer(self, call):
        if call.method == "place":
            return {"error": "", "host": "here", "node": "n", "pid": 1, "gpu": "", "cores": [4, 5]}
        if call.method == "prepare":
            error = self.no_start(call.worker.number)
            return {"error": error, "machine": self.machine, "folds_at_once": self.at_once}
        folds = [name for _, name in call.given[0]]
        self.tries.append((call.worker.number, folds))
        attempt = sum(tried == folds for _, tried in self.tries)
        return {"error": self.fails(folds[0], attempt)}


def plan_in(workdir, **changes) -> Plan:
    run = Run(TINY, "tiny", (0,), (), workdir, Cadence(1, 1), "a command")
    return Plan(dataclasses.replace(run, **changes), random_clips(people=4, each=2))


def go(cluster, plan, share=ON_CPU, retries=2):
    events = []

    def tell(event, hand, **facts):
        events.append((event, hand.number, facts))

    of_plan = Crew(cluster, Orders(("a",), "/here", share, retries), plan, tell)
    of_plan.run(lambda _: None)
    assert not cluster.alive  # whatever happened, nobody is left behind
    return of_plan, events


def trained(cluster) -> list[list[str]]:
    return [folds for _, folds in cluster.tries]


def test_every_fold_is_trained_once_by_as_many_workers_as_there_is_room_for(tmp_path):
    cluster = Cluster(room=3)
    done, _ = go(cluster, plan_in(tmp_path))
    assert sorted(itertools.chain(*trained(cluster))) == FOLDS
    assert [task.fold.name for task in done.done] and not done.failed
    assert cluster.most == 3 == len(cluster.workers)


def test_nobody_is_hired_without_work(tmp_path):
    cluster = Cluster(room=50)
    go(cluster, plan_in(tmp_path, fold_names=("p1", "p3")))
    assert len(cluster.workers) == 2 and sorted(trained(cluster)) == [["p1"], ["p3"]]


@pytest.mark.parametrize("retries", [0, 2])
def test_a_fold_that_fails_is_tried_again_so_often_on_a_new_worker(tmp_path, retries):
    cluster = Cluster(fails=lambda fold, attempt: f"no {attempt}" if fold == "p1" else "")
    done, events = go(cluster, plan_in(tmp_path), retries=retries)
    tries = [number for number, folds in cluster.tries if folds == ["p1"]]
    assert len(tries) == len(set(tries)) == retries + 1
    assert names_of(done.failed) == f"fold p1: no {retries + 1}"
    assert sorted(task.fold.name for task in done.done) == ["p0", "p2", "p3"]
    left = [facts["tries_left"] for event, _, facts in events if event == "failed"]
    assert left == list(range(retries, -1, -1))


def test_a_fold_that_fails_once_is_done_and_waits_until_the_others_had_their_turn(tmp_path):
    cluster = Cluster(room=1, fails=lambda fold, attempt: "x" * (fold == "p0" and attempt == 1))
    done, _ = go(cluster, plan_in(tmp_path))
    assert trained(cluster) == [["p0"], ["p1"], ["p2"], ["p3"], ["p0"]]
    assert len(done.done) == 4 and not done.failed


def test_folds_are_grouped_as_asked(tmp_path):
    cluster = Cluster(room=2, at_once=9)
    go(cluster, plan_in(tmp_path, folds_at_once=2))
    assert sorted(trained(cluster)) == [["p0", "p1"], ["p2", "p3"]]


@pytest.mark.parametrize(("room", "groups"), [(1, [4]), (2, [2, 2]), (3, [2, 2]), (4, [1] * 4)])
def test_auto_leaves_no_worker_idle(tmp_path, room, groups):
    cluster = Cluster(room=room, at_once=9)
    go(cluster, plan_in(tmp_path, folds_at_once="auto"))
    assert [len(folds) for folds in trained(cluster)] == groups


def test_finished_folds_stay_and_the_groups_of_the_rest_too(tmp_path):
    plan = plan_in(tmp_path, folds_at_once=2)
    directory = plan.wanted[0].directory
    for path in (directory.done, directory.predictions, directory.outputs, directory.log):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (directory.checkpoints / "final").mkdir(parents=True)
    cluster = Cluster()
    go(cluster, plan)
    assert sorted(trained(cluster)) == [["p1"], ["p2", "p3"]]


def test_workers_without_gpus_are_held_to_cores_of_their_own(tmp_path):
    cluster = Cluster(room=2)
    go(cluster, plan_in(tmp_path))
    given = [dict(worker.told)["prepare"] for worker in cluster.workers]
    assert given == [(("a",), "/here", [4]), (("a",), "/here", [5])]


def test_workers_with_gpus_are_not(tmp_path):
    cluster = Cluster(room=1, device="cpu (cpu)")
    _, events = go(cluster, plan_in(tmp_path), share=Share(gpus=1, cpus=1))
    assert dict(cluster.workers[0].told)["prepare"][2] == []
    assert "no gpu support" in [event for event, _, _ in events]  # jax there has none


def test_cores_are_free_again_with_their_worker(tmp_path):
    cluster = Cluster(room=1, fails=lambda fold, attempt: "x" * (attempt == 1))
    go(cluster, plan_in(tmp_path, fold_names=("p0",)))
    assert [dict(worker.told)["prepare"][2] for worker in cluster.workers] == [[4], [4]]


def test_the_first_worker_tells_what_the_report_says_of_the_machine(tmp_path):
    go(Cluster(), plan_in(tmp_path))
    told = json.loads((tmp_path / "seed_0" / "run.json").read_text())
    assert told["parameters"] == {"total": 7} and told["versions"] == {"jax": "1"}
    assert told["trained_on"] == "cpu (cpu)"


def test_no_room_at_all_is_told_at_once(tmp_path):
    with pytest.raises(UserError, match=r"no machine has a GPU and 2 CPU cores .*what there is"):
        go(Cluster(room=0), plan_in(tmp_path), share=Share(gpus=1, cpus=2))


def test_machines_that_leave_for_good_end_it(tmp_path, monkeypatch):
    clock = itertools.count(step=20.0)
    monkeypatch.setattr(crew.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(crew.time, "sleep", lambda _: None)
    cluster = Cluster(room=1)

    def fails(fold, attempt):
        cluster.room = 0
        return "its machine was lost"

    cluster.fails = fails
    with pytest.raises(UserError, match="no machine has 1 CPU core"):
        go(cluster, plan_in(tmp_path))
    assert len(cluster.tries) == 1


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr(crew, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(crew.time, "sleep", lambda _: None)


def test_workers_that_cannot_start_are_replaced_until_that_is_hopeless(tmp_path, no_pause):
    cluster = Cluster(room=1, no_start=lambda number: f"no disk {number}")
    with pytest.raises(UserError, match="no worker can start: no disk 3"):
        go(cluster, plan_in(tmp_path), retries=2)
    assert len(cluster.workers) == 3 and not cluster.tries


def test_those_that_can_start_go_on_without_the_others(tmp_path, no_pause):
    cluster = Cluster(room=2, no_start=lambda number: "no disk" if number != 2 else "")
    done, _ = go(cluster, plan_in(tmp_path), retries=0)
    assert len(done.done) == 4 and {number for number, _ in cluster.tries} == {2}


@pytest.mark.parametrize(
    ("share", "resources", "workers"),
    [
        (ON_CPU, {"CPU": 4.0}, 4),
        (Share(0, 3), {"CPU": 8.0, "GPU": 2.0}, 2),
        (Share(1, 1), {"CPU": 8.0, "GPU": 2.0}, 2),
        (Share(0.25, 1), {"CPU": 64.0, "GPU": 8.0}, 32),
        (Share(0.4, 1), {"CPU": 64.0, "GPU": 2.0}, 4),  # no worker lies on two
        (Share(0.25, 2), {"CPU": 4.0, "GPU": 8.0}, 2),
        (Share(1, 1), {"CPU": 8.0}, 0),
        (Share(1, 1), {"GPU": 1.0}, 0),
    ],
)
def test_how_many_workers_a_machine_has_room_for(share, resources, workers):
    assert share.workers_on(resources) == workers
