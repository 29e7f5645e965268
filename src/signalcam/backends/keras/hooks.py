"""Find the layers of a Keras model, at any depth, and watch their outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

import keras
import numpy as np
from keras import ops

from signalcam.backends.keras.method_patches import MethodPatch, patch_methods
from signalcam.backends.protocol import Layer, Role
from signalcam.backends.unsupported import explain_exported
from signalcam.errors import ModelError, nearest
from signalcam.inputs.pytree import is_array, map_arrays
from signalcam.inputs.tokens import MOST_BEFORE

CONVOLUTIONS = (
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
)
_TOKENS = (
    "Dense",
    "EinsumDense",
    "Embedding",
    "LayerNormalization",
    "MultiHeadAttention",
    "LSTM",
    "GRU",
    "SimpleRNN",
    "RNN",
    "Bidirectional",
    "Attention",
    "AdditiveAttention",
    "GroupQueryAttention",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "TimeDistributed",
)
SEES_EVERYTHING = (
    "LSTM",
    "GRU",
    "SimpleRNN",
    "RNN",
    "Bidirectional",
    "MultiHeadAttention",
    "Attention",
    "AdditiveAttention",
)
_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
_BLOCKS = ("LayerNormalization", "MultiHeadAttention", "GroupQueryAttention")
_STEP_BY_STEP = (
    "TimeDistributed",
    "RNN",
    "LSTM",
    "GRU",
    "SimpleRNN",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
)
_IDLE = (
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "GaussianNoise",
    "GaussianDropout",
    "Identity",
)
_LENGTHENING = ("ZeroPadding", "UpSampling")


# --- finding -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KerasWalk:
    """Every layer and operation of a model, nested ones included, by its path.

    Attributes:
        model: The model itself.
        paths: Outermost first.
        looped: By the identity of a layer the path of the one around that runs it step by step.
    """

    model: Any
    paths: dict[str, Any]
    looped: dict[int, str] = field(default_factory=dict)

    @property
    def channels_first(self) -> bool:
        """Whether the model's convolutions have channels second."""
        nodes = [node for node in self.paths.values() if type(node).__name__ in CONVOLUTIONS]
        formats = [getattr(node, "data_format", None) for node in nodes]
        return next(iter(formats), keras.config.image_data_format()) == "channels_first"

    def nodes(self) -> list[tuple[str, Any]]:
        """Paths and layers, outermost first."""
        return list(self.paths.items())

    @property
    def all_nodes(self) -> tuple[Any, ...]:
        """The model and everything in it, outermost first."""
        return (self.model, *self.paths.values())

    def convolutions(self) -> list[tuple[str, Any]]:
        """Paths and layers of the convolutions that see the sample as it is."""
        return [(path, node) for path, node in self.paths.items() if _convolves(node) and id(node) not in self.looped]

    def path(self, layer: object) -> str:
        """The path of a layer given by path, by the end of its path, or as an object."""
        if isinstance(layer, str):
            self.find(layer)
            return layer
        paths = [path for path, node in self.paths.items() if node is layer]
        if not paths:
            name = getattr(layer, "name", "")
            message = f"the {type(layer).__name__} {name!r} is no layer of {type(self.model).__name__}: it belongs to another model, or to none. Give a name from signalcam.layers(model)."
            raise ModelError(message)
        self._check(paths[0], layer)
        return paths[0]

    def find(self, name: str) -> Any:
        """The layer of that path, or of the one path that ends so; a call number is ignored."""
        bare = name.partition("[")[0]
        ends = [node for path, node in self.paths.items() if path == bare] or [
            node for path, node in self.paths.items() if path.endswith(f"/{bare}")
        ]
        if len(ends) != 1:
            fits = [path for path in self.paths if path.endswith(f"/{bare}")]
            which = f" It may be {', '.join(map(repr, fits))}." if fits else nearest(bare, self.paths)
            message = f"layer {name!r} is not in {type(self.model).__name__}.{which} List all with signalcam.layers(model).{self._exports()}"
            raise ModelError(message)
        self._check(name, ends[0])
        return ends[0]

    def _exports(self) -> str:
        """Name layers that cannot be inspected; empty if there are none."""
        names = [repr(path) for path, node in self.paths.items() if explain_exported(node)]
        return f" There are none inside the TFSMLayer {', '.join(names)}." if names else ""

    def _check(self, name: str, node: Any) -> None:
        """Refuse layers whose output has another layout than the sample."""
        if id(node) in self.looped:
            around = repr(self.looped[id(node)] or type(self.model).__name__)
            message = f"layer {name!r} runs step by step inside {around}, so its output is one step's and not the sample's. Choose {around} itself, or a layer outside it."
            raise ModelError(message)
        if getattr(node, "go_backwards", False) and getattr(node, "return_sequences", False):
            message = f"layer {name!r} goes backwards and returns its last step first, so its map would lie reversed. Choose the Bidirectional layer around it, or a layer before it."
            raise ModelError(message)

    def candidates(self, run: Callable[[], Any]) -> list[Layer]:
        """The layers whose output has positions, in the order they finish in a run."""
        notes = _Notes(self)
        shadows = [
            MethodPatch(node, partial(notes.note, path, node))
            for path, node in self.nodes()
            if id(node) not in self.looped
        ]
        with patch_methods(shadows, self.all_nodes):
            raw = run()
        return notes.layers(raw)


