"""The scheduler on a fake Ray: which worker trains what, what is retried, and when it gives up."""

import asyncio
import itertools
import json
import os
import sys
from types import SimpleNamespace

import pytest

from datasets.errors import UserError
from fdp_jax.plan import Environment, Plan
from launch import scheduler
from launch.loso import LaunchOptions
from launch.scheduler import ROOT, Resources, Scheduler, check_address
from tests.helpers.tiny import TINY, random_clips

FOLDS = ["p0", "p1", "p2", "p3"]


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause):
        self.cause = UserError(cause)


class ActorDiedError(RayError):
    pass


class FakeActor:
    """A worker that answers what its Ray was set up to answer."""

    def __init__(self, ray, number):
        self._ray, self.number, self.prepared = ray, number, None
        self.place, self.prepare, self.train = (
            SimpleNamespace(remote=answer) for answer in (self._place, self._prepare, self._train)
        )

    async def _place(self):
        return {"host": "here", "node": "n", "pid": 1, "gpu": "", "cores": [4, 5]}

    async def _prepare(self, options, protocol, folder, cores):
        await asyncio.sleep(0)
        self.prepared = (options, folder, cores)
        if error := self._ray.start_error(self.number):
            raise RayTaskError(error)
        return Environment({"total": 7}, self._ray.device, {"jax": "1"}), self._ray.folds_at_once

    async def _train(self, folds, size, header):
        await asyncio.sleep(0)
        names = [name for _, name in folds]
        self._ray.tries.append((self.number, names))
        self._ray.sizes.append(size)
        if error := self._ray.fold_error(names[0], sum(n == names for _, n in self._ray.tries)):
            raise error


