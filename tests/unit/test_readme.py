"""The README tells what the registry holds."""

from pathlib import Path

import signalcam as sc

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_every_registered_method_has_its_row_in_the_readme():
    for method in sc.methods():
        assert f"| `{method.name}` | {method.summary} | yes | {method.paper} |" in README