def walk_model(model: Any) -> KerasWalk:
    """Find every layer and operation of a model."""
    paths: dict[str, Any] = {}
    visited = {id(model)}

    def visit(owner: Any, prefix: str) -> None:
        for inner in _inside(owner):
            if id(inner) in visited:
                continue
            visited.add(id(inner))
            path = f"{prefix}/{inner.name}" if prefix else inner.name
            paths[path] = inner
            visit(inner, path)

    visit(model, "")
    loops = [(path, node) for path, node in [("", model), *paths.items()] if _is_loop(node)]
    looped = {id(each): path for path, node in reversed(loops) for each in _below(node)}
    return KerasWalk(model, paths, looped)


def _inside(owner: Any) -> list[Any]:
    """The layers and operations directly inside a layer, each once; Keras 2 has no list of them."""
    if not hasattr(owner, "_layers") and hasattr(owner, "_flatten_layers"):
        layers = list(owner._flatten_layers(recursive=False, include_self=False))  # noqa: SLF001
    else:
        lists = (getattr(owner, name, None) or [] for name in ("_layers", "_operations"))
        layers = list(chain.from_iterable(lists))
    unique = {id(each): each for each in layers if type(each).__name__ != "InputLayer"}
    return list(unique.values())


def _below(owner: Any) -> list[Any]:
    """Everything inside a layer, at any depth."""
    return [each for inner in _inside(owner) for each in (inner, *_below(inner))]


def _is_loop(node: Any) -> bool:
    return any(each.__name__ in _STEP_BY_STEP for each in type(node).__mro__)


def move_channels_second(node: Any, array: Any, keras_walk: KerasWalk) -> Any:
    """Move an output's channels to the second axis."""
    if type(node).__name__ == "TimeDistributed" and keras_walk.channels_first and len(array.shape) > 3:
        return ops.moveaxis(array, 2, 1)  # behind the steps, as the layer inside has them
    if type(node).__name__ == "TorchModuleWrapper":
        return array  # torch has channels second, whatever Keras' layers do
    own = getattr(node, "data_format", None)
    first = keras_walk.channels_first if own is None else own == "channels_first"
    return array if first and type(node).__name__ not in _TOKENS else ops.moveaxis(array, -1, 1)


def move_channels_back(node: Any, values: Any, like: Any, keras_walk: KerasWalk) -> Any:
    """Move channels from the second axis to where the layer has them; ``like`` is its output."""
    if move_channels_second(node, like, keras_walk) is like:
        return values
    by_steps = type(node).__name__ == "TimeDistributed" and keras_walk.channels_first
    return ops.moveaxis(values, 1, 2 if by_steps and len(like.shape) > 3 else -1)


def tensor_with_positions(y: Any) -> Any:
    """The tensor with positions in a layer's output."""
    entries = list(y) if isinstance(y, tuple | list) else [y]
    return next((each for each in entries if is_array(each) and len(each.shape) >= 3), None)


def _convolves(node: Any) -> bool:
    """Whether a layer is a convolution, or runs one step by step."""
    inside = _below(node) if type(node).__name__ == "TimeDistributed" else []
    return any(type(each).__name__ in CONVOLUTIONS for each in (node, *inside))


@dataclass
class _Notes:
    """The outputs with positions, recorded while the model runs."""

    keras_walk: KerasWalk
    entries: list[tuple[str, Layer, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    live: int | None = None  # axes of the latest convolution's output, until tokens take over
    convolved: int = 0  # runs of convolutions

    def note(self, path: str, node: Any, y: Any) -> Any:
        """Record the output of a layer."""
        kind = type(node).__name__
        self.counts[path] = self.counts.get(path, -1) + 1
        if not is_array(y) or len(y.shape) < 3:
            return y
        turned = move_channels_second(node, y, self.keras_walk)
        if _convolves(node):
            self.live = len(y.shape)
            self.convolved += 1
        elif kind in _TOKENS or self._prepends(kind, turned):
            self.live = None
        if kind in _IDLE or np.prod(tuple(turned.shape[2:])) < 2:
            return y
        name, shape = f"{path}[{self.counts[path]}]", tuple(turned.shape[1:])
        self.entries = [each for each in self.entries if not (each[2] is y and each[0].startswith(f"{path}/"))]
        self.entries.append((path, Layer(name, kind, shape, self._role(node, y)), y))
        return y

    def _prepends(self, kind: str, turned: Any) -> bool:
        """Whether a layer along one axis added a few tokens, as a class token does."""
        before = [each for _, each, _ in self.entries if each.role == "grid"]
        if self.live != 3 or kind.startswith(_LENGTHENING) or not before:
            return False
        return 0 < int(turned.shape[2]) - before[-1].shape[1] <= MOST_BEFORE

    def _role(self, node: Any, y: Any) -> Role:
        """The role of an output: a grid like that of convolutions before it, or tokens."""
        kind = type(node).__name__
        if len(y.shape) == self.live:
            return "grid"
        if kind in _RECURRENT:
            return "recurrent"
        normed = kind == "LayerNormalization" or (kind == "Add" and self.live is None)
        around = any(type(each).__name__ in _BLOCKS for each in _below(node))
        return "tokens" if normed or (around and kind not in _TOKENS) else "inner"

    def layers(self, raw: Any) -> list[Layer]:
        """The candidates in the order they finished, the model's own output left out."""
        returned: list[Any] = []
        map_arrays(returned.append, raw)
        roles = [layer.role for _, layer, _ in self.entries]
        offered = self.convolved < 2 and "recurrent" not in roles
        entries = []
        for path, layer, y in self.entries:
            last = any(y is output for output in returned)
            if layer.role == "grid" and last:
                continue
            inner = layer.role == "tokens" and (last or not offered)
            role: Role = "inner" if inner else layer.role
            name = layer.name if self.counts[path] else path
            entries.append(Layer(name, layer.kind, layer.shape, role))
        return entries


# --- tapping -------------------------------------------------------------------------------------
