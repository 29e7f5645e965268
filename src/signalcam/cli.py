"""The command line: parse, call, print."""

import warnings
from typing import Annotated

import typer

from signalcam import __version__, methods
from signalcam.errors import CamError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"signalcam {__version__}")
        raise typer.Exit


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
        str, typer.Option(help="Where to write figures, result and summary.")
    ] = "demo",
) -> None:
    """Explain a real electrocardiogram with a real trained network, in seconds."""
    from signalcam.demo.tour import run  # noqa: PLC0415 - so that --help is quick

    try:
        print(run(folder))
    except (CamError, OSError) as error:
        typer.echo(f"signalcam: {error}", err=True)
        raise typer.Exit(2) from error
    print(
        f"Written to {folder}/: ventricular.png, normal.png, scores.png, explanation.zarr, summary.txt."
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


@app.command("methods")
def list_methods() -> None:
    """List every method with its family, cost and paper."""
    known = methods()
    width = max(len(each.name) for each in known)
    for each in known:
        print(f"{each.name:<{width}} {each.summary}")
        print(f"{'':<{width}} {each.family}; {each.passes}; {each.paper}")


if __name__ == "__main__":
    app()
