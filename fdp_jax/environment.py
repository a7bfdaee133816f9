"""The machine a command runs on: settings of jax, device, versions, memory.

Importing this module does not import jax.
"""

import contextlib
import ctypes
import os
import re
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from datasets.command_line import cache_folder
from datasets.errors import UserError

LARGE_PAGES = "glibc.malloc.hugetlb=1"
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
# Variables of jax that change no number: devices, caches, logs. All others are ignored.
_HARMLESS = re.compile(
    "JAX_(PLATFORM|CUDA_|ROCM_|COMPILATION_CACHE|PERSISTENT_CACHE|LOG|DUMP|TRACEBACK|DEBUG_LOG|EXPLAIN)"
)
# On an H200 XLA takes over two minutes to compile the step if it tunes kernels, else half a minute.
GPU_FLAGS = "--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false"
PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "numpy", "opencv-python-headless")


def use_large_pages() -> None:
    """Restarts this command with malloc asking for large pages, unless it does already.

    XLA requests the buffers of every step from malloc anew, and with pages of 4 KB page faults take
    up to 40 % of a small network's step. glibc reads the setting only when a process starts; the
    restart takes a tenth of a second, keeps the process id and changes no number. Other C libraries
    ignore the setting. `GLIBC_TUNABLES=` in the environment switches it off.
    """
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ:
        environment = {**os.environ, "GLIBC_TUNABLES": LARGE_PAGES}
        os.execve(sys.executable, sys.orig_argv, environment)


def keep_freed_memory() -> None:
    """Returns freed memory to the system once and keeps what is freed from then on (glibc only).

    Compiling the `paper` step leaves more than a gigabyte behind. After it, XLA requests the same
    two gigabytes for every step on a CPU; mapping them anew costs up to a third of the step. Only
    the main thread's memory is kept, in which steps run as `start_jax` dispatches them.
    """
    _set_malloc(maps=0, trim_threshold=-1)


def return_freed_memory() -> None:
    """Ends what `keep_freed_memory` began."""
    _set_malloc(maps=65_536, trim_threshold=131_072)  # glibc's defaults


def _set_malloc(maps: int, trim_threshold: int) -> None:
    """Returns freed memory to the system and sets when malloc does so by itself."""
    malloc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(malloc, "malloc_trim") and hasattr(malloc, "mallopt"):
        malloc.malloc_trim(0)
        malloc.mallopt(M_MMAP_MAX, maps)
        malloc.mallopt(M_TRIM_THRESHOLD, trim_threshold)


def prepare_environment() -> None:
    """Removes the JAX_... variables that numbers depend on, and sets what XLA logs and tunes.

    jax reads them when it is imported. A run must not depend on what the shell sets: it can be
    resumed from another one. XLA's alarm about slow compilation would break the progress bar;
    errors reach Python as exceptions. On a GPU, XLA takes the first kernel that fits instead of
    timing all of them, unless XLA_FLAGS in the environment says otherwise.
    """
    ignored = [name for name in os.environ if name.startswith("JAX_") and not _HARMLESS.match(name)]
    for name in ignored:
        del os.environ[name]
    if ignored and "jax" not in sys.modules:
        print(
            f"note: {', '.join(ignored)} ignored: numbers must not depend on the environment",
            file=sys.stderr,
        )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    given = os.environ.get("XLA_FLAGS", "")
    if GPU_FLAGS not in given:
        os.environ["XLA_FLAGS"] = f"{GPU_FLAGS} {given}".strip()  # the last of two flags holds


def start_jax(compiled_programs: Path | None = None) -> None:
    """Imports jax with the settings of this program; every command that computes calls it first.

    Args:
      compiled_programs: keeps compiled programs between runs; a temporary folder takes its place if
        it cannot be written. None leaves that to jax.

    Raises:
      UserError: there is no device as asked for.
    """
    prepare_environment()
    import jax

    # In the main thread, one after the other: see `keep_freed_memory`.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    try:
        jax.local_devices()
    except (RuntimeError, AssertionError) as error:  # the latter where no plugin is installed
        raise UserError(_no_device(error)) from error
    if compiled_programs is not None and not _keep_compiled_programs(compiled_programs):
        _keep_compiled_programs(cache_folder("compiled"))


def _keep_compiled_programs(directory: Path) -> bool:
    """Returns whether the folder can be written, and if so caches compiled programs there."""
    import jax

    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return False
    if not os.access(directory, os.W_OK):
        return False
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    return True


