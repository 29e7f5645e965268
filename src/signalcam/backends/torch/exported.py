"""Turn exported programs back into modules, with layers of their original classes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.export.unflatten import InterpreterModule
from torch.utils._pytree import tree_leaves, tree_map

from signalcam.errors import ModelError

_SAME = 1e-4  # of answers: the same steps on more rows at a time
_log = logging.getLogger("signalcam")
_unflattened: WeakKeyDictionary[ExportedProgram, nn.Module] = WeakKeyDictionary()

# what the rest of the house reads off a layer, by what the layer does; from the step's arguments
_READ: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    "conv": lambda module, _args: {"out_channels": len(module.weight)},
    "conv_transpose": lambda module, args: {"out_channels": module.weight.shape[1] * _groups(args)},
    "layer_norm": lambda _each, args: {"normalized_shape": tuple(args[1])},
    "batch_norm": lambda _each, args: {"eps": args[7]},
    "recurrent": lambda _each, args: {"batch_first": args[-1]},
}
_STEPS = {"lstm": "recurrent", "gru": "recurrent", "rnn_tanh": "recurrent", "rnn_relu": "recurrent"}


def unflatten(program: ExportedProgram) -> nn.Module:
    """Return the module of an exported program, as far as the program describes it.

    Raises:
        ModelError: It cannot be unflattened, takes one size of batch only, or was exported while training.
    """
    if program not in _unflattened:
        _check(program)
        module: nn.Module = _module(program)
        _check_batch(program, module)
        _unflattened[program] = module
    return _unflattened[program]


def _check(program: ExportedProgram) -> None:
    if any(_trains(each) for each in program.graph.nodes):
        message = "the program was exported while training, so it drops activations at random or adapts its statistics in every run. Export model.eval()."
        raise ModelError(message)


def _check_batch(program: ExportedProgram, module: nn.Module) -> None:
    """Raise a ``ModelError`` where a program exported for one batch size gives wrong answers to another."""
    nodes = program.graph.nodes
    input_nodes = [each for each in nodes if each.name in program.graph_signature.user_inputs]
    values = [each.meta.get("val") for each in input_nodes]
    sizes = [value.shape[0] for value in values if isinstance(value, torch.Tensor) and value.ndim]
    if not sizes or not all(isinstance(each, int) for each in sizes):
        return
    module.check_input_constraints = False  # type: ignore[assignment] # torch's own switch: it would ask for that size
    if any(map(_writes_sizes, nodes)) or not _takes_two_batches(program, module, sizes[0]):
        message = (
            f"the exported program takes batches of exactly {sizes[0]}, as it was exported, and batches of other sizes "
            "are run here. Export it with a batch of any size: torch.export.export(model, (x,), "
            'dynamic_shapes=({0: torch.export.Dim("batch")},)), with at least 2 samples in x.'
        )
        raise ModelError(message)


def _writes_sizes(node: Any) -> bool:
    """Whether a step has sizes that may be the batch's: recurrent states, reshaped tokens."""
    schema = getattr(node.target, "_schema", None)
    names = [] if schema is None else [each.name for each in schema.arguments]
    arguments = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    lists = [arguments[name] for name in ("size", "shape", "repeats") if name in arguments]
    return any(not isinstance(each, list) or list(each[:1]) != [-1] for each in lists)


def _takes_two_batches(program: ExportedProgram, module: nn.Module, rows: int) -> bool:
    """Whether two batches together get the answers that each gets alone."""
    if program.example_inputs is None:
        return False

    def rolled(array: Any) -> Any:
        return array.roll(1, -1) if isinstance(array, torch.Tensor) else array

    def join(one: Any, other: Any) -> Any:
        batched = isinstance(one, torch.Tensor) and one.ndim and len(one) == rows
        return torch.cat([one, other]) if batched else one

    first = program.example_inputs
    second = tree_map(rolled, first)
    both = tree_map(join, first, second)
    with torch.no_grad():
        alone = [tree_leaves(module(*args, **kwargs)) for args, kwargs in (first, second)]
        try:
            outputs = tree_leaves(module(*both[0], **both[1]))
        except Exception as error:  # noqa: BLE001 - whatever a step with a size written in raises
            _log.info("the exported program takes batches of %d only: %s", rows, error)
            return False
    return all(
        len(output) == 2 * rows and torch.allclose(output, torch.cat(pair), rtol=_SAME, atol=_SAME)
        for output, *pair in zip(outputs, *alone, strict=True)
        if isinstance(output, torch.Tensor)
    )


def _trains(node: Any) -> bool:
    place = {"dropout": 2, "batch_norm": 5}.get(_step(node))
    return place is not None and len(node.args) > place and node.args[place] is True


def _step(node: Any) -> str:
    """The name of a node's operation, without its variant: ``"conv1d"``."""
    return str(getattr(node.target, "overloadpacket", "")).rpartition(".")[2]


def _module(program: ExportedProgram) -> nn.Module:
    try:
        module = torch.export.unflatten(program)
    except Exception as error:
        message = f"the exported program cannot be unflattened into its layers ({error}). Pass the nn.Module it was made from."
        raise ModelError(message) from error
    module.range_constraints = {}  # bounds the user gave the compiler; the steps run for any
    for parent in list(module.modules()):
        for name, child in list(parent._modules.items()):  # noqa: SLF001 - a name may hold what setattr would refuse
            if isinstance(child, InterpreterModule):
                parent._modules[name] = _as_it_was(child)  # noqa: SLF001 - as above
    return module


def _as_it_was(module: InterpreterModule) -> nn.Module:
    """The layer with its original class; it runs the exported steps."""
    kind = _kind(module.type_name() or "")
    if kind is None:
        return module
    layer: nn.Module = kind.__new__(kind)
    nn.Module.__init__(layer)
    for name in ("_parameters", "_buffers", "_modules"):
        layer.__dict__[name] = getattr(module, name)
    layer.__dict__.update(_read(module), exported=module)
    if isinstance(layer, nn.Linear):
        weight = layer._parameters.get("weight")  # noqa: SLF001 - none where another layer runs for it
        layer.out_features = 0 if weight is None else len(weight)
    return layer


@cache
def _kind(path: str) -> type[nn.Module] | None:
    """The original class at a path, made to run the exported steps."""
    where, _, name = path.rpartition(".")
    own = where.startswith("torch.nn.modules.")
    kind = getattr(import_module(where), name, None) if own else None
    if not isinstance(kind, type):
        return None
    options: dict[str, Any] = {
        "forward": _forward,
        "extra_repr": lambda _self: "",
        "__setattr__": nn.Module.__setattr__,
    }
    return type(name, (kind,), options)


def _forward(self: Any, *args: Any, **kwargs: Any) -> Any:
    return self.exported(*args, **kwargs)


def _read(module: InterpreterModule) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for what, args in _done(module):
        if what in _READ:
            options |= _READ[what](module, args)
    return options


def _done(module: InterpreterModule) -> Iterator[tuple[str, Any]]:
    """The steps of a layer by kind, with their arguments."""
    for node in module.graph.nodes:
        step = _step(node)
        yield _STEPS.get(step, step.rstrip("123d")), node.args


def _groups(args: Any) -> int:
    return int(args[6]) if len(args) > 6 else 1
