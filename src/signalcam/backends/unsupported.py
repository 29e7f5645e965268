"""Why an object cannot be explained as it is, and what to do about it."""

from __future__ import annotations

_TENSORFLOW = (
    "a TensorFlow module or a loaded SavedModel, which keeps no layers to look into: expected the "
    "Keras model it was made from. Load its .keras file with keras.saving.load_model, or pass the "
    "Keras model it holds"
)
_EXPORTED = (
    "an exported SavedModel in one piece, with no layers left to look into: expected the Keras "
    "model it was made from. Load its .keras file with keras.saving.load_model; in a larger model, "
    "choose a layer before the TFSMLayer"
)


WITHOUT_GRADIENT = "Methods that need none take it: eigen-cam, ablation-cam, recipro-cam, score-cam."
_ONNX = (
    "an ONNX model, which has neither gradients nor layers to look into: expected the network it was "
    "exported from. Pass that, or convert it to an nn.Module first, as onnx2torch does"
)


def explain_onnx(model: object) -> str:
    """The reason why an ONNX model or session is not supported; empty where it is none."""
    packages = {each.__module__.partition(".")[0] for each in type(model).__mro__}
    onnx_packages = packages.intersection(("onnx", "onnxruntime"))
    return f"{type(model).__name__} is {_ONNX}." if onnx_packages else ""


def explain_tensorflow(model: object) -> str:
    """The reason why an object of TensorFlow is not supported; empty where it is none."""
    packages = {each.__module__.partition(".")[0] for each in type(model).__mro__}
    return f"{type(model).__name__} is {_TENSORFLOW}." if "tensorflow" in packages else ""


def explain_exported(model: object) -> str:
    """The reason why a Keras layer that wraps an export is not supported; empty where it is none."""
    kinds = {each.__name__ for each in type(model).__mro__}
    return f"{type(model).__name__} is {_EXPORTED}." if "TFSMLayer" in kinds else ""


def explain_engine(package: str, engine: str) -> str:
    """The reason why models of a package do not run on Keras 3's engine; empty where they do."""
    if package == "tf_keras" and engine != "tensorflow":
        return f"a model of tf_keras runs on TensorFlow but Keras 3, which reads it, runs on {engine}. Set KERAS_BACKEND=tensorflow before Python starts."
    if engine not in ("tensorflow", "jax", "torch"):
        return f"Keras runs on {engine}, which has no gradients: expected tensorflow, jax or torch. Set KERAS_BACKEND to one of these before Python starts, and load the model again."
    return ""


def explain_no_rectifier(model: object) -> str:
    """The reason why a model without rectifiers has no guided gradients."""
    return f"guided-grad-cam needs rectifiers (ReLU), and {type(model).__name__} ran none. Use grad-cam or hires-cam."


def explain_one_derivative(engine: str, error: Exception) -> str:
    """The reason why a run that can be differentiated once does not suit a method that uses curvature."""
    return f"shapley-cam needs second derivatives, and {engine} has none for a step behind the layer ({error}). Use grad-cam or hires-cam."


def explain_no_attention(layer: str, model: str, *, any_seen: bool) -> str:
    """The reason why a layer has no attention weights."""
    reason = "attends to as many keys as it has tokens (windows of them do not count)" if any_seen else "was seen"
    return f"le-grad reads attention weights, and at layer {layer!r} of {model} no softmax attention {reason}. Choose a block of tokens with attention in or behind it, or use grad-cam or hires-cam."


def explain_no_positions(model: object) -> str:
    """The reason why a model without positions in any layer has no map."""
    return f"no layer of {type(model).__name__} has positions that were recognised, so there is no place to draw heat at: expected a convolution, a recurrent layer or tokens. Explain a network that has one before it flattens its input, or name one with layer=... (signalcam.layers(model) lists convolutions)."