class FakeRay:
    """Stands in for the package, with machines of given resources."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, cpus=2, gpus=0, device="cpu (cpu)", folds_at_once=1):
        self.machines = [{"CPU": cpus, "GPU": gpus}]
        self.device, self.folds_at_once = device, folds_at_once
        self.start_error = lambda number: ""
        self.fold_error = lambda fold, attempt: None
        self.actors, self.alive, self.most_alive = [], set(), 0
        self.tries, self.sizes, self.asked = [], [], []

    def nodes(self):
        dead = {"Alive": False, "Resources": {"CPU": 9, "GPU": 9}}
        return [dead, *({"Alive": True, "Resources": machine} for machine in self.machines)]

    def remote(self, kind):
        return self

    def options(self, **asked):
        self.asked.append(asked)
        return SimpleNamespace(remote=self._start)

    def _start(self):
        self.actors.append(FakeActor(self, len(self.actors) + 1))
        self.alive.add(self.actors[-1])
        self.most_alive = max(self.most_alive, len(self.alive))
        return self.actors[-1]

    def kill(self, actor):
        self.alive.remove(actor)

    @property
    def trained(self):
        return [folds for _, folds in self.tries]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(scheduler, "PAUSE_SECONDS", 0.0)


def plan_in(workdir, **options) -> Plan:
    options = LaunchOptions(preset="tiny", workdir=workdir, config=TINY, **options)
    return Plan(options, random_clips(people=4, each=2), "a command")


def run(ray, plan):
    events = []

    def log(event, worker, **facts):
        events.append((event, worker.number, facts))

    of_plan = Scheduler(ray, plan, log)
    try:
        of_plan.run(lambda _: None)
    finally:
        assert not ray.alive  # whatever happens, no worker is left behind
    return of_plan, events


def test_every_fold_is_trained_once_by_as_many_workers_as_there_is_room_for(tmp_path):
    ray = FakeRay(cpus=3)
    done, _ = run(ray, plan_in(tmp_path))
    assert sorted(itertools.chain(*ray.trained)) == FOLDS
    assert sorted(task.fold.name for task in done.done) == FOLDS and not done.failed
    assert ray.most_alive == 3 == len(ray.actors)


def test_no_more_workers_start_than_there_are_folds(tmp_path):
    ray = FakeRay(cpus=50)
    run(ray, plan_in(tmp_path, folds=("p1", "p3")))
    assert len(ray.actors) == 2 and sorted(ray.trained) == [["p1"], ["p3"]]


@pytest.mark.parametrize("retries", [0, 2])
def test_a_fold_that_fails_is_retried_that_often_on_new_workers(tmp_path, retries):
    ray = FakeRay()
    ray.fold_error = lambda fold, attempt: RayTaskError(f"no {attempt}") if fold == "p1" else None
    done, events = run(ray, plan_in(tmp_path, retries=retries))
    tries = [number for number, folds in ray.tries if folds == ["p1"]]
    assert len(tries) == len(set(tries)) == retries + 1
    assert [(str(job), job.failures[-1]) for job in done.failed] == [
        ("fold p1", f"no {retries + 1}")
    ]
    assert sorted(task.fold.name for task in done.done) == ["p0", "p2", "p3"]
    left = [facts["tries_left"] for event, _, facts in events if event == "failed"]
    assert left == list(range(retries, -1, -1))


def test_a_fold_whose_worker_dies_is_retried_after_the_others(tmp_path):
    ray = FakeRay(cpus=1)
    died = ActorDiedError("The actor is dead because its\nworker process has died. And so on.")
    ray.fold_error = lambda fold, attempt: died if (fold, attempt) == ("p0", 1) else None
    done, events = run(ray, plan_in(tmp_path))
    assert ray.trained == [["p0"], ["p1"], ["p2"], ["p3"], ["p0"]]
    assert len(done.done) == 4 and not done.failed
    (reason,) = [facts["reason"] for event, _, facts in events if event == "failed"]
    assert reason == "its process was killed or crashed"


def test_folds_are_grouped_as_asked(tmp_path):
    ray = FakeRay(folds_at_once=2)
    run(ray, plan_in(tmp_path, folds_at_once="2"))
    assert sorted(ray.trained) == [["p0", "p1"], ["p2", "p3"]]


@pytest.mark.parametrize(("cpus", "groups"), [(1, [4]), (2, [2, 2]), (3, [2, 2]), (4, [1] * 4)])
def test_auto_leaves_no_worker_idle(tmp_path, cpus, groups):
    ray = FakeRay(cpus, folds_at_once=9)
    run(ray, plan_in(tmp_path))
    assert [len(folds) for folds in ray.trained] == groups


def test_finished_folds_are_kept_and_the_groups_of_the_others_do_not_change(tmp_path):
    plan = plan_in(tmp_path, folds_at_once="2")
    directory = plan.tasks[0].directory
    for path in (directory.done, directory.predictions, directory.outputs, directory.log):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (directory.checkpoints / "final").mkdir(parents=True)
    ray = FakeRay(folds_at_once=2)
    run(ray, plan)
    assert sorted(ray.trained) == [["p1"], ["p2", "p3"]] and ray.sizes == [2, 2]


def test_workers_without_gpus_are_pinned_to_their_own_cores(tmp_path):
    ray = FakeRay(cpus=2)
    run(ray, plan_in(tmp_path, manual_dir=tmp_path))
    assert [actor.prepared[1:] for actor in ray.actors] == [(os.getcwd(), [4]), (os.getcwd(), [5])]
    options = ray.actors[0].prepared[0]
    assert options.workdir == tmp_path and not isinstance(options, LaunchOptions)


def test_cores_are_free_again_after_their_worker(tmp_path):
    ray = FakeRay(cpus=1)
    ray.fold_error = lambda fold, attempt: RayTaskError("x") if attempt == 1 else None
    run(ray, plan_in(tmp_path, folds=("p0",)))
    assert [actor.prepared[2] for actor in ray.actors] == [[4], [4]]


def test_workers_with_gpus_are_not_pinned_and_reported_if_jax_has_no_gpu_support(tmp_path):
    ray = FakeRay(gpus=1)
    _, events = run(ray, plan_in(tmp_path))
    assert ray.actors[0].prepared[2] == []
    assert "no gpu support" in [event for event, _, _ in events]


@pytest.mark.parametrize(
    ("options", "gpus", "share"),
    [
        ({}, 1, 1.0),
        ({}, 0, 0.0),
        ({"gpus_per_fold": "0"}, 1, 0.0),
        ({"gpus_per_fold": "0.25", "cpus_per_fold": 2}, 1, 0.25),
    ],
)
def test_a_worker_asks_ray_for_its_resources(tmp_path, options, gpus, share):
    ray = FakeRay(gpus=gpus)
    run(ray, plan_in(tmp_path, **options))
    asked = ray.asked[0]
    assert (asked["num_gpus"], asked["num_cpus"]) == (share, options.get("cpus_per_fold", 1))
    assert asked["max_restarts"] == 0
    assert asked["runtime_env"]["env_vars"] == Resources(share, 1).environment(os.environ)


def test_the_first_worker_describes_the_environment_for_the_report(tmp_path):
    run(FakeRay(), plan_in(tmp_path))
    written = json.loads((tmp_path / "seed_0" / "run.json").read_text())
    assert written["parameters"] == {"total": 7} and written["versions"] == {"jax": "1"}
    assert written["device"] == "cpu (cpu)"


def test_too_small_machines_are_reported_at_once(tmp_path):
    message = r"--gpus_per_fold=1 and --cpus_per_fold=2 .*CPU cores 2, GPUs 0, machines 1"
    with pytest.raises(UserError, match=message):
        run(FakeRay(), plan_in(tmp_path, gpus_per_fold="1", cpus_per_fold=2))


def test_it_gives_up_when_all_machines_have_left_for_good(tmp_path, monkeypatch):
    monkeypatch.setattr(scheduler, "GIVE_UP_SECONDS", -1.0)
    ray = FakeRay(cpus=1)

    def fold_error(fold, attempt):
        ray.machines = []
        return ActorDiedError("The actor died because its node has died.")

    ray.fold_error = fold_error
    with pytest.raises(UserError, match="no machine has room"):
        run(ray, plan_in(tmp_path))
    assert len(ray.tries) == 1


def test_machines_that_join_are_used(tmp_path):
    ray = FakeRay(cpus=1)

    def fold_error(fold, attempt):
        ray.machines = [{"CPU": 3}]
        return RayTaskError("x") if attempt == 1 else None

    ray.fold_error = fold_error
    run(ray, plan_in(tmp_path))
    assert ray.most_alive == 3


def test_workers_that_cannot_start_are_replaced_as_often_as_a_fold_is_retried(tmp_path):
    ray = FakeRay(cpus=1)
    ray.start_error = lambda number: f"no disk {number}"
    with pytest.raises(UserError, match=r"no worker can start: no disk 3 \(on here\)"):
        run(ray, plan_in(tmp_path, retries=2))
    assert len(ray.actors) == 3 and not ray.tries


def test_workers_that_start_go_on_without_the_others(tmp_path):
    ray = FakeRay(cpus=2)
    ray.start_error = lambda number: "no disk" if number != 2 else ""
    done, _ = run(ray, plan_in(tmp_path, retries=0))
    assert len(done.done) == 4 and {number for number, _ in ray.tries} == {2}


def test_an_error_of_the_launcher_ends_it(tmp_path):
    def log(event, worker, **facts):
        if event == "done":
            raise UserError("full disk")

    ray = FakeRay()
    with pytest.raises(UserError, match="full disk"):
        Scheduler(ray, plan_in(tmp_path), log).run(lambda _: None)
    assert not ray.alive


@pytest.mark.parametrize(
    ("resources", "machine", "workers"),
    [
        (Resources(0, 1), {"CPU": 4.0}, 4),
        (Resources(0, 3), {"CPU": 8.0, "GPU": 2.0}, 2),
        (Resources(1, 1), {"CPU": 8.0, "GPU": 2.0}, 2),
        (Resources(0.25, 1), {"CPU": 64.0, "GPU": 8.0}, 32),
        (Resources(0.4, 1), {"CPU": 64.0, "GPU": 2.0}, 4),  # no worker spans two GPUs
        (Resources(0.25, 2), {"CPU": 4.0, "GPU": 8.0}, 2),
        (Resources(1, 1), {"CPU": 8.0}, 0),
        (Resources(1, 1), {"GPU": 1.0}, 0),
    ],
)
def test_how_many_workers_fit_on_a_machine(resources, machine, workers):
    assert resources.workers_on(machine) == workers


def test_without_a_short_temporary_folder_one_sentence_says_so(monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/scratch/jobs/0123456789/of_one_user_on_a_cluster")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    too_long = pytest.raises(UserError, match=r"/of_one_user_on_a_cluster, is too long .* RAY_TMP")
    with too_long, scheduler._temporary_folder():
        pass
    monkeypatch.setenv("RAY_TMPDIR", "/chosen")
    with scheduler._temporary_folder() as folder:
        assert folder is None  # Ray takes the chosen one


def test_the_environment_of_a_worker(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    own = {"PYTHONPATH": "/mine", "XLA_FLAGS": "--a", "JAX_LOG_COMPILES": "1", "HOME": "/h"}
    path = f"{ROOT}{os.pathsep}/mine"
    assert Resources(1, 1).environment(own) == {
        "PYTHONPATH": path, "XLA_FLAGS": "--a", "JAX_LOG_COMPILES": "1",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    }  # fmt: skip
    assert "GLIBC_TUNABLES" not in Resources(1, 1).environment({"GLIBC_TUNABLES": ""})
    assert Resources(0, 1).environment({"JAX_PLATFORMS": "cuda"})["JAX_PLATFORMS"] == "cpu"


def test_a_share_of_a_gpu_has_that_share_of_its_memory():
    own = {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.9"}  # jax refuses both names
    given = Resources(0.25, 1).environment(own)
    assert given["XLA_CLIENT_MEM_FRACTION"] == "0.2250"
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in given


@pytest.mark.parametrize("address", ["somewhere", "ray://here:10001", "here:port", "here:70000"])
def test_a_malformed_address(address):
    with pytest.raises(UserError, match="must be auto, or HOST:PORT"):
        check_address(address)


def test_an_address_at_which_nothing_answers():
    message = r"no Ray cluster answers at --address=127\.0\.0\.1:1 "
    with pytest.raises(UserError, match=message):
        check_address("127.0.0.1:1")
