"""The entry point: registers the commands, and turns an error of ours into one line and an exit code."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from onbrand import __version__
from onbrand.cli.api import api
from onbrand.cli.backup import backup_command
from onbrand.cli.bench import bench_command
from onbrand.cli.budget import budget_command
from onbrand.cli.clean import clean_command
from onbrand.cli.dataset.app import app as dataset_app
from onbrand.cli.doctor import doctor
from onbrand.cli.evaluate import evaluate_command
from onbrand.cli.generate import generate_command
from onbrand.cli.migrate import migrate
from onbrand.cli.openapi import openapi
from onbrand.cli.pack.app import app as pack_app
from onbrand.cli.reproduce import reproduce_command
from onbrand.cli.restore import restore_command
from onbrand.cli.review.app import app as review_app
from onbrand.cli.stats import stats_command
from onbrand.cli.token import token
from onbrand.cli.train import train_command
from onbrand.cli.up import up
from onbrand.cli.worker import worker
from onbrand.errors import DatabaseUnavailable, ImageStoreUnavailable, OnbrandError, SetupError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
# `--help` lists the commands in this order.
app.command()(up)
app.command()(api)
app.command()(worker)
app.command()(migrate)
app.command("generate")(generate_command)
app.command("reproduce")(reproduce_command)
app.command("train")(train_command)
app.command("evaluate")(evaluate_command)
app.command()(token)
app.command()(doctor)
app.command("bench")(bench_command)
app.command("clean")(clean_command)
app.command("backup")(backup_command)
app.command("restore")(restore_command)
app.command("stats")(stats_command)
app.command("budget")(budget_command)
app.command(hidden=True)(openapi)
app.add_typer(dataset_app, name="dataset")
app.add_typer(pack_app, name="pack")
app.add_typer(review_app, name="review")


def main() -> None:
    """Run one command. The exit code is 0 on success, 2 for wrong usage and 78 for a wrong configuration."""
    try:
        app()
    except SetupError as error:
        sys.stderr.write(f"onbrand: {error.message}\n")
        sys.exit(error.exit_code)
    except (
        DatabaseUnavailable,
        ImageStoreUnavailable,
    ) as error:  # their own messages are written for a user of the page
        part = "database" if isinstance(error, DatabaseUnavailable) else "image store"
        sys.stderr.write(
            f"onbrand: The {part} doesn't answer, so this ended early. What was done before stays done. `onbrand"
            " doctor` says what to look at; then run this again.\n"
        )
        sys.exit(1)
    except OnbrandError as error:
        sys.stderr.write(f"onbrand: {error.message}\n")
        sys.exit(1)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Onbrand draws four illustrations in the studio's own style from one prompt."""
    if show:
        typer.echo(__version__)
        raise typer.Exit
