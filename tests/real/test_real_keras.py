"""A trained Keras network on a real picture, where SIGNALCAM_REAL_DATA says where it is."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import signalcam as sc

REAL_DATA = os.environ.get("SIGNALCAM_REAL_DATA")
pytestmark = pytest.mark.skipif(
    not REAL_DATA, reason="SIGNALCAM_REAL_DATA names no folder of real data"
)
CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


def test_a_legacy_face_network_looks_at_the_middle_of_a_happy_face():
    case = Path(REAL_DATA) / "fer_xception"
    model = keras.models.load_model(case / "emotion_model.hdf5", compile=False)
    face = (
        Image.open(case / "astronaut.png").convert("L").crop((162, 56, 290, 184)).resize((64, 64))
    )
    x = ((np.asarray(face, "float32") / 255 - 0.5) * 2)[None, ..., None]
    exp = sc.explain(model, x, layer="add_4", class_names=CLASSES, labels=["happy"])
    assert exp.class_name(int(exp.predicted[0])) == "happy"
    assert float(exp.confidence[0, 3]) > 0.99
    assert exp.provenance["score"] == "logit; logits before softmax"
    assert exp.dims == ("height", "width")
    native = exp.native().values[0, 0, 0]
    assert native[1:3].sum() > native[[0, 3]].sum()  # the two middle rows of four: the face
    if "SIGNALCAM_FIGURES" in os.environ:
        exp.plot(0).figure.savefig(Path(os.environ["SIGNALCAM_FIGURES"]) / "fer.png", dpi=100)
