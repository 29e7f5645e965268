"""The README and the page on methods tell what the registry holds."""

import re
from pathlib import Path

from typer.testing import CliRunner

import signalcam as sc
from signalcam.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")


def test_every_registered_method_has_its_row_in_the_readme():
    for method in sc.methods():
        assert f"| `{method.name}` | {method.summary} | yes | {method.paper} |" in README


def test_every_registered_method_has_one_row_in_the_page_on_methods_and_no_other_has():
    rows = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
    assert sorted(rows) == [method.name for method in sc.methods()]


def test_command_line_lists_every_registered_method():
    shown = CliRunner().invoke(app, ["methods"]).output
    for method in sc.methods():
        assert re.search(rf"^{re.escape(method.name)} +{re.escape(method.summary)}$", shown, re.MULTILINE)
        assert f"{method.family}; {method.passes}; {method.paper}" in shown


def test_every_metric_is_on_the_page_about_scores():
    page = (ROOT / "docs" / "score-a-map.md").read_text(encoding="utf-8")
    assert [name for name in sc.metrics.names() if f"`{name}`" not in page] == []
