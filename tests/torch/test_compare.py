"""Methods side by side on a trained network whose cause is known."""

import numpy as np
import pytest
from typer.testing import CliRunner

import signalcam as sc
from signalcam.attribution.gradient import random_cam
from signalcam.cli import app
from signalcam.demo.network import load
from signalcam.metrics import compare

METHODS = ["grad-cam", "guided-grad-cam", "score-cam"]
pytestmark = pytest.mark.filterwarnings("ignore::signalcam.CamWarning")  # of the imputers'


@pytest.fixture(scope="module")
def data():
    return sc.synthetic.planted(samples=30, seed=1)


@pytest.fixture(scope="module")
def network():
    return sc.synthetic.train(sc.synthetic.planted(samples=300))


@pytest.fixture(scope="module")
def found(network, data):
    options = {"layout": data.layout, "truth": data.truth, "tolerance": 0.01, "labels": data.labels.tolist()}
    return compare(network, data.inputs, METHODS, metrics=["deletion", "mass-accuracy"], **options)


def test_scores_are_those_of_evaluate_with_maps_at_the_input_on_the_same_windows(found, network, data):
    exp = sc.explain(network, data.inputs, layout=data.layout, method=["grad-cam", "score-cam"])
    alone = sc.metrics.evaluate(exp, network, "deletion", baselines=["guided-grad-cam", "random-cam", "input-energy"])
    both = found.table["value"].sel(metric="deletion")
    for method in (*METHODS, "random-cam", "input-energy"):
        chosen = {"cam": method}
        np.testing.assert_allclose(both.sel(chosen), alone["value"].sel(metric="deletion").sel(chosen), atol=1e-6)


def test_localisation_is_that_of_each_method_alone(found, network, data):
    for method in ("guided-grad-cam", "random-cam"):
        exp = sc.explain(network, data.inputs, layout=data.layout, method=method)
        alone = sc.metrics.localisation(exp, data.truth, "mass-accuracy", tolerance=0.01)
        both = found.table["value"].sel(metric="mass-accuracy").sel(cam=[method])
        np.testing.assert_allclose(both, alone["mass-accuracy"], atol=1e-6)


def test_comparison_prints_a_table_and_a_verdict_and_keeps_the_maps(found):
    assert "guided-grad-cam" in repr(found)
    assert repr(found).endswith(found.verdict)
    assert found.exp.methods == ("grad-cam", "score-cam", "random-cam")
    assert found.exp.metrics["metric"].values.tolist() == ["mass-accuracy", "deletion"]
    assert found.exp.true_classes is not None


def test_figure_has_a_panel_a_metric_and_a_dot_where_each_mean_is(found):
    panels = found.plot().axes
    assert [ax.get_title().splitlines()[0] for ax in panels] == ["mass-accuracy", "deletion"]
    assert [each.get_text() for each in panels[0].get_yticklabels()] == [*METHODS, "random-cam", "input-energy"]
    dots = [line.get_xdata()[0] for line in panels[1].lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots, found.table["mean"].sel(metric="deletion").squeeze())


def test_title_of_a_figure_tells_the_scores_of_its_sample(found):
    title = found.exp.plot(3, method="score-cam").get_title(loc="left").splitlines()[-1]
    value = found.table["value"].sel(metric="deletion").sel(cam="score-cam")[3].item()
    assert f"deletion {value:.2f}" in title
    assert "(random-cam " in title


def test_costs_are_told(found):
    assert (found.table["seconds"] > 0).all()
    assert found.table["passes"].sel(cam="grad-cam").item() == "1 forward, 1 backward"


def test_random_methods_alone_are_not_worth_reading(network, data):
    drawn = [
        sc.Method(f"random {seed}", random_cam(seed).formula, "", "baseline", needs_gradients=False) for seed in (1, 2)
    ]
    said = compare(network, data.inputs, drawn, metrics="deletion", layout=data.layout).verdict
    assert said.startswith("No method beats random-cam and input-energy on deletion: do not read")


def test_layers_and_a_target_that_is_no_class_are_compared(network, data):
    asked = sc.Regression(0)
    found = compare(
        network, data.inputs, "grad-cam", layers=["relu2", "relu3"], metrics="deletion", target=asked, measure="logit"
    )
    assert found.table["rank"].shape == (1, 1, 3, 2)
    assert "grad-cam at relu2" in repr(found)


def test_raw_signals_are_compared_on_what_the_network_is_given(network, data):
    found = compare(
        network,
        2 * data.inputs,
        "grad-cam",
        metrics=["deletion", "iou"],
        layout=data.layout,
        preprocess=lambda x: x / 2,
        truth=data.truth,
    )
    plain = compare(network, data.inputs, "grad-cam", metrics=["deletion", "iou"], layout=data.layout, truth=data.truth)
    np.testing.assert_allclose(found.table["mean"], plain.table["mean"], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metrics": "iou"}, "'iou' needs to know where the cause is"),
        ({"lables": [0]}, "no option 'lables'"),
        ({"baselines": []}, "an empty list"),
        ({"methods": "random-cam"}, "methods holds baselines only"),
        ({"metrics": []}, "an empty list"),
        ({"methods": sc.PerChannel("grad-cam")}, "maps every channel"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(network, data, options, said):
    with pytest.raises(sc.CamError, match=said):
        compare(network, data.inputs, **options)


# --- the command line ----------------------------------------------------------------------------

MODEL = "signalcam.demo.network:load"


@pytest.fixture
def saved(tmp_path):
    inputs = np.random.default_rng(0).standard_normal((12, 1, 240)).astype(np.float32)
    sc.explain(load(), inputs, target=1, signed=True).save(tmp_path / "maps.zarr")
    return tmp_path / "maps.zarr"


def command(*words):
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


def test_saved_maps_are_scored_and_the_scores_kept_beside_them(saved):
    done = command(saved, "--model", MODEL, "--metric", "deletion", "--metric", "road")
    assert done.exit_code == 0, done.output
    assert "deletion (lower is better): best is grad-cam" in done.stdout
    scores = sc.load(saved).metrics
    assert scores["metric"].values.tolist() == ["deletion", "road"]
    alone = sc.metrics.evaluate(sc.load(saved), load(), ["deletion", "road"])
    np.testing.assert_allclose(scores["value"], alone["value"])
    command(saved, "--model", MODEL, "--metric", "insertion", "--measure", "logit")
    assert sc.load(saved).metrics["measure"].values.tolist() == ["probability", "probability", "logit"]


def test_scores_are_only_printed_where_they_shall_not_be_saved(saved):
    assert command(saved, "--model", MODEL, "--metric", "deletion", "--no-save").exit_code == 0
    assert sc.load(saved).metrics is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "nothing_there:load"], "no model came from 'nothing_there:load': ModuleNotFoundError"),
        (["--model", "signalcam.demo.network"], "names no model. Write module:function"),
        (["--model", "signalcam:__version__"], "str"),
        (["--model", MODEL, "--metric", "deletoin"], "there is no metric 'deletoin'"),
        (["--model", MODEL, "--measure", "sureness"], "sureness"),
    ],
)
def test_bad_input_ends_with_2_and_one_sentence(saved, words, said):
    done = command(saved, *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stderr.startswith("signalcam: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert sc.load(saved).metrics is None


def test_store_that_is_not_there_is_told(tmp_path):
    done = command(tmp_path / "none", "--model", MODEL)
    assert (done.exit_code, done.stderr.startswith("signalcam: there is nothing at ")) == (2, True)
