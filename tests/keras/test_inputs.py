"""Keras models of several inputs, with keywords beside, of one declared length or of any."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import signalcam as sc

SAME = 1e-5  # of a map's largest value


def functional(length=None, form=dict):
    ecg, age = keras.Input((length, 2), name="ecg"), keras.Input((1,), name="age")
    a = layers.Conv1D(4, 5, padding="same", activation="relu", name="conv")(ecg)
    pooled = layers.Flatten()(a) if length else layers.GlobalAveragePooling1D()(a)
    inputs = {"ecg": ecg, "age": age} if form is dict else [ecg, age]
    return keras.Model(inputs, layers.Dense(3)(layers.Concatenate()([pooled, age])))


@pytest.fixture
def given(x):
    return {"ecg": x, "age": np.arange(4, dtype=np.float32)[:, None] / 4}


@pytest.mark.parametrize("form", [dict, tuple])
def test_input_of_a_functional_model_is_named(kit, given, form):
    model, of = functional(form=form), "ecg" if form is dict else 0
    given = given if form is dict else tuple(given.values())
    exp = sc.explain(model, given, of=of, signed=True, target=1)
    wanted = sc.explain(model, given, layer="conv", signed=True, target=1)
    assert exp.layer_names == ("conv",)
    assert kit.difference(exp.maps.values, wanted.maps.values) < SAME


def test_list_of_unequal_length_goes_into_a_functional_model(kit, given):
    model, ecgs = functional(), [each[:n] for each, n in zip(given["ecg"], [24, 20, 24, 17], strict=True)]
    exp = sc.explain(model, {**given, "ecg": ecgs}, of="ecg", layer="conv", target=1, signed=True)
    for i in range(4):
        one = {"ecg": ecgs[i][None], "age": given["age"][i : i + 1]}
        alone = sc.explain(model, one, of="ecg", layer="conv", target=1, signed=True)
        assert kit.difference(exp.isel(sample=i).maps.values, alone.maps.values) < SAME


def test_model_of_one_length_runs_padded_samples_as_they_came(given):
    layout = sc.Layout("batch time channel", lengths=[24, 20, 24, 17])
    exp = sc.explain(functional(24), given, of="ecg", layout=layout, target=1, signed=True)
    assert "takes no other length" in exp.provenance["unequal lengths"]
    assert np.isnan(exp.maps.values[3, ..., 17:]).all()
    assert not np.isnan(exp.maps.values[3, ..., :17]).any()


class Masked(keras.Model):
    """Pools over what a mask, in the sense of Keras, leaves."""

    def __init__(self):
        super().__init__()
        self.supports_masking = True
        self.conv, self.head = layers.Conv1D(4, 1, name="conv"), layers.Dense(3)

    def call(self, x, mask=None, scale=1.0):
        a = ops.square(self.conv(x))
        here = ops.ones(ops.shape(a)[:2]) if mask is None else ops.cast(mask, a.dtype)
        pooled = ops.sum(a * here[..., None], axis=1) / ops.sum(here, axis=1)[:, None]
        return self.head(pooled) * scale


def test_keyword_called_mask_reaches_the_model(kit, x):
    lengths = [24, 20, 24, 17]
    ecgs = [each[:n] for each, n in zip(x, lengths, strict=True)]
    model, options = Masked(), {"layer": "conv", "target": 1, "signed": True}
    model(x)
    exp = sc.explain(model, ecgs, layout="batch time channel", extra={"mask": sc.Mask()}, **options)
    assert exp.provenance["unequal lengths"].startswith("padded and marked")
    for i in range(4):
        alone = sc.explain(model, ecgs[i][None], **options)
        assert kit.difference(exp.isel(sample=i).maps.values, alone.maps.values) < SAME


def test_runs_that_come_back_heed_their_own_keywords(kit, x):
    """Runs alike are compiled at the fifth; another number beside must not be taken for the first one."""
    model = Masked()
    model(x)
    explainer = sc.Explainer(model, layer="conv", target=1, signed=True)
    bare = explainer(x).maps.values
    for scale in (2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0):
        found = explainer(x, extra={"scale": scale}).maps.values
        assert kit.difference(found, scale * bare) < SAME
    for number in range(7):
        mask = np.random.default_rng(number).random((4, 24)) > 0.3
        found = explainer(x, extra={"mask": mask}).maps.values
        alone = sc.explain(model, x[:1], layer="conv", target=1, signed=True, extra={"mask": mask[:1]})
        assert kit.difference(found[:1], alone.maps.values) < SAME
