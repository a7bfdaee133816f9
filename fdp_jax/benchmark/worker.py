"""A measured process: it makes one object and calls its methods when asked.

    python -m fdp_jax.benchmark.worker      (started by `processes.Worker`, never by hand)

Requests come as lines of JSON on the standard input, answers go as lines of JSON to what was the
standard output; whatever else prints goes to the standard error. The first request names a class or
a function, `module:name`, and its arguments; the following ones name methods of what it gave.
"""

import importlib
import json
import os
import sys
import traceback
from typing import Any, TextIO


def _made(request: dict[str, Any]) -> Any:
    module, _, name = request["target"].partition(":")
    return getattr(importlib.import_module(module), name)(**request["arguments"])


def _told(error: BaseException) -> dict[str, str]:
    traceback.print_exc()
    words = " ".join(str(error).split())
    return {"error": type(error).__name__, "words": words[:300]}


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answers until the requests end; an error is an answer too."""
    served = None
    for line in requests:
        request = json.loads(line)
        try:
            if "target" in request:
                served = _made(request)
                # What a function gives is the answer itself; an object waits for its methods.
                value = served if isinstance(served, dict) else None
            else:
                value = getattr(served, request["method"])(**request["arguments"])
            answer = {"value": value}
        except Exception as error:  # told to the one who asked
            answer = _told(error)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    private = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.stdin, private)
