"""What every backend promises, and the few objects that pass between it and the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np

from signalcam.arrays import Array, namespace
from signalcam.case import Rule
from signalcam.errors import InputError, nearest
from signalcam.scores import Reading
from signalcam.targets import Asked, Question
from signalcam.tokens import Tokens

Role: TypeAlias = Literal["grid", "tokens", "inner", "recurrent"]


def is_array(value: object) -> bool:
    """Whether a value is an array of any framework, with at least one axis."""
    return bool(getattr(value, "shape", ())) and hasattr(value, "dtype")


class WithExtra(NamedTuple):
    """Inputs, and what the model takes beside them by keyword."""

    inputs: Any
    extra: dict[str, Any]


def unpacked(tree: Any) -> tuple[Any, dict[str, Any]]:
    """Split what a model is called with into its inputs and what it takes by keyword."""
    return (tree.inputs, tree.extra) if isinstance(tree, WithExtra) else (tree, {})


def check_extra(extra: Iterable[str], taken: Sequence[str], model: object) -> None:
    """Raise an ``InputError`` where a model takes no keyword of that name."""
    for name in extra:
        if name not in taken:
            message = f"{type(model).__name__} takes no {name!r}, which extra holds.{nearest(name, taken)} It takes: {', '.join(taken)}."
            raise InputError(message)


def map_arrays(function: Callable[[Array], Any], tree: Any) -> Any:
    """Apply a function to every array in nested tuples, lists and dicts; leave the rest."""
    if isinstance(tree, dict):
        return {key: map_arrays(function, entry) for key, entry in tree.items()}
    if isinstance(tree, tuple | list):
        entries = [map_arrays(function, entry) for entry in tree]
        return type(tree)(*entries) if hasattr(tree, "_fields") else type(tree)(entries)
    return function(tree) if is_array(tree) else tree


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Everything in nested tuples, lists and dicts that is none of these, with the keys that lead there."""
    if isinstance(tree, dict):
        for key, entry in tree.items():
            yield from leaves(entry, (*path, key))
    elif isinstance(tree, tuple | list):
        for key, entry in enumerate(tree):
            yield from leaves(entry, (*path, key))
    else:
        yield path, tree


def map_leaves(function: Callable[[tuple[Any, ...], Any], Any], tree: Any, path: tuple[Any, ...] = ()) -> Any:
    """Apply a function to the path and value of every leaf."""
    if isinstance(tree, dict):
        return {key: map_leaves(function, entry, (*path, key)) for key, entry in tree.items()}
    if isinstance(tree, tuple | list):
        entries = [map_leaves(function, entry, (*path, key)) for key, entry in enumerate(tree)]
        return type(tree)(*entries) if hasattr(tree, "_fields") else type(tree)(entries)
    return function(path, tree)


def repeated(tree: Any, count: int, samples: slice, times: int) -> Any:
    """Take some samples of every array that has ``count`` rows, each several times in a row."""

    def rows(array: Any) -> Any:
        if array.shape[0] != count:
            return array
        some, xp = array[samples], namespace(array)
        wide = xp.broadcast_to(some[:, None, ...], (some.shape[0], times, *some.shape[1:]))
        return xp.reshape(wide, (-1, *some.shape[1:]))

    return map_arrays(rows, tree)


@dataclass(frozen=True)
class Made:
    """A keyword that was made from the lengths of an input, to be made anew where those change.

    Attributes:
        name: The keyword.
        path: Keys that lead to the input.
        whole: From a shape, batch included, to what it is for inputs that are real all over.
    """

    name: str
    path: tuple[Any, ...]
    whole: Callable[[Sequence[int]], np.ndarray]


@dataclass(frozen=True)
class Inputs:
    """What the model is called with: an array, or nested tuples, lists and dicts holding arrays.

    Attributes:
        tree: A tuple is spread over the model's parameters, a dict over those it has by name;
            ``WithExtra`` holds such a tree and more keywords.
        path: Keys that lead to the array the map is drawn on.
        made: Keywords that follow the lengths of an input.
    """

    tree: Any
    path: tuple[Any, ...] = ()
    made: tuple[Made, ...] = ()

    @property
    def explained(self) -> Array:
        """The array the map is drawn on, batch first."""
        found = self.tree
        for key in self.path:
            found = found[key]
        return found

    def at(self, path: tuple[Any, ...]) -> Inputs:
        """The same inputs, another of them to draw on."""
        return replace(self, path=path)

    def map(self, function: Callable[[Array], Array]) -> Inputs:
        """Apply a function to every array."""
        return replace(self, tree=map_arrays(function, self.tree))

    def with_explained(self, array: Array) -> Inputs:
        """The same inputs with another array to draw on."""
        old = self.explained
        changed = self.map(lambda each: array if each is old else each)
        if not self.made or tuple(array.shape[1:]) == tuple(old.shape[1:]):
            return changed
        inputs, extra = changed.tree
        anew = {each.name: each.whole(array.shape) for each in self.made if each.path == self.path}
        return replace(changed, tree=WithExtra(inputs, extra | anew))


@dataclass(frozen=True)
class Layer:
    """A layer whose output has positions, as seen in one run of the model.

    Attributes:
        name: What ``layer=`` takes; ``"conv[1]"`` is the second call of ``conv``.
        kind: The name of its class.
        shape: ``(channel, *positions)`` of its output for one sample; empty before a run.
        role: ``"grid"`` for what a convolution put out; ``"tokens"`` for tokens of a transformer that a map
            can be drawn at, ``"inner"`` for other tokens, and ``"recurrent"``: these two are not offered.
    """

    name: str
    kind: str
    shape: tuple[int, ...] = ()
    role: Role = "grid"


