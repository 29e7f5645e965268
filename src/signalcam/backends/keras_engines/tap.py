"""Find the layers of a Keras model, at any depth, and see what they return."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial, wraps
from importlib import import_module
from typing import Any

import keras
import numpy as np
from keras import ops

from signalcam.backends.keras_engines.protocol import Step
from signalcam.backends.protocol import Layer, is_array, map_arrays
from signalcam.errors import ModelError, nearest

_CONVOLUTION = (
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
    "LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "MultiHeadAttention", "Attention", "AdditiveAttention",
)  # fmt: skip
_IDLE = (
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "GaussianNoise",
    "GaussianDropout",
    "Identity",
)
_active: ContextVar[dict[int, Callable[[Any], Any]] | None] = ContextVar(
    "signalcam_taps", default=None
)
_recorded: ContextVar[list[Step] | None] = ContextVar("signalcam_steps", default=None)


@dataclass(frozen=True)
class Shadow:
    """A layer, and what to do with each of its outputs."""

    node: Any
    seen: Callable[[Any], Any]


# --- finding -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Walk:
    """Every layer and operation of a model, nested ones included, by its path."""

    model: Any
    paths: dict[str, Any]

    @property
    def channels_first(self) -> bool:
        """Whether the model's convolutions have their channels second."""
        formats = [getattr(node, "data_format", None) for _, node in self.convolutions()]
        return next(iter(formats), keras.config.image_data_format()) == "channels_first"

    def nodes(self) -> list[tuple[str, Any]]:
        """Paths and layers, outermost first."""
        return list(self.paths.items())

    def convolutions(self) -> list[tuple[str, Any]]:
        """Paths and layers of the convolutions."""
        return [
            (path, node) for path, node in self.paths.items() if type(node).__name__ in _CONVOLUTION
        ]

    def path(self, layer: object) -> str:
        """The path of a layer given by path, by the end of its path, or as an object."""
        if not isinstance(layer, str):
            found = [path for path, node in self.paths.items() if node is layer]
            if not found:
                message = f"{type(layer).__name__} is no layer of {type(self.model).__name__}. Give a name from signalcam.layers(model)."
                raise ModelError(message)
            return found[0]
        self.find(layer)
        return layer

    def find(self, name: str) -> Any:
        """The layer of that path, or of the one path that ends so; a call number is ignored."""
        bare = name.partition("[")[0]
        ends = [node for path, node in self.paths.items() if path == bare] or [
            node for path, node in self.paths.items() if path.endswith(f"/{bare}")
        ]
        if len(ends) != 1:
            fits = [path for path in self.paths if path.endswith(f"/{bare}")]
            which = (
                f" It may be {', '.join(map(repr, fits))}." if fits else nearest(bare, self.paths)
            )
            message = f"layer {name!r} is not in {type(self.model).__name__}.{which} List all with signalcam.layers(model)."
            raise ModelError(message)
        return ends[0]

    def candidates(self, run: Callable[[], Any]) -> list[Layer]:
        """The layers whose output has positions, in the order they finish in a run."""
        notes = _Notes(self)
        shadows = [Shadow(node, partial(notes.note, path, node)) for path, node in self.nodes()]
        with shadowing(shadows, self):
            raw = run()
        return notes.layers(raw)


def walk(model: Any) -> Walk:
    """Find every layer and operation of a model."""
    paths: dict[str, Any] = {}
    seen = {id(model)}

    def visit(owner: Any, prefix: str) -> None:
        inside = [
            *(getattr(owner, "_layers", None) or []),
            *(getattr(owner, "_operations", None) or []),
        ]
        for each in {id(each): each for each in inside}.values():
            if id(each) in seen or type(each).__name__ == "InputLayer":
                continue
            seen.add(id(each))
            path = f"{prefix}/{each.name}" if prefix else each.name
            paths[path] = each
            visit(each, path)

    visit(model, "")
    return Walk(model, paths)


def channels_second(node: Any, array: Any, known: Walk) -> Any:
    """Put an output's channels second, wherever the layer has them."""
    own = getattr(node, "data_format", None)
    first = known.channels_first if own is None else own == "channels_first"
    return array if first and type(node).__name__ not in _TOKENS else ops.moveaxis(array, -1, 1)


