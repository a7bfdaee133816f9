"""A page on this machine into which one drops a video of one's own.

    python -m fdp_jax.app --checkpoint=runs/demo
    python -m fdp_jax.app --checkpoint=WORKDIR --port=8000 --max_seconds=20

It says what `python -m fdp_jax.predict` says, in the browser. Only this machine can open the page,
nothing leaves it, and a video is removed as soon as something was said of it, or after ten minutes.
Needs Gradio: pip install -r requirements/app.txt
"""

import html
import importlib.util
import math
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

# Only what is light: wrong arguments and --help are answered before anything heavy is loaded.
from datasets.command_line import main_with_clear_errors, parse_options
from datasets.errors import UserError
from fdp_jax.predict import interval_of

if TYPE_CHECKING:
    import gradio

    from fdp_jax.inference.trained_fold import TrainedFold

PROGRAM = "python -m fdp_jax.app"
ADDRESS = "127.0.0.1"
# The browser itself refuses whatever the page might ask of another machine.
_ONLY_FROM_HERE = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; form-action 'self'; "
    "frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Options:
    """What `python -m fdp_jax.app` takes."""

    checkpoint: Annotated[Path | None, tyro.conf.arg(metavar="WORKDIR_OR_FOLD")] = None
    """The --workdir of a training, of which the first finished fold speaks, or a fold in it; always
    to be given."""
    port: int = 7860
    """Of the page, on the loopback address."""
    max_megabytes: int = 100
    """Largest video that can be uploaded, in units of 1024 x 1024 bytes."""
    max_seconds: float = 60.0
    """Longest video that is read."""
    face_models: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder that holds the two .tflite face models; without it pip fetches them once."""
    compilation_cache: Path = Path("~/.cache/fdp_jax/compiled")
    """Where compiled programs are kept between runs."""


@dataclass(frozen=True, eq=False)
class Speaker:
    """Who answers the page.

    Attributes:
      folds: the network, as `load_networks` gives it.
      checkpoint: where it is from, as the user named it.
      options: of the command.
    """

    folds: "Sequence[TrainedFold]"
    checkpoint: Path
    options: Options

    def answer(
        self,
        upload: str | None,
        onset: str,
        offset: str,
        progress: Callable[[Iterable], Iterable] = lambda clips: clips,
    ) -> str:
        """HTML that shows the prediction, or the sentence on what is wrong with the video.

        Args:
          upload: path of the video, which is taken away; None where none was dropped.
          onset, offset: where the clip begins and ends, in seconds, as typed; both empty slide a
            window.
          progress: shows how far it has come, window by window.
        """
        if upload is None:
            return _mistake("drop a video first")
        from fdp_jax.inference.uploads import taken

        where = ""
        try:
            with taken(Path(upload)) as video:
                where = f"{video.parent}{os.sep}"  # of no use to the owner of the video
                return _framed(self._page_of(video, onset, offset, progress).replace(where, ""))
        except UserError as error:
            return _mistake(str(error).replace(where, ""))

    def _page_of(self, video: Path, onset: str, offset: str, progress: Callable) -> str:
        from fdp_jax.inference import page
        from fdp_jax.inference.limiting import open_limited
        from fdp_jax.inference.predicting import predict

        interval = interval_of(_seconds(onset), _seconds(offset))
        if video.stat().st_size > self.options.max_megabytes * 2**20:
            raise UserError(f"{video} is larger than {self.options.max_megabytes} MB")
        source = open_limited(video, self.options.max_seconds)
        said = predict(
            source, self.folds, self.checkpoint, interval, self.options.face_models, progress
        )
        return page.html(said.content, said.pictures)


def options_from(arguments: list[str]) -> Options:
    """The options, checked as far as that goes without loading anything heavy.

    Raises:
      UserError: an unknown option, values that cannot work, or Gradio is not installed.
    """
    options = parse_options(Options, None, arguments, PROGRAM, __doc__)
    if options.checkpoint is None:
        raise UserError("--checkpoint=DIR is needed: the --workdir of a training")
    if not 1 <= options.port <= 65535:
        raise UserError(f"--port={options.port} must be between 1 and 65535")
    if options.max_megabytes < 1:
        raise UserError(f"--max_megabytes={options.max_megabytes} must be at least 1")
    if not 0 < options.max_seconds < math.inf:
        raise UserError(f"--max_seconds={options.max_seconds:g} must be more than 0")
    if not options.checkpoint.expanduser().is_dir():
        raise UserError(
            f"there is no folder {options.checkpoint}; name the --workdir of a training "
            "(make demo trains one in runs/demo)"
        )
    if importlib.util.find_spec("gradio") is None:
        raise UserError("the page needs Gradio; pip install -r requirements/app.txt")
    return options


def run(arguments: list[str]) -> None:
    """The command line as a function; serves the page until it is interrupted.

    Raises:
      UserError: a mistake in the options, no network that could speak, or the port is taken.
    """
    options = options_from(arguments)
    from datasets.face_models import get_face_models
    from fdp_jax.inference.predicting import load_networks
    from fdp_jax.train import keep_compiled_programs

    get_face_models(options.face_models)  # fetched now or never
    keep_compiled_programs(options.compilation_cache.expanduser())
    checkpoint = options.checkpoint.expanduser()
    speaker = Speaker(load_networks(checkpoint, all_folds=False), checkpoint, options)
    for name in ("SIGTERM", "SIGHUP"):  # the latter of a closed terminal, where there is one
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="fdp_app_") as uploads:
        try:
            serve(speaker, uploads)
        except KeyboardInterrupt:
            print("stopped")


def serve(speaker: Speaker, uploads: str) -> None:
    """Serves the page for good; `uploads` is the folder in which videos lie meanwhile.

    Raises:
      UserError: the port is taken.
    """
    os.environ["GRADIO_TEMP_DIR"] = uploads
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    # Gradio asks itself whether it runs, and must not ask a proxy.
    os.environ["NO_PROXY"] = ",".join(filter(None, [os.environ.get("NO_PROXY"), ADDRESS]))
    import gradio
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from fdp_jax.inference.uploads import keep_forgetting

    options = speaker.options
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    page = build_page(speaker)
    try:
        page.launch(
            server_name=ADDRESS, server_port=options.port, share=False, prevent_thread_lock=True,
            quiet=True, max_file_size=options.max_megabytes * 2**20, footer_links=[],
            enable_monitoring=False, ssr_mode=False, run_history=False,
            theme=gradio.themes.Base(**fonts),
            app_kwargs={"middleware": [
                # Another name for this address would let a page of elsewhere ask in its own name.
                Middleware(TrustedHostMiddleware, allowed_hosts=[ADDRESS, "localhost"]),
                Middleware(_OnlyFromHere),
            ]},
        )  # fmt: skip
    except OSError as error:
        raise UserError(f"port {options.port} is taken; name another with --port=N") from error
    print(f"Page: http://{ADDRESS}:{options.port} (Ctrl-C ends it)", flush=True)
    keep_forgetting(Path(uploads))


def build_page(speaker: Speaker) -> "gradio.Blocks":
    """The page, not served yet."""
    import gradio

    from fdp_jax.inference.predicting import model_of
    from fdp_jax.inference.result import MEANING
    from fdp_jax.inference.uploads import FORGOTTEN_SECONDS

    options, model = speaker.options, model_of(speaker.folds, speaker.checkpoint)
    limits = f"{options.max_seconds:g} s and {options.max_megabytes} MB"
    told = (
        f"A video of a face, up to {limits}. It is read on this machine, nothing leaves it, and it "
        "is removed as soon as something was said of it; if nothing is asked, after "
        f"{FORGOTTEN_SECONDS // 60} minutes.",
        MEANING,
        model.worth,
    )

    def on_press(upload, onset, offset, progress=gradio.Progress()):  # noqa: B008
        def windows(clips: Iterable) -> Iterable:  # Gradio's own fails when asked after its end
            yield from progress.tqdm(clips, unit="window")

        return None, speaker.answer(upload, onset, offset, windows)

    with gradio.Blocks(title="FDP: your own video", analytics_enabled=False) as page:
        gradio.HTML("<h1>Your own video</h1>" + "".join(f"<p>{html.escape(s)}</p>" for s in told))
        video = gradio.File(label="Video", type="filepath")
        with gradio.Row():
            onset = gradio.Textbox(label="Onset, seconds (may stay empty)", max_lines=1)
            offset = gradio.Textbox(label="Offset, seconds (may stay empty)", max_lines=1)
        button = gradio.Button("What does the network say?", variant="primary")
        answer = gradio.HTML()
        button.click(
            on_press, [video, onset, offset], [video, answer], api_visibility="private",
            concurrency_limit=1,
        )  # fmt: skip
    return page


class _OnlyFromHere:
    """Adds to every response that the browser may ask this address alone."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def send_with_policy(message):
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", _ONLY_FROM_HERE.encode())
                message["headers"] = [*message.get("headers", []), policy]
            await send(message)

        await self.app(scope, receive, send_with_policy)


def _seconds(typed: str) -> float | None:
    if not typed.strip():
        return None
    try:
        return float(typed)
    except ValueError:
        raise UserError("onset and offset are numbers of seconds, such as 1.2") from None


def _framed(whole_page: str) -> str:
    """A page within the page, as high as it needs; scripts it has none, and could run none."""
    return (
        '<iframe title="What the network says" sandbox="allow-same-origin" '
        'style="width: 100%; height: 80vh; border: 0" onload="this.style.height = '
        "this.contentDocument.documentElement.scrollHeight + 'px'\" "
        f'srcdoc="{html.escape(whole_page)}"></iframe>'
    )


def _mistake(sentence: str) -> str:
    return f'<p class="mistake" role="alert"><strong>{html.escape(sentence)}</strong></p>'


def main() -> None:
    """The command line."""
    run(sys.argv[1:])


if __name__ == "__main__":
    main_with_clear_errors(main)