@dataclass(frozen=True)
class Felt:
    """What one score and one layer have to do with each other.

    Attributes:
        ran: The layer's name, with the number of the call that reached the score.
        activation: ``(b, c, *positions)``.
        gradient: Of the score, shaped like the activation; ``None`` where it does not reach the score.
        tokens: How tokens were folded to these positions; ``None`` where nothing was.
        whole: The activation before that, ``(b, c, *others, n)``.
        dropped: The gradient at the prefix tokens.
    """

    ran: str
    activation: Array
    gradient: Array | None
    tokens: Tokens | None = None
    whole: Array | None = None
    dropped: Array | None = None


@dataclass(frozen=True)
class Pull:
    """What one forward pass brought up, and the backward passes still to be made.

    Attributes:
        reading: The model's output.
        asked: One a target.
        rows: One a target, each with one entry a layer. A backward pass is made when its row is
            asked for, so that one target's gradients are gone before the next one's are made.
    """

    reading: Reading
    asked: Sequence[Asked]
    rows: Iterable[Sequence[Felt]]


@dataclass(frozen=True)
class Edit:
    """Other activations for a layer.

    Attributes:
        ran: The layer's name, with the number of its call.
        values: ``(rows, c, *positions)``.
        prefix: What ``remember`` gave, so that only what lies behind the layer runs; ``None`` to run the
            whole model.
        samples: Which of the remembered samples the rows are made of.
        times: How many rows in a row are of one sample.
    """

    ran: str
    values: Array
    prefix: Any | None
    samples: slice
    times: int


Pick = Callable[[tuple[int, ...]], Sequence[tuple[int, ...]]]


@dataclass(frozen=True)
class Reach:
    """Which inputs some positions of a layer depend on.

    Attributes:
        shape: The layer's position axes.
        picked: The positions looked at.
        support: ``(picked, *input axes without batch)``: how strongly each input value is felt.
    """

    shape: tuple[int, ...]
    picked: Sequence[tuple[int, ...]]
    support: np.ndarray


class Backend(Protocol):
    """A framework, behind a few verbs. Every one borrows the model and hands it back unchanged."""

    name: str
    version: str

    def owns(self, model: object) -> bool:
        """Whether the model belongs to this framework."""
        ...

    def channel_axis(self, model: object) -> int:
        """Which axis of an input holds the channels where nobody says: 1 or -1."""
        ...

    def layers(self, model: object, inputs: Inputs | None) -> list[Layer]:
        """List the layers whose output has positions: in the order they finished, if there are inputs."""
        ...

    def resolve(self, model: object, layer: object) -> str:
        """Return the name of a layer given by name or as an object."""
        ...

    def pull(self, model: object, inputs: Inputs, layers: Sequence[str], question: Question) -> Pull:
        """Run the model once and differentiate each score with respect to the layers.

        Args:
            model: The model.
            inputs: One batch.
            layers: Their names.
            question: What is asked, and which kind of gradient is wanted. Without any, a layer that ran
                more than once is still differentiated, to tell which of its runs counts.
        """
        ...

    def prepared(self, model: object, inputs: Inputs) -> Inputs:
        """Put every array where the model is, in its precision."""
        ...

    def push(self, model: object, inputs: Inputs, question: Question, edit: Edit | None = None) -> list[Array]:
        """Run the model without recording and score each target ``(b,)``.

        Args:
            model: The model.
            inputs: As many rows as the edit has.
            question: What is asked of each row.
            edit: Other activations for a layer.
        """
        ...

    def remember(self, model: object, inputs: Inputs, ran: str) -> Any | None:
        """Keep what was computed before a layer returned; ``None`` where that cannot be told."""
        ...

    def input_gradients(
        self, model: object, inputs: Inputs, question: Question, rule: Rule | None
    ) -> list[tuple[Array, Array]]:
        """Score each target ``(b,)`` and differentiate it with respect to the explained input."""
        ...

    def offsets(self, model: object, inputs: Inputs) -> dict[str, Array]:
        """What each layer with positions adds to every position: ``(c,)`` by its name and call."""
        ...

    def reach(self, model: object, inputs: Inputs, layer: str, pick: Pick) -> Reach:
        """Run the model up to a layer and see which inputs the picked positions depend on."""
        ...

    def weights(self, model: object) -> dict[str, list[np.ndarray]]:
        """The weights of each layer that has its own, by name, in the order the layers were made."""
        ...

    def reweighted(self, model: object, weights: Mapping[str, Sequence[np.ndarray]]) -> AbstractContextManager[None]:
        """Lend the model other weights for some layers while the block is open."""
        ...

    def exactly(self) -> AbstractContextManager[None]:
        """Compute in the arrays' own precision, whatever the user has switched on."""
        ...

    def numpy(self, array: Array) -> np.ndarray:
        """Copy an array of the framework to NumPy, in single precision at least."""
        ...

    def free_memory(self, model: object) -> int:
        """Bytes free where the model runs."""
        ...

    def ran_out_of_memory(self, error: Exception) -> bool:
        """Whether the error says that a smaller batch might have worked."""
        ...
