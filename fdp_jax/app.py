"""Serves a local page that predicts the category of a micro-expression in an uploaded video.

    python -m fdp_jax.app
    python -m fdp_jax.app --checkpoint=WORKDIR --port=8000 --max_seconds=20

The page shows what `python -m fdp_jax.predict` writes. Only this machine can open it, nothing
leaves the machine, and a video is removed when its page is closed, or ten minutes after its last
use. Needs Gradio: pip install -e ".[app]"
"""

import base64
import contextlib
import hashlib
import html
import importlib.util
import math
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

# Heavy modules are imported late, so that mistakes and --help are answered at once.
from datasets.command_line import parse_options, run_command
from datasets.errors import UserError
from fdp_jax.predict import NetworkOptions, interval_from

if TYPE_CHECKING:
    import gradio

    from datasets.video import Video
    from fdp_jax.inference.predictor import Predictor

ADDRESS = "127.0.0.1"
FILES = "/gradio_api/file="  # where Gradio serves the uploads
MAX_AGE = 600  # seconds that an upload is kept after its last use
# The browser refuses requests of the page to any other machine.
_CONTENT_SECURITY_POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; form-action 'self'; "
    "frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Options:
    """Options of `python -m fdp_jax.app`."""

    port: int = 7860
    """Port of the page on the loopback address."""
    max_megabytes: int = 100
    """Largest video that can be uploaded, in units of 1024 x 1024 bytes."""
    max_seconds: float = 60.0
    """Longest video that is read."""
    network: Annotated[NetworkOptions, tyro.conf.arg(name="")] = field(
        default_factory=NetworkOptions
    )


def options_from(arguments: Sequence[str]) -> Options:
    """Returns the options, checked without heavy imports. Raises UserError for a mistake."""
    options = parse_options(Options, arguments, "python -m fdp_jax.app", __doc__)
    if not 1 <= options.port <= 65535:
        raise UserError(f"--port={options.port} must be between 1 and 65535")
    if options.max_megabytes < 1:
        raise UserError(f"--max_megabytes={options.max_megabytes} must be at least 1")
    if not 0 < options.max_seconds < math.inf:
        raise UserError(f"--max_seconds={options.max_seconds:g} must be more than 0")
    if importlib.util.find_spec("gradio") is None:
        raise UserError('the page needs Gradio; pip install -e ".[app]"')
    return options


def run(arguments: Sequence[str]) -> None:
    """Runs the command: serves the page until it is interrupted. Raises UserError."""
    options = options_from(arguments)
    from fdp_jax.environment import without_proxies

    predictor = options.network.load()
    for number in (signal.SIGTERM, signal.SIGHUP):  # SIGHUP: the terminal closes
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="fdp_app_") as uploads:
        try:
            with without_proxies():  # Gradio checks over HTTP that it runs
                _serve(predictor, options, Path(uploads))
        except KeyboardInterrupt:
            print("stopped")


