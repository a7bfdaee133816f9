"""Measures speed and memory: `python -m fdp_jax.benchmark [gpu | table] [--option=value ...]`."""

import shlex
import sys

from datasets.command_line import main_with_clear_errors
from fdp_jax.benchmark.options import PROGRAM, options_from
from fdp_jax.memory import use_large_pages


def main(arguments: list[str]) -> None:
    """The command line.

    Raises:
      UserError: an option that does not exist or cannot be, or a step that does not run here.
    """
    if arguments[:1] == ["gpu"]:
        from fdp_jax.benchmark.gpu import main as measure_gpu

        return measure_gpu(arguments[1:])
    if arguments[:1] == ["table"]:
        from fdp_jax.benchmark.table import main as print_table

        return print_table(arguments[1:])
    options = options_from(arguments)
    # Late, so that --help and a mistake are answered first.
    from fdp_jax.benchmark.measuring import as_json, measure
    from fdp_jax.benchmark.words import in_words

    report = measure(options, f"{PROGRAM} {shlex.join(arguments)}".strip())
    print(as_json(report) if options.as_json else in_words(report))


if __name__ == "__main__":
    use_large_pages()
    main_with_clear_errors(lambda: main(sys.argv[1:]))
