"""The command line: parse, call, print."""

import json
import os
import sys
import warnings
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

import signalcam as sc
from signalcam import __version__, load, methods
from signalcam.data.collate import reason
from signalcam.errors import CamError, CamWarning, InputError, JobError, LayoutError
from signalcam.explainer.receptive_fields import PROBED_SAMPLES

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:FUNCTION", help="What returns the model; modules are also looked for in this folder."
    ),
]
Dims = Annotated[str | None, typer.Option(help='What the axes are, samples first: "batch channel time".')]
Rate = Annotated[float | None, typer.Option(help="Samples a second along time, where the data do not say.")]
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _print_version(show: bool) -> None:
    if show:
        print(f"signalcam {__version__}")
        raise typer.Exit


@contextmanager
def _errors_as_text() -> Iterator[None]:
    """Tell what went wrong in one sentence, and end with exit code 2."""
    try:
        yield
    except (CamError, OSError) as error:
        typer.echo(f"signalcam: {error}", err=True)
        raise typer.Exit(2) from error


@contextmanager
def _warnings_as_text() -> Iterator[None]:
    """Tell warnings as sentences, too, and each once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CamWarning)
        try:
            yield
        finally:
            for text in dict.fromkeys(str(warning.message) for warning in caught):
                typer.echo(f"signalcam: {text}", err=True)


@contextmanager
def _model_errors_as_text(data: str | None) -> Iterator[None]:
    """Tell in a sentence also what a network says to data that are not its own."""
    try:
        yield
    except (CamError, OSError):
        raise
    except Exception as error:
        message = f"the model fails on {data}: {type(error).__name__}: {reason(error)}. Give data in the shape that it takes, samples first."
        raise InputError(message) from error


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Show which part of a signal made a neural network say what it said."""


@app.command()
def demo(
    folder: Annotated[str, typer.Option(help="Where to write figures, report, result and summary.")] = "demo",
) -> None:
    """Explain a real electrocardiogram with a real trained network, in seconds."""
    from signalcam.demo.tour import run  # noqa: PLC0415 - so that --help is quick

    with _errors_as_text():
        print(run(folder))
    print(f"Written to {folder}/: ventricular.png, normal.png, scores.png, report.html, explanation.zarr, summary.txt.")


@app.command("layers")
def list_layers(
    model: ModelName,
    example: Annotated[str | None, typer.Argument(help="Data, of which the first samples are used.")] = None,
    layout: Dims = None,
    sampling_rate: Rate = None,
) -> None:
    """List the layers that maps can be drawn at, best first, with what each sees and why to choose it."""
    from signalcam.cli.model_import import import_model  # noqa: PLC0415 - so that --help is quick

    with _errors_as_text(), _warnings_as_text():
        network = import_model(model)
        few, axes = _read_batch(example, layout, sampling_rate, PROBED_SAMPLES) if example else (None, layout)
        with _model_errors_as_text(example):
            print(sc.layers(network, few, layout=axes))


@app.command()
def explain(  # noqa: PLR0913, PLR0917 - one an option
    model: ModelName,
    data: Annotated[str, typer.Argument(help="A file, folder or pattern that signalcam.data.open reads.")],
    to: Annotated[str, typer.Option(help="Where to keep the result; one that is there is replaced.")] = "maps.zarr",
    method: Annotated[list[str] | None, typer.Option(help="As signalcam methods lists them; again for more.")] = None,
    layer: Annotated[list[str] | None, typer.Option(help="As signalcam layers lists them; again for more.")] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="predicted, or a class by number or name; again for more.")
    ] = None,
    layout: Dims = None,
    sampling_rate: Rate = None,
    class_name: Annotated[list[str] | None, typer.Option(help="Of the first class; again for the next ones.")] = None,
) -> None:
    """Explain what a model says to some data, all at once in memory; signalcam run takes what is larger."""
    from signalcam.cli.model_import import import_model  # noqa: PLC0415 - so that --help is quick

    with _errors_as_text(), _warnings_as_text():
        network = import_model(model)
        batch, axes = _read_batch(data, layout, sampling_rate)
        with _model_errors_as_text(data):
            targets = [_parse_class(each, class_name or ()) for each in target or ("predicted",)]
            exp = sc.explain(
                network,
                batch,
                method=method or "grad-cam",
                layer=layer,
                target=targets,
                layout=axes,
                class_names=class_name,
            )
        exp.save(to)
    print(exp)
    print(f"Kept in {to}. To look at it: signalcam view {to}")


def _read_batch(
    path: str, dims: str | None, rate: float | None, most: int | None = None
) -> tuple[sc.data.Batch, sc.Layout | None]:
    """Read data, or their first samples, and say what is asked of their axes."""
    as_layout = sc.Layout(dims, sampling_rate=rate) if dims else None
    reader = sc.data.open(path)
    if rate is not None and as_layout is None:
        if reader.layout is None:
            message = f"{path} does not say which of its axes is time, so --sampling-rate means nothing. Name the axes, too: --layout 'batch channel time'."
            raise LayoutError(message)
        reader = sc.data.open(path, layout=sc.Layout(reader.layout.dims, sampling_rate=rate))
    return reader.read(range(min(len(reader), most or len(reader)))), as_layout


def _parse_class(text: str, names: Sequence[str]) -> int | str:
    """A class by its number, unless one is called so."""
    is_number = text.removeprefix("-").isdecimal()
    return int(text) if is_number and text not in names else text


