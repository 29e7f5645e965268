"""Commands of ``signalcam``, one function each: parse options, call the package, print."""

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
from signalcam.data.collate import describe_error
from signalcam.errors import CamError, CamWarning, InputError, JobError, LayoutError
from signalcam.explainer.receptive_fields import PROBED_SAMPLES

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:FUNCTION", help="Function that returns the model; this folder is searched for modules, too."
    ),
]
Dims = Annotated[str | None, typer.Option(help='Names of the axes, samples first: "batch channel time".')]
Rate = Annotated[float | None, typer.Option(help="Sampling rate in Hz, if the data do not contain it.")]
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _print_version(show: bool) -> None:
    if show:
        print(f"signalcam {__version__}")
        raise typer.Exit


@contextmanager
def _errors_as_text() -> Iterator[None]:
    """Print an error as one sentence and exit with code 2."""
    try:
        yield
    except (CamError, OSError) as error:
        typer.echo(f"signalcam: {error}", err=True)
        raise typer.Exit(2) from error


@contextmanager
def _warnings_as_text() -> Iterator[None]:
    """Print each distinct warning as a sentence, once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CamWarning)
        try:
            yield
        finally:
            for text in dict.fromkeys(str(warning.message) for warning in caught):
                typer.echo(f"signalcam: {text}", err=True)


@contextmanager
def _model_errors_as_text(data: str | None) -> Iterator[None]:
    """Turn an exception of the model into an ``InputError`` that names the data."""
    try:
        yield
    except (CamError, OSError):
        raise
    except Exception as error:
        message = f"the model fails on {data}: {type(error).__name__}: {describe_error(error)}. Give data in the model's input shape, samples first."
        raise InputError(message) from error


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Show which part of a signal a neural network's output depends on."""


@app.command()
def demo(
    folder: Annotated[str, typer.Option(help="Folder for figures, report, result and summary.")] = "demo",
) -> None:
    """Explain a real electrocardiogram with a real trained network, in seconds."""
    from signalcam.demo.tour import run  # noqa: PLC0415 - so that --help is quick

    with _errors_as_text():
        print(run(folder))
    print(f"Written to {folder}/: ventricular.png, normal.png, scores.png, report.html, explanation.zarr, summary.txt.")


@app.command("layers")
def list_layers(
    model: ModelName,
    example: Annotated[str | None, typer.Argument(help="Data; the first samples are used.")] = None,
    layout: Dims = None,
    sampling_rate: Rate = None,
) -> None:
    """List the layers that can be explained, best first, with receptive field and reason."""
    from signalcam.cli.model_import import import_model  # noqa: PLC0415 - so that --help is quick

    with _errors_as_text(), _warnings_as_text():
        network = import_model(model)
        few, axes = _read_batch(example, layout, sampling_rate, PROBED_SAMPLES) if example else (None, layout)
        with _model_errors_as_text(example):
            print(sc.layers(network, few, layout=axes))


@app.command()
def explain(  # noqa: PLR0913, PLR0917 - one argument per option
    model: ModelName,
    data: Annotated[str, typer.Argument(help="File, folder or pattern that signalcam.data.open reads.")],
    to: Annotated[str, typer.Option(help="Path of the result; an existing one is replaced.")] = "maps.zarr",
    method: Annotated[
        list[str] | None, typer.Option(help="Method, as in: signalcam methods. Repeat for several.")
    ] = None,
    layer: Annotated[list[str] | None, typer.Option(help="Layer, as in: signalcam layers. Repeat for several.")] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="predicted, or a class by number or name. Repeat for several.")
    ] = None,
    layout: Dims = None,
    sampling_rate: Rate = None,
    class_name: Annotated[
        list[str] | None, typer.Option(help="Name of the first class. Repeat for the next classes.")
    ] = None,
) -> None:
    """Explain a model's outputs for data that fit in memory; for larger data see: signalcam run."""
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
    print(f"Saved to {to}. To look at it: signalcam view {to}")


def _read_batch(
    path: str, dims: str | None, rate: float | None, most: int | None = None
) -> tuple[sc.data.Batch, sc.Layout | None]:
    """Read data, or their first ``most`` samples, with the layout that the options name."""
    as_layout = sc.Layout(dims, sampling_rate=rate) if dims else None
    reader = sc.data.open(path)
    if rate is not None and as_layout is None:
        if reader.layout is None:
            message = f"--sampling-rate needs an axis of time, and {path} names no axes. Name them, too: --layout 'batch channel time'."
            raise LayoutError(message)
        reader = sc.data.open(path, layout=sc.Layout(reader.layout.dims, sampling_rate=rate))
    return reader.read(range(min(len(reader), most or len(reader)))), as_layout


def _parse_class(text: str, names: Sequence[str]) -> int | str:
    """Return a class by its number, unless the text is the name of a class."""
    is_number = text.removeprefix("-").isdecimal()
    return int(text) if is_number and text not in names else text


@app.command()
def doctor() -> None:
    """List what is installed, what is missing, and how to install it, without importing it."""
    from signalcam.cli.doctor import describe_installation  # noqa: PLC0415 - so that --help is quick

    print(describe_installation())


