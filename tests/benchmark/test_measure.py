"""Timing, peak memory and child processes; this file is also the child process of its tests."""

import json
import os
import signal
import sys
import time

import pytest

from fdp_jax.benchmark.measure import (
    describe_machine,
    emit,
    peak_memory_bytes,
    run_child,
    spread,
    time_turns,
)

CHILD = "tests.benchmark.test_measure"


def test_spread_by_hand():
    assert spread([3.0, 1.0, 2.0, 10.0]) == {
        "median": 2.5, "min": 1.0, "quartiles": [1.75, 4.75], "turns": [3.0, 1.0, 2.0, 10.0],
    }  # fmt: skip
    assert spread([2.0])["quartiles"] == [2.0, 2.0]


@pytest.mark.parametrize(("seconds", "repetitions"), [(3.0, 1), (0.1, 3), (0.001, 250)])
def test_a_turn_has_enough_repetitions_and_starts_warm(seconds, repetitions):
    calls = []
    measured = time_turns(lambda times: calls.append(times) or seconds, turns=2, on_gpu=True)
    assert measured == [seconds] * 2
    assert calls == [1, *[repetitions] * 3]


def test_the_measurements_of_a_child_are_merged_and_other_lines_ignored():
    found, reason = run_child(CHILD, {"numbers": [1, 2]})
    assert found == {"1": {"square": 1}, "2": {"square": 4}} and reason == ""


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"numbers": [3], "end": "sleep", "limit": 5}, "took more than 5 s"),
        ({"numbers": [3], "end": "raise"}, "ValueError: the last line"),
        ({"numbers": [3], "end": "exit"}, "exit status 3"),
        ({"numbers": [3], "end": "kill"}, "was killed by the system, as for lack of memory"),
    ],
)
def test_a_child_that_fails_keeps_what_it_measured(request_, reason):
    assert run_child(CHILD, request_, request_.get("limit")) == ({"3": {"square": 9}}, reason)


@pytest.mark.skipif(sys.platform != "linux", reason="as Linux counts it")
def test_peak_memory_of_a_child_is_its_own():
    ballast = bytearray(b"y" * 300_000_000)  # of this process
    small, large = (run_child(CHILD, {"megabytes": size})[0]["peak"] for size in (1, 150))
    assert 120e6 < large - small < 180e6
    assert small < len(ballast) < peak_memory_bytes()


def test_the_machine_is_described():
    machine = describe_machine()
    assert machine["cpu"] and machine["cores"] >= 1 and machine["memory_bytes"] > 10**8


def child(numbers=(), end="", megabytes=0, limit=None) -> None:
    print("a library prints this")
    for number in numbers:
        emit(**{str(number): {"square": number**2}})
    if megabytes:
        held = b"x" * (megabytes * 10**6)
        emit(peak=peak_memory_bytes(), held=len(held))
    print('{"cut": o', flush=True)
    if end == "sleep":
        time.sleep(600)
    elif end == "raise":
        raise ValueError("the last line")
    elif end == "exit":
        os._exit(3)
    elif end == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    child(**json.loads(sys.argv[1]))
