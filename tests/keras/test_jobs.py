"""A Keras model in its own file is explained by a job, and runs no code that was hidden in it."""

import keras
import numpy as np
import pytest

import signalcam as sc


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "windows.npy", rng.normal(size=(12, 40, 2)).astype("float32"))
    return tmp_path


def test_a_keras_file_is_a_whole_network(data):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((40, 2)),
            layers.Conv1D(4, 7, activation="relu", name="conv"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3),
        ]
    )
    model.save(data / "model.keras")
    kept = sc.Job(
        data="windows.npy",
        model={"weights": "model.keras"},
        output="maps.zarr",
        explain={"layer": "conv"},
        units={"size": 8, "batch": 4},
        folder=data,
    ).run()
    exp = sc.explain(model, np.load(data / "windows.npy"), layer="conv", batch_size=4)
    np.testing.assert_allclose(kept.scores, exp.scores, rtol=1e-5)
    largest = np.abs(exp.layers[0].values).max(axis=-1, keepdims=True)
    assert (np.abs(kept.layers[0].values[:] - exp.layers[0].values) <= 1e-3 * largest).all()


def test_a_keras_file_with_code_in_it_is_refused(data):
    double = keras.layers.Lambda(lambda x: x * 2)
    model = keras.Sequential([keras.Input((40, 2)), double, keras.layers.Flatten(), keras.layers.Dense(2)])
    model.save(data / "model.keras")
    job = sc.Job(data="windows.npy", model={"weights": "model.keras"}, output="maps.zarr", folder=data)
    with pytest.raises(sc.JobError, match="trust = true"):
        job.run()


def test_autocast_is_refused_as_it_is_pytorchs(data):
    model = keras.Sequential([keras.Input((40, 2)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.save(data / "model.keras")
    told = {"weights": "model.keras", "autocast": "bfloat16"}
    job = sc.Job(data="windows.npy", model=told, output="maps.zarr", folder=data)
    with pytest.raises(sc.JobError, match="Give a Keras model a dtype policy where it is built"):
        job.run()