@dataclass
class _Notes:
    """Which outputs have positions, while the model runs."""

    known: Walk
    found: list[tuple[str, Layer, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    live: int | None = None  # axes of the latest convolution's output, until tokens take over

    def note(self, path: str, node: Any, y: Any) -> Any:
        """See one layer finish."""
        kind = type(node).__name__
        self.counts[path] = self.counts.get(path, -1) + 1
        if not is_array(y) or len(y.shape) < 3:
            return y
        if kind in _CONVOLUTION:
            self.live = len(y.shape)
        elif kind in _TOKENS:
            self.live = None
        turned = channels_second(node, y, self.known)
        cells = tuple(turned.shape[2:])
        if len(y.shape) == self.live and kind not in _IDLE and np.prod(cells) > 1:
            self.found = [
                each for each in self.found if not (each[2] is y and each[0].startswith(f"{path}/"))
            ]
            self.found.append(
                (path, Layer(f"{path}[{self.counts[path]}]", kind, tuple(turned.shape[1:])), y)
            )
        return y

    def layers(self, raw: Any) -> list[Layer]:
        """The candidates in the order they finished, the model's own output left out."""
        returned: list[Any] = []
        map_arrays(returned.append, raw)
        kept = [each for each in self.found if not any(each[2] is output for output in returned)]
        return [
            Layer(layer.name if self.counts[path] else path, layer.kind, layer.shape)
            for path, layer, _ in kept
        ]


# --- tapping -------------------------------------------------------------------------------------


@contextmanager
def shadowing(shadows: Sequence[Shadow], known: Walk) -> Iterator[None]:
    """See what layers return, in this thread only, until the block ends, however it ends."""
    with ExitStack() as stack:
        for _, node in (("", known.model), *known.nodes()):
            stack.enter_context(_opened(node))
        for shadow in shadows:
            stack.enter_context(_shadowed(shadow.node))
        token = _active.set({id(shadow.node): shadow.seen for shadow in shadows})
        stack.callback(_active.reset, token)
        yield


@contextmanager
def _attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Set an entry of an object's own dictionary, past every tracker, and take it back."""
    had, old = name in owner.__dict__, owner.__dict__.get(name)
    owner.__dict__[name] = value
    try:
        yield
    finally:
        if had:
            owner.__dict__[name] = old
        else:
            owner.__dict__.pop(name, None)


@contextmanager
def _opened(node: Any) -> Iterator[None]:
    """Undo, for the block, what would hide a layer's tensors: recomputation and tf.function."""
    with ExitStack() as stack:
        if node.__dict__.get("_remat_mode") is not None:
            stack.enter_context(_attribute(node, "_remat_mode", None))
        python = getattr(getattr(node, "call", None), "python_function", None)
        if python is not None:
            stack.enter_context(_attribute(node, "call", python))
        yield


@contextmanager
def _shadowed(node: Any) -> Iterator[None]:
    with ExitStack() as stack:
        for name in ("call", "quantized_call"):
            own = getattr(node, name, None)
            if callable(own):
                stack.enter_context(_attribute(node, name, _seeing(node, own)))
        yield


def _seeing(node: Any, own: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(own)
    def call(*args: Any, **kwargs: Any) -> Any:
        y = own(*args, **kwargs)
        seen = (_active.get() or {}).get(id(node))
        symbolic = any(isinstance(each, keras.KerasTensor) for each in keras.tree.flatten(y))
        return y if seen is None or symbolic else seen(y)

    return call


@contextmanager
def any_length(known: Walk) -> Iterator[None]:
    """Let models take inputs of other lengths than the one they were declared for."""
    with ExitStack() as stack:
        for node in (known.model, *known.paths.values()):
            if isinstance(node, keras.Model):
                stack.enter_context(_attribute(node, "_assert_input_compatibility", _anything))
        yield


def _anything(*_inputs: Any) -> None:
    """Take inputs as they come."""


# --- last steps ----------------------------------------------------------------------------------


@contextmanager
def last_steps() -> Iterator[list[Step]]:
    """Record what goes into softmax and sigmoid, in this thread only, however they are spelt."""
    steps: list[Step] = []
    with ExitStack() as stack:
        for module, name in _spellings():
            stack.enter_context(_attribute(module, name, _recording(name, getattr(module, name))))
        token = _recorded.set(steps)
        stack.callback(_recorded.reset, token)
        yield steps


def _spellings() -> list[tuple[Any, str]]:
    """Where the engine's softmax and sigmoid are looked up when they are called."""
    engine = keras.backend.backend()
    own = import_module(f"keras.src.backend.{engine}.nn")
    others = {
        "tensorflow": ("tensorflow.nn", "tensorflow.math", "tensorflow"),
        "jax": ("jax.nn",),
        "torch": ("torch", "torch.nn.functional"),
    }
    modules = [own, *(_module(name) for name in others.get(engine, ()))]
    names = ("softmax", "log_softmax", "sigmoid")
    return [
        (module, name)
        for module in modules
        for name in names
        if callable(getattr(module, name, None))
    ]


def _module(name: str) -> Any:
    root, *rest = name.split(".")
    found: Any = import_module(root)
    for each in rest:
        found = getattr(found, each)
    return found


def _recording(name: str, own: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(own)
    def call(*args: Any, **kwargs: Any) -> Any:
        y = own(*args, **kwargs)
        steps = _recorded.get()
        before = args[0] if args else next(iter(kwargs.values()))
        if steps is not None and is_array(y) and is_array(before):
            steps.append(Step(name, y, before))
        return y

    return call