def answer(
    predictor: "Predictor",
    options: Options,
    upload: Path | None,
    onset: str = "",
    offset: str = "",
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[str, str]:
    """Returns HTML: the player with marks, and the tables with the result page.

    After a mistake, the player is empty, and a sentence on what is wrong comes instead of a result.

    Args:
      predictor: the networks.
      options: limits of length and size.
      upload: the video, which stays; None without one.
      onset, offset: in seconds as typed; both empty slide windows over the video.
      progress: wraps the windows to show a progress bar.
    """
    from fdp_jax.inference import results

    def used(windows: Iterable) -> Iterable:
        for window in progress(windows):
            upload.touch()  # a long video is in use all the while
            yield window

    try:
        if upload is None:
            raise UserError("upload a video first")
        interval = interval_from(_seconds_from(onset), _seconds_from(offset))
        video = _open(upload, options)
        content, best = predictor.read(video, interval, used)
        content |= {"video": upload.name}
        entry = results.summary_of(content)
        player = results.render_player(_address_of(upload), video, entry)
    except UserError as error:
        return "", _mistake(error, upload)
    tables = (
        ("expressions", "Table of expressions (CSV)", results.expressions_table([entry])),
        ("windows", "Table of all windows (CSV)", results.windows_table(content)),
    )
    links = " · ".join(_download(f"{upload.stem}_{name}.csv", *rest) for name, *rest in tables)
    page = results.render_page(content, results.draw_pictures(content, best))
    return player, (  # a frame as high as its content; it has no scripts and may run none
        f'<p>{links}</p><iframe title="Prediction" sandbox="allow-same-origin" '
        'style="width: 100%; height: 80vh; border: 0" onload="this.style.height = '
        "this.contentDocument.documentElement.scrollHeight + 'px'\" "
        f'srcdoc="{html.escape(page)}"></iframe>'
    )


def preview(options: Options, upload: Path) -> str:
    """Returns HTML with the player of a video, or with a sentence on what is wrong."""
    from fdp_jax.inference.results import render_player

    try:
        return render_player(_address_of(upload), _open(upload, options))
    except UserError as error:
        return _mistake(error, upload)


def _address_of(upload: Path) -> str:
    return f"{FILES}{urllib.parse.quote(str(upload))}"


def _download(name: str, title: str, table: str) -> str:
    encoded = base64.b64encode(table.encode()).decode("ascii")
    return f'<a download="{html.escape(name)}" href="data:text/csv;base64,{encoded}">{title}</a>'


def _open(upload: Path, options: Options) -> "Video":
    from datasets.video import open_video

    try:
        os.utime(upload)
    except FileNotFoundError:
        raise UserError(
            f"{upload.name} was removed {MAX_AGE // 60} minutes after its last use; upload it again"
        ) from None
    if upload.stat().st_size > options.max_megabytes * 2**20:
        raise UserError(f"{upload} is larger than {options.max_megabytes} MB")
    return open_video(upload, max_seconds=options.max_seconds)


def _mistake(error: UserError, upload: Path | None) -> str:
    folder = f"{upload.parent}{os.sep}" if upload else ""  # means nothing to the user
    sentence = html.escape(str(error).replace(folder, ""))
    return f'<p class="mistake" role="alert"><strong>{sentence}</strong></p>'


def _seconds_from(typed: str) -> float | None:
    try:
        return float(typed) if typed.strip() else None
    except ValueError:
        raise UserError("onset and offset are numbers of seconds, such as 1.2") from None


def page_folder(uploads: Path, page: str) -> Path:
    """Returns the folder for the video of an open page, among those of all pages."""
    # The browser chooses the name of its page, which must lead to no other folder.
    return uploads / f"page_{hashlib.sha256(page.encode()).hexdigest()[:32]}"


def keep_upload(upload: Path, folder: Path) -> Path:
    """Moves an upload to the folder of its page, in place of an earlier one; returns its path.

    Visitors who upload the same video share one file of Gradio, whose path depends on its content.

    Raises:
      UserError: another page has taken it in this moment.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        return upload.replace(folder / upload.name)
    except FileNotFoundError:
        raise UserError(f"{upload.name} was not received; upload it again") from None


def remove_old_uploads(folder: Path) -> None:
    """Removes files that were last written or used more than `MAX_AGE` seconds ago."""
    oldest = time.time() - MAX_AGE
    for place, _, files in os.walk(folder):  # ignores what disappears meanwhile
        for path in (Path(place) / name for name in files):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


def _mark_used(address: str, folder: Path) -> None:
    """Puts off the removal of an upload that the browser plays."""
    path = Path(address.removeprefix(FILES))
    if path.is_relative_to(folder) and ".." not in path.parts:
        with contextlib.suppress(OSError):
            os.utime(path)


def _serve(predictor: "Predictor", options: Options, uploads: Path) -> None:
    """Serves the page for good. Raises UserError where the port is taken."""
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import gradio
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from fdp_jax.inference.results import PLAYER_HEAD

    async def add_policy(request, call_next):
        _mark_used(request.scope["path"], uploads)
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
        return response

    middleware = [
        # A site elsewhere whose name leads to this address must not be able to use the page.
        Middleware(TrustedHostMiddleware, allowed_hosts=[ADDRESS, "localhost"]),
        Middleware(BaseHTTPMiddleware, dispatch=add_policy),
    ]
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    # The report's blue, on which white is legible.
    fill = {"button_primary_background_fill": "#2a62a6"}
    fill |= {f"button_primary_background_fill_{state}": "#2a62a6" for state in ("dark", "hover")}
    theme = gradio.themes.Base(**fonts).set(**fill)
    try:
        _build_page(predictor, options, uploads).launch(
            server_name=ADDRESS, server_port=options.port, share=False, prevent_thread_lock=True,
            quiet=True, max_file_size=options.max_megabytes * 2**20, footer_links=[],
            enable_monitoring=False, ssr_mode=False, run_history=False,
            theme=theme, head_paths=PLAYER_HEAD,
            app_kwargs={"middleware": middleware},
        )  # fmt: skip
    except OSError as error:
        raise UserError(f"port {options.port} is taken; give another with --port=N") from error
    print(f"Page: http://{ADDRESS}:{options.port} (Ctrl-C ends it)", flush=True)
    while True:
        time.sleep(60)
        remove_old_uploads(uploads)


def _build_page(predictor: "Predictor", options: Options, uploads: Path) -> "gradio.Blocks":
    import gradio

    from fdp_jax.animation.action_units import NEUTRAL
    from fdp_jax.inference.predictor import MEANING, MEANING_OF_SPOTTING

    description = predictor.description
    paragraphs = (
        f"A video of a face, up to {options.max_seconds:g} s and {options.max_megabytes} MB. It is "
        "read on this machine and nothing leaves it. The video is removed when you close this "
        f"page, or {MAX_AGE // 60} minutes after its last use.",
        MEANING_OF_SPOTTING if NEUTRAL in description["classes"] else MEANING,
        description["worth"],
    )

    def drop(request: gradio.Request) -> None:
        shutil.rmtree(page_folder(uploads, request.session_hash), ignore_errors=True)

    def on_upload(upload: str, request: gradio.Request):
        try:
            path = keep_upload(Path(upload), page_folder(uploads, request.session_hash))
        except UserError as error:
            return None, _mistake(error, None), "", gradio.Button(interactive=False)
        return str(path), preview(options, path), "", gradio.Button(interactive=True)

    def on_clear(request: gradio.Request):
        drop(request)
        return None, "", "", gradio.Button(interactive=False)

    def on_click(kept, onset, offset, progress=gradio.Progress()):  # noqa: B008
        def windows(clips: Iterable) -> Iterable:  # Gradio's own fails when asked after its end
            yield from progress.tqdm(clips, unit="window")

        player, result = answer(predictor, options, kept and Path(kept), onset, offset, windows)
        return player or gradio.skip(), result

    with gradio.Blocks(title="FDP: prediction for a video", analytics_enabled=False) as page:
        text = "".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in paragraphs)
        gradio.HTML(f"<h1>Prediction for a video</h1>{text}")
        video = gradio.File(label="Video", type="filepath")
        player, kept = gradio.HTML(), gradio.State()  # kept: path of the page's video
        with gradio.Row():
            onset = gradio.Textbox(label="Onset in seconds (optional)", max_lines=1)
            offset = gradio.Textbox(label="Offset in seconds (optional)", max_lines=1)
        button = gradio.Button("Predict", variant="primary", interactive=False)
        result = gradio.HTML()
        shown = [kept, player, result, button]
        video.upload(on_upload, video, shown, api_visibility="private")
        video.clear(on_clear, None, shown, api_visibility="private")
        button.click(
            on_click,
            [kept, onset, offset],
            [player, result],
            api_visibility="private",
            concurrency_limit=1,
        )
        page.unload(drop)
    return page


if __name__ == "__main__":
    run_command(lambda: run(sys.argv[1:]))
