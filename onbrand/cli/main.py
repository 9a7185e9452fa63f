"""The commands. Each reads the settings once, starts what it names and turns a `SetupError` into one line."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onbrand import __version__, logs
from onbrand.cli import packs
from onbrand.config import Environment, ModelName, Settings, SignIn, load_settings, unknown_settings
from onbrand.errors import ConfigError, OnbrandError, SetupError

if TYPE_CHECKING:
    from onbrand.api.app import StandIn

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(packs.app, name="pack")

AsJson = Annotated[bool, typer.Option("--json", help="one JSON document, for scripts")]
StopWithParent = Annotated[bool, typer.Option(hidden=True, help="stop when standard input ends")]


def main() -> None:
    """The entry point: exit code 0 only on success, 2 for wrong usage, 78 for a wrong configuration."""
    try:
        app()
    except SetupError as error:
        sys.stderr.write(f"onbrand: {error.message}\n")
        sys.exit(error.exit_code)
    except OnbrandError as error:
        sys.stderr.write(f"onbrand: {error.message}\n")
        sys.exit(1)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    """Onbrand: a prompt becomes four illustrations in the studio's own style."""
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def up() -> None:
    """Run everything on this machine, until Ctrl-C."""
    from onbrand.local.up import run

    settings = load_settings()
    logs.configure(settings, "onbrand")
    sys.exit(asyncio.run(run(settings)))


@app.command()
def api(stop_with_parent: StopWithParent = False) -> None:
    """Run the HTTP service."""
    from onbrand.api.app import create_app, serve

    settings = load_settings()
    logs.configure(settings, "api")
    url, stand_in = _database_url(settings), _stand_in(settings)
    # In production a static host may serve the page; on one machine a missing build is a mistake.
    is_built = (settings.web_dir / "index.html").is_file()
    web_dir = settings.web_dir if is_built or settings.env is Environment.LOCAL else None
    service = create_app(settings, url, stand_in=stand_in, web_dir=web_dir)
    asyncio.run(_until_signalled(lambda stop, _: serve(service, settings, stop), stop_with_parent))


@app.command()
def worker(stop_with_parent: StopWithParent = False) -> None:
    """Run one worker with its model."""
    from onbrand.worker.run import run_worker

    settings = load_settings()
    logs.configure(settings, "worker")
    url = _database_url(settings)
    asyncio.run(_until_signalled(lambda stop, now: run_worker(settings, url, stop, now), stop_with_parent))


@app.command()
def migrate() -> None:
    """Bring the database to this version's schema."""
    from onbrand.database.migrations import migrate as apply
    from onbrand.local.postgres import EmbeddedPostgres

    settings = load_settings()
    if settings.database_url is not None:
        applied = apply(settings.database_url.get_secret_value())
    else:
        with EmbeddedPostgres(settings.data_dir) as server:
            applied = apply(server.url)
    typer.echo(f"applied: {', '.join(applied)}" if applied else "nothing to do: the schema is current")


@app.command()
def generate(
    text: Annotated[str, typer.Argument(metavar="PROMPT", help="what to draw, up to 500 characters")],
    out: Annotated[Path, typer.Option(help="the folder for the pictures")],
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**53 - 1, help="the same seed draws the same pictures")
    ] = None,
) -> None:
    """Draw four PNGs here, without a server."""
    from onbrand.cli.generate import generate as draw

    for path in draw(load_settings(), text, out, seed):
        typer.echo(path)


@app.command()
def reproduce(
    picture: Annotated[Path, typer.Argument(metavar="FILE.png", help="a picture that Onbrand drew")],
    prompt: Annotated[
        str | None, typer.Option(help="what it was drawn from; by default the prompt of its job, while that is kept")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="the new file; by default beside the picture")] = None,
    as_json: AsJson = False,
) -> None:
    """Draw a picture again, and say whether it is the same."""
    from onbrand.cli.reproduce import reproduce as draw_again

    logging.getLogger().addHandler(logging.NullHandler())  # the answer says it all
    reproduced = draw_again(load_settings(), picture, prompt=prompt, out=out)
    typer.echo(reproduced.as_json() if as_json else reproduced.as_sentences())
    raise typer.Exit(0 if reproduced.is_same else 1)


@app.command()
def token(
    user: Annotated[str, typer.Option(help="member, outsider, guest or overage")] = "member",
) -> None:
    """Print a bearer token of the local sign-in, for curl."""
    from onbrand.local.issuer import Issuer
    from onbrand.local.people import PEOPLE

    settings = load_settings()
    if settings.auth is not SignIn.LOCAL:
        raise ConfigError("`onbrand token` is for the local sign-in only; here ONBRAND_AUTH=entra.")
    if user not in PEOPLE:
        raise typer.BadParameter(f"choose one of {', '.join(PEOPLE)}", param_hint="--user")
    typer.echo(Issuer(f"http://localhost:{settings.port}", settings.data_dir / "sign-in").token_for(user))


@app.command()
def doctor(
    as_json: AsJson = False,
    skip_weights: Annotated[bool, typer.Option(help="don't read the weights: for HiDream that takes minutes")] = False,
    skip_gpu: Annotated[bool, typer.Option(help="don't ask torch for a GPU: that takes seconds")] = False,
) -> None:
    """Check this configuration and what runs with it, and say what to mend."""
    from rich.console import Console

    from onbrand.doctor.examine import examine, refused

    logging.getLogger().addHandler(logging.NullHandler())  # the report is the answer
    waiting, screen = Console(stderr=True), Console()
    exit_code = ConfigError.exit_code
    try:
        settings = load_settings()
    except ConfigError as error:
        report = refused(error.message)
    else:
        with waiting.status("Checking") as status:
            tell = status.update if waiting.is_terminal else waiting.print
            looking = examine(settings, unknown_settings(), skip_weights=skip_weights, skip_gpu=skip_gpu, tell=tell)
            report = asyncio.run(looking)
        exit_code = 0 if report.healthy else 1
    if as_json:
        typer.echo(report.as_json())
    elif screen.is_terminal:
        report.show(screen)
    else:
        typer.echo(report.as_lines())
    raise typer.Exit(exit_code)