def _no_device(error: Exception) -> str:
    """Says why jax has no device, and the way out."""
    first_line = (str(error).splitlines() or [""])[0]
    reason = first_line.partition(" (set ")[0]  # jax's own advice is wrong for most users
    reason = f" ({reason})" if reason else ""
    for name in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME"):
        if value := os.environ.get(name):
            return (
                f"{name}={value} in the environment names a device that jax cannot use "
                f"here{reason}; unset it, or set {name}=cpu"
            )
    return f"jax can use no device{reason}; set JAX_PLATFORMS=cpu to compute on the CPU"


@contextlib.contextmanager
def without_proxies() -> Iterator[None]:
    """Removes all proxy settings within the context, for a program that asks only itself."""
    before = dict(os.environ)
    for name in before:
        if name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"  # also over settings of the system
    try:
        yield
    finally:
        for name in ("NO_PROXY", "no_proxy"):
            os.environ.pop(name, None)
        os.environ.update((name, before[name]) for name in before.keys() - os.environ.keys())


def device_name() -> str:
    """Returns kind and platform of the device that trains."""
    import jax

    device = jax.local_devices()[0]
    kind, platform = device.device_kind, device.platform
    return kind if kind.lower() == platform else f"{kind} ({platform})"


def code_commit() -> str | None:
    """Returns the first digits of this code's git commit; None where it has no repository.

    Changes that are not committed go unnoticed.
    """
    try:
        git = Path(__file__).parents[1] / ".git"
        if git.is_file():  # a linked work tree
            git = git.parent / git.read_text().partition("gitdir: ")[2].strip()
        commit = (git / "HEAD").read_text().strip()
        if reference := commit.partition("ref: ")[2]:
            shared = git / "commondir"
            common = git / shared.read_text().strip() if shared.exists() else git
            commit = _commit_of(reference, common)
    except (OSError, UnicodeDecodeError):
        return None
    return commit[:12] if re.fullmatch("[0-9a-f]{40,64}", commit) else None


def _commit_of(reference: str, git: Path) -> str:
    path = git / reference
    if path.exists():
        return path.read_text().strip()
    packed = (git / "packed-refs").read_text().splitlines()
    return next((line.split()[0] for line in packed if line.endswith(f" {reference}")), "")


def installed_versions() -> dict[str, str]:
    """Returns the versions of the packages that results may depend on, and this code's commit."""
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    if commit := code_commit():
        versions["fdp-jax commit"] = commit
    return versions


def peak_memory_bytes() -> int:
    """Returns the peak memory so far: the device's where it reports one, else this process'."""
    import jax

    statistics = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        return statistics["peak_bytes_in_use"]
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextlib.contextmanager
def clear_out_of_memory_error() -> Iterator[None]:
    """Turns a device's lack of memory into one sentence.

    Raises:
      UserError: that sentence.
    """
    try:
        yield
    except RuntimeError as error:  # jax has no error class of its own for it
        message = str(error)
        if "RESOURCE_EXHAUSTED" not in message and "Out of memory" not in message:
            raise
        raise UserError(
            f"the device has too little memory for this training "
            f"({message.splitlines()[0][:120]}); try a smaller --folds_at_once, a smaller "
            "--batch_size or --preset=small"
        ) from error


@contextlib.contextmanager
def exit_on_interrupt(farewell: Callable[[], str]) -> Iterator[None]:
    """Within the context, Ctrl-C or SIGTERM prints a sentence and ends the process.

    A thread does so, since Python's own handler waits until XLA has compiled or computed, for
    minutes; what is on disk must be valid at any moment. The second signal does not wait for the
    sentence. Signals that are ignored or handled otherwise stay so, as Ctrl-C under nohup.

    Args:
      farewell: returns the sentence.
    """
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    taken = {n: handler for n, handler in usual.items() if signal.getsignal(n) == handler}
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def leave(number: int) -> None:
        print(f"\n{farewell()}", file=sys.stderr, flush=True)
        os._exit(128 + number)

    def watch() -> None:
        asked = False
        while data := os.read(reader, 1):
            number = data[0]
            if asked and number in taken:
                os._exit(128 + number)
            if number in taken:
                asked = True
                threading.Thread(target=leave, args=(number,), daemon=True).start()
        os.close(reader)

    former = signal.set_wakeup_fd(writer)
    for number in taken:
        signal.signal(number, lambda *_: None)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(former)
        os.close(writer)
