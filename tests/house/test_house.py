"""The rules for names, files and sentences that a formatter does not know."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

import signalcam

ROOT = Path(signalcam.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
MOST_LINES = 400
MOST_WORDS = 32  # in a sentence; about 20 is the aim
PARTICIPLES = {
    "added",
    "asked",
    "beside",
    "brought",
    "carried",
    "chosen",
    "drawn",
    "felt",
    "fixed",
    "found",
    "given",
    "held",
    "joined",
    "judged",
    "kept",
    "known",
    "listed",
    "made",
    "measured",
    "named",
    "placed",
    "planned",
    "said",
    "seen",
    "settled",
    "shown",
    "sliced",
    "spelt",
    "taken",
    "told",
    "wanted",
}
OPAQUE = ("the same, ", "what is told", "looked behind", "lies under heat", "put out", "what lies behind", "as above")


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def documented(tree):
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    return [(node, ast.get_docstring(node)) for node in ast.walk(tree) if isinstance(node, kinds)]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def test_top_level_holds_packages_and_at_most_three_modules():
    assert len(list(ROOT.glob("*.py"))) <= 3


def test_class_names_are_unique():
    classes = Counter(node.name for path in FILES for node in ast.walk(tree_of(path)) if isinstance(node, ast.ClassDef))
    assert [name for name, count in classes.items() if count > 1] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_file_is_short_and_formatted_throughout(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert "fmt: " + "skip" not in text


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_bare_participle_is_a_name(path):
    names = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name.strip("_").lower())
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id.strip("_").lower())
        elif isinstance(node, ast.arg):
            names.add(node.arg.strip("_").lower())
    assert names & PARTICIPLES == set()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_each_is_a_name_in_comprehensions_of_one_line_only(path):
    wrong = []
    for node in ast.walk(tree_of(path)):
        stored = [
            x for x in ast.walk(node) if isinstance(x, ast.Name) and x.id == "each" and isinstance(x.ctx, ast.Store)
        ]
        if isinstance(node, ast.For | ast.Assign | ast.AnnAssign | ast.NamedExpr):
            target = node.target if not isinstance(node, ast.Assign) else node.targets[0]
            wrong += [x.lineno for x in ast.walk(target) if isinstance(x, ast.Name) and x.id == "each"]
        if isinstance(node, ast.arguments):
            wrong += [arg.lineno for arg in [*node.args, *node.kwonlyargs] if arg.arg == "each"]
        if (
            isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp)
            and node.lineno != node.end_lineno
        ):
            wrong += [x.lineno for x in stored if any(x in set(ast.walk(g.target)) for g in node.generators)]
    assert sorted(set(wrong)) == []


def faults_of(node, text):
    where = f"{getattr(node, 'name', 'module')}: "
    if any(phrase in text.lower() for phrase in OPAQUE) or text.startswith("The same"):
        yield where + text.splitlines()[0]
    prose = re.sub(r">>>.*|\.\.\. .*|[├└].*", "", text)
    for sentence in re.split(r"(?<=[.:;])\s+|\n\n|\n(?=\s*\w+:)", prose):
        if len(sentence.split()) > MOST_WORDS:
            yield f"{where}{len(sentence.split())} words: {' '.join(sentence.split())[:80]}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_docstrings_are_plain(path):
    wrong = [line for node, text in documented(tree_of(path)) if text for line in faults_of(node, text)]
    assert wrong == []
