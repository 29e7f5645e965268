"""The command line: parse, call, print."""

import json
import os
import sys
import warnings
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from signalcam import __version__, load, methods
from signalcam.errors import CamError, JobError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"signalcam {__version__}")
        raise typer.Exit


@contextmanager
def _told() -> Iterator[None]:
    """Tell what went wrong in one sentence, and end with exit code 2."""
    try:
        yield
    except (CamError, OSError) as error:
        typer.echo(f"signalcam: {error}", err=True)
        raise typer.Exit(2) from error


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Show which part of a signal made a neural network say what it said."""


@app.command()
def demo(
    folder: Annotated[
        str, typer.Option(help="Where to write figures, report, result and summary.")
    ] = "demo",
) -> None:
    """Explain a real electrocardiogram with a real trained network, in seconds."""
    from signalcam.demo.tour import run  # noqa: PLC0415 - so that --help is quick

    with _told():
        print(run(folder))
    print(
        f"Written to {folder}/: ventricular.png, normal.png, scores.png, report.html, explanation.zarr, summary.txt."
    )


@app.command()
def evaluate(
    maps: Annotated[str, typer.Argument(help="A result that Explanation.save wrote.")],
    model: Annotated[str, typer.Option(help="module:function that returns the model explained.")],
    metric: Annotated[
        list[str] | None, typer.Option(help="A metric's name; again for more.")
    ] = None,
    measure: Annotated[
        str, typer.Option(help="probability, logit, log_odds or accuracy.")
    ] = "probability",
    imputer: Annotated[
        str | None, typer.Option(help="What stands in for what is taken away.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of ties, noise and intervals.")] = 0,
    save: Annotated[
        bool, typer.Option("--save/--no-save", help="Whether to write the scores into the result.")
    ] = True,
) -> None:
    """Score saved maps beside baselines that they must beat, and say whether to read them."""
    from signalcam.metrics.stored import evaluated  # noqa: PLC0415 - so that --help is quick

    try:
        with warnings.catch_warnings(record=True) as told:
            scored, said = evaluated(maps, model, metric, measure=measure, imputer=imputer, seed=seed)  # fmt: skip
            if save:
                scored.save(maps)
    except CamError as error:
        typer.echo(f"signalcam: {error}", err=True)
        raise typer.Exit(2) from error
    for each in told:
        typer.echo(f"signalcam: {each.message}", err=True)
    print(said)
    if save:
        print(f"Kept in {maps}.")


@app.command()
def report(
    maps: Annotated[str, typer.Argument(help="A result that Explanation.save wrote.")],
    to: Annotated[str, typer.Option(help="The file to write.")] = "report.html",
) -> None:
    """Write a saved result as one page to click through, which needs no network."""
    try:
        load(maps).to_html(to)
    except CamError as error:
        typer.echo(f"signalcam: {error}", err=True)
        raise typer.Exit(2) from error
    print(f"Written to {to}.")


@app.command()
def view(
    maps: Annotated[str, typer.Argument(help="A result that Explanation.save wrote.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="On which port; 0 for any that is free.")
    ] = 0,
    host: Annotated[str, typer.Option(help="What to listen on.")] = "127.0.0.1",
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Let --host be one that other machines reach.")
    ] = False,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Whether to open a browser.")
    ] = True,
) -> None:
    """Look at a saved result of any size, served from the store on this machine, until Ctrl-C."""
    from signalcam.report.server import is_loopback, serving  # noqa: PLC0415 - so that --help is quick

    try:
        with (
            suppress(KeyboardInterrupt),
            serving(maps, host, port, allow_remote=allow_remote) as server,
        ):
            if not is_loopback(host):
                warning = "anyone who can reach this machine and has the link can look, and nothing is encrypted on the way"
                typer.echo(f"signalcam: {warning}.", err=True)
            print(f"{maps} is shown at {server.url} until Ctrl-C.", flush=True)
            if open_browser and _has_screen():
                webbrowser.open(server.url)
            Event().wait()
    except CamError as error:
        typer.echo(f"signalcam: {error}", err=True)
        raise typer.Exit(2) from error


def _has_screen() -> bool:
    """Whether a browser would open a window, and not take over the terminal."""
    return sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))  # fmt: skip


@app.command("methods")
def list_methods() -> None:
    """List every method with its family, cost and paper."""
    known = methods()
    width = max(len(each.name) for each in known)
    for each in known:
        print(f"{each.name:<{width}} {each.summary}")
        print(f"{'':<{width}} {each.family}; {each.passes}; {each.paper}")


@app.command("run")
def run_job(
    file: Annotated[str, typer.Argument(help="The job file.")] = "job.toml",
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="section.name=value, in place of the file's.")
    ] = None,
    example: Annotated[
        bool, typer.Option("--init", help="Write a commented example there instead.")
    ] = False,
) -> None:
    """Explain a whole data set into one store; the same command again goes on where it was stopped."""
    with _told():
        from signalcam.jobs import Job, status  # noqa: PLC0415 - needs pydantic
        from signalcam.jobs.driver import drive  # noqa: PLC0415 - needs pydantic

        if example:
            _write_example(Path(file))
            return
        job = Job.read(file, changes or ())
        place = job.path(job.output.path)
        try:
            drive(job, progress=True)
        except KeyboardInterrupt:
            told = f"{status(place)}. " if place.exists() else ""
            typer.echo(f"signalcam: stopped. {told}The same command goes on.", err=True)
            raise typer.Exit(130) from None
        print(f"{place}: {status(place)}.")


def _write_example(file: Path) -> None:
    from signalcam.jobs.job import EXAMPLE  # noqa: PLC0415 - needs pydantic

    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(EXAMPLE)
    except FileExistsError as error:
        message = f"{file} is there already. Give another name: signalcam run --init other.toml."
        raise JobError(message) from error
    print(f"{file} written. Change it, then: signalcam run {file}")


@app.command("status")
def show_status(
    store: Annotated[str, typer.Argument(help="The output of a job.")],
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Say how far a job is: done, failed, quarantined, how fast, how long to go."""
    with _told():
        from signalcam.jobs import status  # noqa: PLC0415 - needs pydantic

        known = status(store)
        print(json.dumps(asdict(known)) if as_json else f"{store}: {known}.")


if __name__ == "__main__":
    app()