@app.command()
def doctor() -> None:
    """Say what is installed, what is missing, and which line brings it; nothing is imported to find out."""
    from signalcam.cli.doctor import describe_installation  # noqa: PLC0415 - so that --help is quick

    print(describe_installation())


@app.command()
def evaluate(
    maps: Annotated[str, typer.Argument(help="A result that Explanation.save wrote.")],
    model: Annotated[str, typer.Option(help="module:function that returns the model explained.")],
    metric: Annotated[list[str] | None, typer.Option(help="A metric's name; again for more.")] = None,
    measure: Annotated[str, typer.Option(help="probability, logit, log_odds or accuracy.")] = "probability",
    imputer: Annotated[str | None, typer.Option(help="What stands in for what is taken away.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of ties, noise and intervals.")] = 0,
    save: Annotated[bool, typer.Option("--save/--no-save", help="Whether to write the scores into the result.")] = True,
) -> None:
    """Score saved maps beside baselines that they must beat, and say whether to read them."""
    from signalcam.cli.evaluate import evaluate_stored  # noqa: PLC0415 - so that --help is quick

    with _errors_as_text(), _warnings_as_text():
        scored, summary = evaluate_stored(maps, model, metric, measure=measure, imputer=imputer, seed=seed)
        if save:
            scored.save(maps)
    print(summary)
    if save:
        print(f"Kept in {maps}.")


@app.command()
def report(
    maps: Annotated[str, typer.Argument(help="The output of a job, or a result that Explanation.save wrote.")],
    to: Annotated[str, typer.Option(help="The file to write.")] = "report.html",
) -> None:
    """Write a saved result as one page to click through, which needs no network; of a job its means and first samples."""
    with _errors_as_text():
        load(maps).to_html(to)
    print(f"Written to {to}.")


@app.command()
def export(
    maps: Annotated[str, typer.Argument(help="The output of a job, or a result that Explanation.save wrote.")],
    to: Annotated[str, typer.Option(help="The file to write: its name ends in .h5, .parquet or .npz.")],
    samples: Annotated[str | None, typer.Option(help="Some of them, as first:end, 0:1000; all by default.")] = None,
) -> None:
    """Write maps and what is said of each sample to one file that other programs read, of any size."""
    from signalcam.io import load_lazy  # noqa: PLC0415 - so that --help is quick

    with _errors_as_text():
        load_lazy(maps).export(to, _parse_range(samples))
    print(f"Written to {to}.")


def _parse_range(text: str | None) -> slice | None:
    """Samples from a first to before another, ``"0:1000"``; either may be left out."""
    if text is None:
        return None
    start, colon, stop = text.partition(":")
    ends = [int(each) if each.strip().isdecimal() else None for each in (start, stop)]
    if not colon or any(each.strip() and end is None for each, end in zip((start, stop), ends, strict=True)):
        message = f"--samples is {text!r}; give the first and where to end, as in 0:1000."
        raise InputError(message)
    return slice(*ends)


@app.command()
def view(
    maps: Annotated[str, typer.Argument(help="A result that Explanation.save wrote.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="On which port; 0 for any that is free.")] = 0,
    host: Annotated[str, typer.Option(help="What to listen on.")] = "127.0.0.1",
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Let --host be one that other machines reach.")
    ] = False,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Whether to open a browser.")] = True,
) -> None:
    """Look at a saved result of any size, served from the store on this machine, until Ctrl-C."""
    from signalcam.report.server import is_loopback, serving  # noqa: PLC0415 - so that --help is quick

    try:
        with (
            suppress(KeyboardInterrupt),
            serving(maps, host, port, allow_remote=allow_remote) as server,
        ):
            if not is_loopback(host):
                warning = (
                    "anyone who can reach this machine and has the link can look, and nothing is encrypted on the way"
                )
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
    return sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


@app.command("methods")
def list_methods() -> None:
    """List every method with its family, cost and paper."""
    registry = methods()
    width = max(len(each.name) for each in registry)
    for method in registry:
        print(f"{method.name:<{width}} {method.summary}")
        print(f"{'':<{width}} {method.family}; {method.passes}; {method.paper}")


@app.command("run")
def run_job(
    file: Annotated[str, typer.Argument(help="The job file.")] = "job.toml",
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="section.name=value, in place of the file's.")
    ] = None,
    example: Annotated[bool, typer.Option("--init", help="Write a commented example there instead.")] = False,
    log: Annotated[str | None, typer.Option(help="A file to append to: a JSON object a line for what happens.")] = None,
) -> None:
    """Explain a whole data set into one store; the same command again goes on where it was stopped."""
    with _errors_as_text(), _warnings_as_text():
        from signalcam.jobs import Job, status  # noqa: PLC0415 - needs pydantic
        from signalcam.jobs.run import run_job  # noqa: PLC0415 - needs pydantic

        if example:
            _write_example(Path(file))
            return
        job = Job.read(file, changes or ())
        place = job.path(job.output.path)
        try:
            run_job(job, progress=True, log=log)
        except KeyboardInterrupt:
            progress_line = f"{status(place)}. " if place.exists() else ""
            typer.echo(f"signalcam: stopped. {progress_line}The same command goes on.", err=True)
            raise typer.Exit(130) from None
        print(f"{place}: {status(place)}.")


def _write_example(file: Path) -> None:
    from signalcam.jobs.template import EXAMPLE  # noqa: PLC0415 - needs pydantic

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
    with _errors_as_text():
        from signalcam.jobs import status  # noqa: PLC0415 - needs pydantic

        job_status = status(store)
        print(json.dumps(asdict(job_status)) if as_json else f"{store}: {job_status}.")


if __name__ == "__main__":
    app()
