"""What a tokenizer of transformers returns goes in as it is, with its words and its padding."""

import warnings

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import signalcam as sc

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a library that warns about its own dependencies
    import transformers as hf

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "the", "film", "was", "good", "bad", "play", "##ing", "dull"]
TEXTS = ["the playing was good", "the film was bad and the film was dull"]


@pytest.fixture(scope="module")
def tokenizer():
    pieces = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))  # noqa: S106 - a word
    pieces.pre_tokenizer = pre_tokenizers.Whitespace()
    pieces.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    names = ["input_ids", "attention_mask"]
    return hf.PreTrainedTokenizerFast(tokenizer_object=pieces, pad_token="[PAD]", model_input_names=names)  # noqa: S106 - a word


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    config = hf.DistilBertConfig(vocab_size=12, dim=24, n_layers=3, n_heads=3, hidden_dim=32)
    return hf.DistilBertForSequenceClassification(config).eval()


def explained(network, batch, **more):
    return sc.explain(network, batch, method="hires-cam", signed=True, **more)


def test_words_and_lengths_come_with_the_batch(tokenizer, network):
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    exp = explained(network, batch)
    assert exp.dims == ("token",)
    assert exp.layout.token_names[0] == ("", "the", "play", "##ing", "was", "good", "")
    assert exp.lengths.values.tolist() == [7, 11]
    assert np.isnan(exp.maps.values[0, 0, 0, 0, 7:]).all()
    with torch.no_grad():
        np.testing.assert_allclose(exp.outputs, network(**batch).logits, rtol=1e-5, atol=1e-6)


def test_a_mask_of_padding_does_not_change_which_layer_is_chosen(tokenizer, network):
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    alone = explained(network, batch["input_ids"])
    assert explained(network, batch).layer_names == alone.layer_names
    assert explained(network, dict(batch)).layer_names == alone.layer_names


def test_texts_that_were_not_padded_run_each_by_itself(tokenizer, network):
    padded = explained(network, tokenizer(TEXTS, padding=True, return_tensors="pt"))
    exp = explained(network, tokenizer(TEXTS))
    assert exp.layout.token_names == padded.layout.token_names
    np.testing.assert_allclose(exp.maps, padded.maps, rtol=1e-3, atol=1e-7)


def test_padding_in_front_is_not_drawn(tokenizer, network):
    batch = tokenizer(TEXTS, padding=True, padding_side="left", return_tensors="pt")
    exp = explained(network, batch)
    assert exp.layout.token_names[0] == ("",) * 5 + ("the", "play", "##ing", "was", "good", "")
    assert exp.plot(0).get_title("left").startswith("predicted")


def test_names_given_go_before_those_of_the_batch(tokenizer, network):
    batch = tokenizer(TEXTS[:1], return_tensors="pt")
    named = sc.Layout("batch token", token_names=[list("abcdefg")])
    assert explained(network, batch, layout=named).layout.token_names == (tuple("abcdefg"),)
    assert explained(network, batch, layout="batch time").dims == ("time",)