@app.command()
def evaluate(
    maps: Annotated[str, typer.Argument(help="A result saved by Explanation.save.")],
    model: Annotated[str, typer.Option(help="module:function that returns the explained model.")],
    metric: Annotated[list[str] | None, typer.Option(help="Name of a metric. Repeat for several.")] = None,
    measure: Annotated[str, typer.Option(help="probability, logit, log_odds or accuracy.")] = "probability",
    imputer: Annotated[str | None, typer.Option(help="Imputer that fills removed parts of the input.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed for ties, noise and confidence intervals.")] = 0,
    save: Annotated[bool, typer.Option("--save/--no-save", help="Save the scores with the result.")] = True,
) -> None:
    """Score saved maps and baselines, and say whether the maps can be trusted."""
    from signalcam.cli.evaluate import evaluate_stored  # noqa: PLC0415 - so that --help is quick

    with _errors_as_text(), _warnings_as_text():
        scored, summary = evaluate_stored(maps, model, metric, measure=measure, imputer=imputer, seed=seed)
        if save:
            scored.save(maps)
    print(summary)
    if save:
        print(f"Saved to {maps}.")


@app.command()
def report(
    maps: Annotated[str, typer.Argument(help="The output of a job, or a result saved by Explanation.save.")],
    to: Annotated[str, typer.Option(help="The file to write.")] = "report.html",
) -> None:
    """Write a saved result as one interactive offline page; of a job its means and first samples."""
    with _errors_as_text():
        load(maps).to_html(to)
    print(f"Written to {to}.")


@app.command()
def export(
    maps: Annotated[str, typer.Argument(help="The output of a job, or a result saved by Explanation.save.")],
    to: Annotated[str, typer.Option(help="The file to write: its name ends in .h5, .parquet or .npz.")],
    samples: Annotated[
        str | None, typer.Option(help="Range of samples, first:end, such as 0:1000; all by default.")
    ] = None,
) -> None:
    """Export the maps, scores and classes of a result of any size to one file for other programs."""
    from signalcam.io import load_lazy  # noqa: PLC0415 - so that --help is quick

    with _errors_as_text():
        load_lazy(maps).export(to, _parse_range(samples))
    print(f"Written to {to}.")


def _parse_range(text: str | None) -> slice | None:
    """Parse a range of samples, ``"0:1000"``; either end may be left out."""
    if text is None:
        return None
    start, colon, stop = text.partition(":")
    ends = [int(each) if each.strip().isdecimal() else None for each in (start, stop)]
    if not colon or any(each.strip() and end is None for each, end in zip((start, stop), ends, strict=True)):
        message = f"--samples is {text!r}, which is no range. Give first:end, such as 0:1000."
        raise InputError(message)
    return slice(*ends)


@app.command()
def view(
    maps: Annotated[str, typer.Argument(help="A result saved by Explanation.save.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Allow a --host that other machines can reach.")
    ] = False,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open a browser.")] = True,
) -> None:
    """View a saved result of any size in a browser, served from this machine until Ctrl-C."""
    from signalcam.report.server import is_loopback, serving  # noqa: PLC0415 - so that --help is quick

    try:
        with (
            suppress(KeyboardInterrupt),
            serving(maps, host, port, allow_remote=allow_remote) as server,
        ):
            if not is_loopback(host):
                warning = "anyone who can reach this machine and has the link can view the result; nothing is encrypted"
                typer.echo(f"signalcam: {warning}.", err=True)
            print(f"{maps} is served at {server.url} until Ctrl-C.", flush=True)
            if open_browser and _has_screen():
                webbrowser.open(server.url)
            Event().wait()
    except CamError as error:
        typer.echo(f"signalcam: {error}", err=True)
        raise typer.Exit(2) from error


def _has_screen() -> bool:
    """Whether a browser would open a window instead of taking over the terminal."""
    return sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


@app.command("methods")
def list_methods() -> None:
    """List all methods with family, cost and paper."""
    registry = methods()
    width = max(len(each.name) for each in registry)
    for method in registry:
        print(f"{method.name:<{width}} {method.summary}")
        print(f"{'':<{width}} {method.family}; {method.passes}; {method.paper}")


@app.command("run")
def run_job(
    file: Annotated[str, typer.Argument(help="The job file.")] = "job.toml",
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="section.name=value, overrides the file. Repeat for several.")
    ] = None,
    example: Annotated[bool, typer.Option("--init", help="Write a commented example of a job file instead.")] = False,
    log: Annotated[str | None, typer.Option(help="Log file to append to, one JSON object per line and event.")] = None,
) -> None:
    """Explain a whole data set into one store; after a stop, the same command resumes."""
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
            typer.echo(f"signalcam: stopped. {progress_line}The same command resumes.", err=True)
            raise typer.Exit(130) from None
        print(f"{place}: {status(place)}.")


def _write_example(file: Path) -> None:
    """Write a commented example of a job file."""
    from signalcam.jobs.template import EXAMPLE  # noqa: PLC0415 - needs pydantic

    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(EXAMPLE)
    except FileExistsError as error:
        message = f"{file} exists already. Give another name: signalcam run --init other.toml."
        raise JobError(message) from error
    print(f"{file} written. Edit it, then: signalcam run {file}")


@app.command("status")
def show_status(
    store: Annotated[str, typer.Argument(help="The output of a job.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the progress of a job: samples done, failed and quarantined, speed and time left."""
    with _errors_as_text():
        from signalcam.jobs import status  # noqa: PLC0415 - needs pydantic

        job_status = status(store)
        print(json.dumps(asdict(job_status)) if as_json else f"{store}: {job_status}.")


if __name__ == "__main__":
    app()
