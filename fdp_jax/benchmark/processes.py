"""Processes that measure, as the process that compares them sees them.

Each contender has a process of its own, so that its peak memory is its own; it stays alive between
its turns. The process that starts them never loads jax, so that it holds no part of a device.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any


class WorkerError(Exception):
    """What kept a process from its answer.

    Attributes:
      kind: the name of the exception there, `TimeoutError`, or `Killed`.
    """

    def __init__(self, kind: str, words: str):
        super().__init__(words)
        self.kind = kind


class Worker:
    """One object in a process of its own."""

    def __init__(
        self,
        target: str,
        arguments: Mapping[str, Any],
        limit: float | None = None,
        environment: Mapping[str, str] | None = None,
    ):
        """Starts the process and waits until the object is made.

        Args:
          target: `module:name` of a class, or of a function that returns a dictionary.
          arguments: plain values for JSON, by name.
          limit: seconds after which the process is ended; None waits for ever.
          environment: variables to add to, or replace among, those of this process.

        Raises:
          WorkerError: it could not be made in time or at all; the process has ended.
        """
        # Its standard error, for when it dies; open as long as the process.
        self._words = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fdp_jax.benchmark.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # so that helpers of its own end with it
        )
        self._unread = b""
        try:
            self.value = self._ask({"target": target, "arguments": dict(arguments)}, limit)
        except BaseException:
            self.close()
            raise

    def call(self, method: str, limit: float | None = None, **arguments: Any) -> Any:
        """What a method of the object returns; raises WorkerError as the constructor does."""
        return self._ask({"method": method, "arguments": arguments}, limit)

    def close(self) -> None:
        """Ends the process and those that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._words):
            with contextlib.suppress(OSError):
                stream.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, request: dict[str, Any], limit: float | None) -> Any:
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None
        answer = json.loads(self._line(limit))
        if "error" in answer:
            raise WorkerError(answer["error"], f"{answer['error']}: {answer['words']}")
        return answer["value"]

    def _line(self, limit: float | None) -> bytes:
        end = None if limit is None else time.monotonic() + limit
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                left = None if end is None else max(0.0, end - time.monotonic())
                if not selector.select(left):
                    raise WorkerError("TimeoutError", f"took more than {limit:g} seconds")
                piece = os.read(self._process.stdout.fileno(), 65536)
                if not piece:
                    raise self._death()
                self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _death(self) -> WorkerError:
        """What the process left when it ended without an answer."""
        status = self._process.wait()
        if status == -signal.SIGKILL:
            return WorkerError("Killed", "was killed by the system, as for lack of memory")
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").strip().splitlines() or [""]
        return WorkerError("Killed", f"ended with status {status}: {lines[-1][:300]}")


@contextlib.contextmanager
def with_variables(chosen: Mapping[str, str]) -> Iterator[None]:
    """Sets variables for the processes that are started, where the user chose none."""
    added = {name: value for name, value in chosen.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def run_once(
    target: str,
    arguments: Mapping[str, Any],
    limit: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What a function returns in a process of its own; arguments and errors as of `Worker`."""
    with Worker(target, arguments, limit, environment) as worker:
        return worker.value
