"""The command line: parse, call, print."""

from typing import Annotated

import typer

from signalcam import __version__, load, methods
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
    print(f"Written to {folder}/: ventricular.png, normal.png, explanation.zarr, summary.txt.")


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
