"""Listing layers and explaining from the command line: the same numbers, and sentences for what goes wrong."""

import numpy as np
import pytest
from typer.testing import CliRunner

import signalcam as sc
from signalcam.cli import app
from signalcam.demo.network import load

MODEL = "signalcam.demo.network:load"
AXES = ("--layout", "batch channel time", "--sampling-rate", "100")


@pytest.fixture
def beats(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    signals = np.random.default_rng(0).standard_normal((4, 1, 200)).astype("float32")
    np.save("beats.npy", signals)
    return signals


def run(*words):
    return CliRunner().invoke(app, [str(each) for each in words])


def said(*words):
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*words):
    """The one sentence of what went wrong."""
    result = run(*words)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("signalcam: ")
    return line


# --- layers --------------------------------------------------------------------------------------


def test_layers_are_the_table_of_layers(beats):
    layout = sc.Layout("batch channel time", sampling_rate=100)
    assert said("layers", MODEL, "beats.npy", *AXES) == f"{sc.layers(load(), beats, layout=layout)}\n"


def test_layers_without_an_example_are_listed_by_name():
    assert said("layers", MODEL) == f"{sc.layers(load())}\n"


def test_layers_of_an_example_that_does_not_fit_are_refused(beats):
    np.save("wide.npy", np.zeros((2, 3, 200), "float32"))
    line = refused("layers", MODEL, "wide.npy")
    assert "the model fails on wide.npy: RuntimeError: " in line
    assert "samples first" in line


# --- explain -------------------------------------------------------------------------------------


def test_explain_keeps_what_explain_returns_and_says_it(beats):
    shown = said("explain", MODEL, "beats.npy", *AXES, "--to", "kept.zarr")
    wanted = sc.explain(load(), beats, layout=sc.Layout("batch channel time", sampling_rate=100))
    kept = sc.load("kept.zarr")
    np.testing.assert_array_equal(kept.maps.values, wanted.maps.values)
    np.testing.assert_array_equal(kept.maps.time.values, np.arange(200) / 100)
    assert shown == f"{wanted}\nSaved to kept.zarr. To look at it: signalcam view kept.zarr\n"


def test_explain_takes_several_of_each(beats):
    classes = ("--class-name", "quiet", "--class-name", "1")
    asked = (
        "--method",
        "grad-cam",
        "--method",
        "hires-cam",
        "--layer",
        "relu2",
        "--layer",
        "relu3",
    )
    said("explain", MODEL, "beats.npy", *asked, "--target", "0", "--target", "1", "--target", "predicted", *classes)
    kept = sc.load("maps.zarr")
    assert kept.methods == ("grad-cam", "hires-cam")
    assert kept.layer_names == ("relu2", "relu3")
    assert kept.targets == ("quiet", "1", "predicted")
    assert kept.class_names == ("quiet", "1")


def test_explain_knows_the_labels_of_the_data(beats):
    np.savez("beats.npz", x=beats, y=[0, 1, 1, 0])
    said("explain", MODEL, "beats.npz")
    assert sc.load("maps.zarr").true_classes.tolist() == [0, 1, 1, 0]


def test_a_rate_is_enough_where_the_data_say_what_time_is(beats):
    np.savetxt("beat.csv", beats[0].T, header="II", comments="")
    said("explain", MODEL, "beat.csv", "--sampling-rate", 50)
    kept = sc.load("maps.zarr")
    assert kept.maps.time.values[-1] == 199 / 50
    np.testing.assert_allclose(kept.maps.values, sc.explain(load(), beats[:1]).maps.values, atol=1e-6)


def test_samples_that_cannot_be_read_are_told_and_the_others_explained(beats):
    beats[2, 0, 5] = np.nan
    np.save("beats.npy", beats)
    result = run("explain", MODEL, "beats.npy")
    assert result.exit_code == 0
    assert "signalcam: 1 of 4 samples could not be read and are left out." in result.stderr
    assert sc.load("maps.zarr").sample_names == (0, 1, 3)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("none.npy",), "nothing found at 'none.npy'"),
        (("beats.npy", "--method", "gard-cam"), "there is no method 'gard-cam'. Nearest: 'grad-cam'"),
        (("beats.npy", "--layer", "relu9"), "layer 'relu9' is not in BeatNet"),
        (("beats.npy", "--target", "2"), "class 2 does not exist"),
        (("beats.npy", "--target", "quiet"), "there is no class 'quiet'"),
        (("beats.npy", "--layout", "batch time"), "needs 2 axes"),
        (("beats.npy", "--layout", "time batch"), "batch first"),
        (("beats.npy", "--sampling-rate", "100"), "--layout 'batch channel time'"),
        (("beats.npy", *AXES[:3], "0"), "above 0"),
        (("beats.npy", "--to", "beats.npy"), "nothing was changed"),
    ],
)
def test_what_cannot_be_explained_is_refused_in_a_sentence(beats, words, sentence):
    assert sentence in refused("explain", MODEL, *words)


@pytest.mark.parametrize("model", ["nowhere", "nowhere:load", "signalcam.demo.network:CLASSES"])
@pytest.mark.parametrize("command", ["explain", "layers"])
def test_what_names_no_model_is_refused_in_a_sentence(beats, command, model):
    assert "model" in refused(command, model, "beats.npy")


@pytest.mark.parametrize("command", ["explain", "layers"])
def test_help_says_what_to_type(command):
    shown = said(command, "--help")
    for word in ("MODULE:FUNCTION", "--layout", "--sampling-rate"):
        assert word in shown