@app.command()
def bench(
    model: Annotated[ModelName | None, typer.Option(help="by default ONBRAND_MODEL")] = None,
    model_path: Annotated[str | None, typer.Option(help="its base; by default ONBRAND_MODEL_PATH")] = None,
    is_random: Annotated[
        bool, typer.Option("--random", help="HiDream-I1's real size with random weights, which nobody must download")
    ] = False,
    precision: Annotated[
        str | None, typer.Option(metavar="NAME,…", help="bfloat16, int8, float32; by default what suits the device")
    ] = None,
    also: Annotated[
        str | None, typer.Option(metavar="NAME,…", help="other ways to compute the same: compiled, loop")
    ] = None,
    images: Annotated[int, typer.Option(min=1, max=4, help="pictures of a drawing")] = 4,
    steps: Annotated[int | None, typer.Option(min=1, max=200, help="by default the brand pack's")] = None,
    turns: Annotated[int, typer.Option(min=1, max=100, help="how often each is loaded and measured")] = 2,
    runs: Annotated[int, typer.Option(min=1, max=100, help="drawings of a turn")] = 3,
    force: Annotated[bool, typer.Option("--force", help="a large model on a CPU, too")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure what a drawing costs here: the floor, stock diffusers and ours."""
    from rich.console import Console

    from onbrand.cli import bench as benching

    logging.getLogger().addHandler(logging.NullHandler())  # the figures are the answer
    settings = load_settings()
    is_other = model is not None and model is not settings.model
    chosen = settings.model_copy(
        update={
            "model": model or settings.model,
            "model_path": model_path or (None if is_other else settings.model_path),
        }
    )
    choice = benching.Choice(precision, also, images, steps, turns, runs, is_random, force)
    waiting = Console(stderr=True)
    with waiting.status("Measuring") as status:
        measured = benching.bench(chosen, choice, status.update if waiting.is_terminal else waiting.print)
    typer.echo(benching.as_json(measured) if as_json else benching.as_table(measured))


@app.command()
def clean(
    confirm: Annotated[bool, typer.Option("--confirm", help="also what is held back because it is so much")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete now what is due, and what belongs to no result."""
    from onbrand.cli.clean import clean as delete
    from onbrand.local.database_url import url_for_command

    logging.getLogger().addHandler(logging.NullHandler())  # the answer says it all
    settings = load_settings()
    cleaned = asyncio.run(delete(settings, url_for_command(settings), confirmed=confirm))
    typer.echo(cleaned.as_json() if as_json else cleaned.as_sentences())
    raise typer.Exit(0 if cleaned.finished else 1)


@app.command()
def stats(
    month: Annotated[str | None, typer.Option(metavar="YYYY-MM", help="the month (UTC); by default this one")] = None,
    as_json: AsJson = False,
) -> None:
    """Say how many people used Onbrand in a month, and if they found it useful."""
    from rich.console import Console

    from onbrand.cli.stats import parse_month
    from onbrand.cli.stats import stats as count
    from onbrand.local.database_url import url_for_command

    try:
        first_day = None if month is None else parse_month(month)
    except ValueError:
        raise typer.BadParameter("write a month as YYYY-MM, such as 2026-11", param_hint="--month") from None
    logging.getLogger().addHandler(logging.NullHandler())  # the answer says it all
    counted = asyncio.run(count(url_for_command(load_settings()), first_day))
    if as_json:
        typer.echo(counted.as_json())
    else:
        counted.show(Console())


@app.command(hidden=True)
def openapi() -> None:
    """Print the OpenAPI document, from which the page's client is generated."""
    import json

    from onbrand.api.app import create_app

    document = create_app(load_settings(), "postgresql://", stand_in=None, web_dir=None).openapi()
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _database_url(settings: Settings) -> str:
    if settings.database_url is None:
        raise ConfigError("Set ONBRAND_DATABASE_URL, or run `onbrand up`, which brings its own PostgreSQL.")
    return settings.database_url.get_secret_value()


def _stand_in(settings: Settings) -> StandIn | None:
    from onbrand.api.app import StandIn
    from onbrand.local.issuer import Issuer

    if settings.auth is not SignIn.LOCAL:
        return None
    issuer = Issuer(f"http://localhost:{settings.port}", settings.data_dir / "sign-in")
    return StandIn(issuer.router(), issuer.metadata())


async def _until_signalled(
    work: Callable[[asyncio.Event, asyncio.Event], Awaitable[None]], stop_with_parent: bool
) -> None:
    """Run `work(stop, stop_now)`: the first SIGTERM or Ctrl-C sets `stop`, the second `stop_now`."""
    loop = asyncio.get_running_loop()
    stop, stop_now = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (stop_now if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    if stop_with_parent:

        def wait_for_parent() -> None:
            # Not sys.stdin: the interpreter locks it when it ends, and would wait for this thread.
            while os.read(0, 1024):
                pass
            loop.call_soon_threadsafe(stop.set)

        threading.Thread(target=wait_for_parent, name="parent", daemon=True).start()
    await work(stop, stop_now)
