"""Small networks learn what was planted, and maps lie on it."""

import numpy as np
import pytest
import torch

import signalcam as sc

SPACES = {1: 256, 2: (40, 40), 3: (16, 24, 24)}


@pytest.mark.parametrize("rank", SPACES)
def test_a_network_learns_the_event_and_its_map_lies_on_it(rank):
    data = sc.synthetic.planted("event", 550, SPACES[rank])
    known, new = data[:500], data[500:]
    model = sc.synthetic.train(known)
    assert sc.synthetic.accuracy(model, new) > 0.85
    exp = sc.explain(model, new.inputs, layout=new.layout, method="hires-cam")
    scores = sc.metrics.localisation(exp, new.truth)
    assert scores["auroc"].mean() > 0.75
    assert scores["mass-accuracy"].mean() > 1.5 * scores["chance"].mean()


@pytest.mark.parametrize("kind", ["burst", "channel", "xor", "distractor"])
def test_every_other_cause_is_learnt_too(kind):
    data = sc.synthetic.planted(kind, 500)
    model = sc.synthetic.train(data[:400])
    assert sc.synthetic.accuracy(model, data[400:]) > 0.95


def test_a_stretched_map_begins_elsewhere_than_one_at_its_receptive_fields():
    data = sc.synthetic.planted("event", 400)
    model, new = sc.synthetic.train(data[:300]), data[300:]
    errors = {}
    for align in ("receptive-field", "resize"):
        exp = sc.explain(model, new.inputs, layout=new.layout, align=align)
        truth = sc.metrics.localisation(exp, new.truth, ["onset-error", "offset-error"])
        errors[align] = np.abs(truth["onset-error"] + truth["offset-error"]).mean().item()
    assert errors["receptive-field"] < errors["resize"]


def test_training_leaves_the_random_state_and_gives_the_same_network_again():
    data = sc.synthetic.planted("event", 64)
    before = torch.get_rng_state()
    one, same = (sc.synthetic.train(data, epochs=1) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert not one.training
    for mine, yours in zip(one.parameters(), same.parameters(), strict=True):
        assert torch.equal(mine, yours)
