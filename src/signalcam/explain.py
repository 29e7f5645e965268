"""The front door: a model and an input go in, one labelled result comes out."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.metadata import version
from typing import Any, TypeAlias

import numpy as np

from signalcam import scores
from signalcam.align import Axis
from signalcam.arrays import Array
from signalcam.backends import backend_of
from signalcam.backends.protocol import Backend, Felt, Inputs, Layer, Pull, is_array
from signalcam.batches import (
    NotFinite,
    as_inputs,
    check_finite,
    first_size,
    in_batches,
    samples_in,
    sliced,
)
from signalcam.errors import InputError, MethodError, ModelError, TargetError, nearest
from signalcam.explanation import Explanation
from signalcam.formulas import Method, find
from signalcam.friendly import Signals, taken
from signalcam.layout import Layout, as_layout, check_layout, named
from signalcam.parts import (
    Given,
    Part,
    Said,
    fine_grid,
    layer_maps,
    part_of,
    said_by_all,
    warn_of_flaws,
    warn_of_score,
)
from signalcam.placing import (
    PROBED_SAMPLES,
    Alignment,
    candidates,
    grid,
    measured_axes,
    warn_of_spread,
)
from signalcam.preprocessing import Preprocessing, Raw, as_preprocessing, on_raw
from signalcam.targets import Question, Selector, Target, as_target, class_index, question
from signalcam.trying import Setting

_log = logging.getLogger("signalcam")
_FEW = slice(0, PROBED_SAMPLES)  # samples that are enough to see which layers matter

OneOrMore: TypeAlias = Any  # one value, or a list or tuple of them


@dataclass(frozen=True)
class Explainer:
    """Explains one model in one way, as often as you like.

    Args:
        model: A ``torch.nn.Module``. It is borrowed: it comes back exactly as it was.
        method: One or several: names from ``signalcam.methods()``, or ``Method`` objects.
        layer: One or several: names or layer objects. ``"conv[1]"`` is the second call of a layer that
            runs twice. ``None`` takes the last layer with positions that the score depends on.
        target: One or several questions, each asked of every sample: ``"predicted"``, a class index or
            name, a function of the model's output, or one of ``Predicted(rank)``, ``TrueLabel()``,
            ``PerSample([...])``, ``Contrast(c, foil=f)``, ``Finer``, ``Counterfactual``, ``Regression``, ``Region``,
            ``Similarity``, ``Output``.
        layout: Names of the input's axes, ``"batch channel time"``, or a ``Layout`` with rates, names and
            units. ``None`` finds out which axes carry positions by looking at the network.
        class_names: One name a class.
        batch_size: Samples at a time; ``None`` picks a size that fits. Halved when memory runs out.
        progress: Show a progress bar.
        signed: Keep negative evidence instead of dropping it.
        score: What is differentiated: ``"logit"`` (exact, also behind softmax and sigmoid), ``"log_odds"``,
            ``"probability"``, ``"log_prob_clamped"``, or a function of the scores ``(batch, class)``.
        align: ``"receptive-field"`` puts each value where the layer looked; ``"resize"`` stretches the map.
        nan: ``"raise"`` refuses samples with NaN or infinite values, ``"warn"`` goes on.
        output: Which of several outputs holds the scores: a key, a number, or a function from what the model
            returned to an array. ``None`` takes logits by their name, else the first array.
        preprocess: Turns the raw batch that is passed in into what the network takes: a function, or a
            ``Preprocessing``. The maps lie on the raw signal, whose axes ``layout`` names.

    Raises:
        CamError: An option names something that does not exist.

    Example:
        >>> explainer = Explainer(network, layer="conv2", method="hires-cam")
        >>> explainer(ecg).maps.dims
        ('sample', 'target', 'method', 'layer', 'time')
    """

    model: Any
    method: OneOrMore = "grad-cam"
    layer: OneOrMore = None
    target: OneOrMore = "predicted"
    layout: Layout | str | Sequence[str] | None = None
    class_names: Sequence[str] | None = None
    batch_size: int | None = None
    progress: bool = False
    signed: bool = False
    score: str | Callable[[Array], Array] = "logit"
    align: Alignment = "receptive-field"
    nan: NotFinite = "raise"
    output: Selector = None
    preprocess: Callable[[Any], Any] | Preprocessing | None = None
    _remembered: dict[Any, tuple[Any, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if self.class_names is not None:
            object.__setattr__(self, "class_names", tuple(map(str, self.class_names)))
        if self.align not in ("receptive-field", "resize"):
            message = f"there is no alignment {self.align!r}.{nearest(str(self.align), ['receptive-field', 'resize'])} Choose 'receptive-field' or 'resize'."
            raise MethodError(message)
        if self.nan not in ("raise", "warn"):
            message = f"nan={self.nan!r} is not known; choose 'raise' or 'warn'."
            raise MethodError(message)
        whole = isinstance(self.batch_size, int | np.integer) and self.batch_size >= 1
        if self.batch_size is not None and not whole:
            message = f"batch_size is {self.batch_size!r}; give at least 1, or None to pick a size that fits."
            raise InputError(message)
        if self.class_names is not None and len(set(self.class_names)) < len(self.class_names):
            message = f"class_names holds a name twice: {', '.join(self.class_names)}. Give each class its own."
            raise InputError(message)
        _ = (
            self.methods,
            self.targets,
            self.score_name,
            self.backend,
        )  # wrong names are told at once
        scores.find(self.score)
        as_layout(self.layout)
        as_preprocessing(self.preprocess)

    @cached_property
    def backend(self) -> Backend:
        """The backend that owns the model."""
        return backend_of(self.model)

    @cached_property
    def methods(self) -> tuple[Method, ...]:
        """The methods asked for, each once."""
        return tuple(dict.fromkeys(find(each) for each in _several(self.method)))

    @cached_property
    def targets(self) -> dict[str, Target]:
        """The questions asked, by the name they have in the result."""
        named_targets: dict[str, Target] = {}
        for wanted in _several(self.target):
            target = as_target(wanted, self.class_names)
            target = target.for_axis(self.backend.channel_axis(self.model))
            label = target.label(self.class_names)
            if named_targets.get(label, target) != target:
                label = f"{label} {len(named_targets) + 1}"
            named_targets[label] = target
        return named_targets

    @property
    def score_name(self) -> str:
        """The name of what is differentiated."""
        return scores.find(self.score)[0]

    def __call__(
        self,
        inputs: Any,
        *,
        labels: Sequence[int | str] | None = None,
        sample_names: Sequence[Any] | None = None,
    ) -> Explanation:
        """Explain the model's answer to some inputs; see ``explain``."""
        if (signals := self.taken(inputs)) is not None:
            names = signals.sample_names if sample_names is None else sample_names
            truth = self._labels_of(signals) if labels is None else labels
            return self.of(signals)(signals.array, labels=truth, sample_names=names)
        if how := as_preprocessing(self.preprocess):
            return self._on_raw(how, inputs, labels=labels, sample_names=sample_names)
        known = [each.labelled(labels) for each in self.targets.values()]
        if known != list(self.targets.values()):
            settled = replace(self, target=known)
            return settled(inputs, labels=labels, sample_names=sample_names)
        given = as_inputs(inputs)
        count = samples_in(given)
        self._check(given, labels=labels, sample_names=sample_names)
        layers = self._layers(given)
        size = self.batch_size or first_size(given, self.backend, self.model)

        shape = tuple(given.explained.shape)

        def placed(layer: str, cells: tuple[int, ...]) -> dict[int, Axis]:
            return self._grid(given, layer, cells)

        setting = Setting(self.backend, self.model, placed, shape, size, progress=self.progress, layout=as_layout(self.layout))  # fmt: skip

        def run(rows: slice) -> Part:
            return self._part(sliced(given, rows), layers, rows, setting)

        parts = in_batches(run, count, size, self.backend, progress=self.progress)
        warn_of_score(parts)
        warn_of_flaws(parts, layers, tuple(self.targets), self.methods)
        return self._result(given, layers, parts, labels, sample_names)

    def stream(self, loader: Iterable[Any]) -> Iterator[Explanation]:
        """Explain batch after batch without holding more than one.

        Args:
            loader: Yields inputs, or pairs of inputs and integer class labels ``(batch,)`` as a
                ``DataLoader`` does.

        Yields:
            One explanation a batch; samples are numbered on from batch to batch.
        """
        start = 0
        for item in loader:
            inputs, labels = _unpaired(item)
            signals = self.taken(inputs)
            count = samples_in(as_inputs(inputs if signals is None else signals.array))
            own = None if signals is None else signals.sample_names
            yield self(inputs, labels=labels, sample_names=own or range(start, start + count))
            start += count

    def taken(self, inputs: Any) -> Signals | None:
        """The signals in an object of pandas, xarray, MNE, wfdb and others; ``None`` for plain arrays."""
        axis = None if self.preprocess else self.backend.channel_axis(self.model)
        return taken(inputs, as_layout(self.layout), axis)

    def of(self, signals: Signals) -> Explainer:
        """The same for signals that say themselves what their axes are."""
        return self._like(layout=signals.layout or self.layout)

    def _labels_of(self, signals: Signals) -> tuple[str, ...] | None:
        """The true classes that signals come with, if each is one of the classes by name."""
        known = signals.labels and self.class_names and set(signals.labels) <= set(self.class_names)
        return signals.labels if known else None

    def _on_raw(self, how: Preprocessing, inputs: Any, **per_sample: Any) -> Explanation:
        """Explain what the network is given, then draw it on the raw signal."""
        raw = Raw.of(inputs, as_layout(self.layout), how, self.backend, self.nan)
        made = raw.prepared()
        shape = tuple(raw.signal.shape[1:])
        if shape not in self._remembered:
            self._remembered[shape] = raw.links(made)
        exp = self._like(preprocess=None, layout=how.layout)(made.tree, **per_sample)
        return on_raw(exp, raw, self._remembered[shape])

    def _like(self, **changes: Any) -> Explainer:
        """The same with other options; what was found out about the model is shared."""
        other = replace(self, **changes)
        object.__setattr__(other, "_remembered", self._remembered)
        return other

    # --- before the model runs -------------------------------------------------------------------

    def _check(self, given: Inputs, **per_sample: Sequence[Any] | None) -> None:
        count = samples_in(given)
        check_layout(as_layout(self.layout), given.explained.shape)
        for what, values in per_sample.items():
            if values is not None and len(values) != count:
                message = f"{len(values)} {what} for {count} samples. Give one a sample, in order."
                raise InputError(message)
        names = per_sample.get("sample_names")
        if names is not None and len(set(map(str, names))) < count:
            message = "sample_names holds a name twice. Give each sample its own."
            raise InputError(message)
        for target in self.targets.values():
            target.check_count(count)
        check_finite(given, self.backend, self.nan)

    def _layers(self, given: Inputs) -> tuple[str, ...]:
        if self.layer is not None:
            names = [self.backend.resolve(self.model, each) for each in _several(self.layer)]
            return tuple(dict.fromkeys(names))
        if "layers" not in self._remembered:
            self._remembered["layers"] = (self._last_layer_felt(given),)
            _log.info("explaining layer %r", self._remembered["layers"][0])
        return self._remembered["layers"]

    def _last_layer_felt(self, given: Inputs) -> str:
        """The last layer with positions that every target depends on, in each of the first samples."""
        for layer in reversed(self.listed(given)):
            if self.felt(given, [layer], np.min)[0] > 0:
                return layer.name
        message = (
            f"no layer of {type(self.model).__name__} has both positions and a gradient for "
            f"target {next(iter(self.targets))!r}. Name one with layer=..., or list them with "
            "signalcam.layers(model, example)."
        )
        raise ModelError(message)

    def listed(self, given: Inputs) -> list[Layer]:
        """The layers whose output has positions, in the order they finish."""
        return self.backend.layers(self.model, sliced(given, _FEW))

    def felt(
        self, given: Inputs, layers: Sequence[Layer], among: Callable[[Any], Any] = np.max
    ) -> list[float]:
        """How strongly the targets depend on each layer: the root mean square of the gradient.

        Args:
            given: The inputs, of which the first samples are used.
            layers: Where to look.
            among: Which of the targets and samples counts: the strongest, or ``np.min``.
        """
        few, names = sliced(given, _FEW), [each.name for each in layers]
        pull = self.backend.pull(self.model, few, names, self._ask(_FEW))
        rows = [[among(_strength(self.backend, each)) for each in row] for row in pull.rows]
        return [float(among(column)) for column in zip(*rows, strict=True)]

    # --- while it runs ---------------------------------------------------------------------------

    def _ask(self, rows: slice) -> Question:
        targets = tuple(self.targets.values())
        return question(targets, rows, self.score, self.class_names, self.output)

    @cached_property
    def _reads_gradients(self) -> bool:
        return any(each.needs_gradients and each.kind == "plain" for each in self.methods)

    def _part(self, batch: Inputs, layers: Sequence[str], rows: slice, setting: Setting) -> Part:
        asked = self._ask(rows)
        if not self._reads_gradients:
            asked = replace(asked, kind=None)
        pull = self.backend.pull(self.model, batch, layers, asked)
        felt = replace(pull, rows=self._reached(pull, layers)) if self._reads_gradients else pull
        score = asked.provenance(pull.reading)
        planned = any(each.plan or each.kind != "plain" for each in self.methods)
        inputs = self.backend.prepared(self.model, batch) if planned else batch
        given = Given(inputs, asked, rows.start)
        return part_of(felt, self.methods, setting, given, score, signed=self.signed)

    def _reached(self, pull: Pull, layers: Sequence[str]) -> Iterator[Sequence[Felt]]:
        """Pass on each target's gradients, or say which layer has none."""
        for label, row in zip(self.targets, pull.rows, strict=True):
            for name, felt in zip(layers, row, strict=True):
                if felt.gradient is None:
                    message = (
                        f"layer {name!r} gave no gradient for target {label!r}: its output does "
                        "not reach the score, or a step between them has no gradient (quantised, "
                        "detached, rounded). Choose another: signalcam.layers(model, example)."
                    )
                    raise ModelError(message)
            yield row

    # --- afterwards ------------------------------------------------------------------------------

    def measured(self, given: Inputs, layer: str) -> dict[int, Axis]:
        """Where a layer looks, by layer axis; only the axes that could be measured."""
        return measured_axes(self.backend, self.model, given, layer, self._candidates(given))

    def _candidates(self, given: Inputs) -> list[int]:
        channel_axis = self.backend.channel_axis(self.model)
        return candidates(as_layout(self.layout), given.explained.ndim, channel_axis)

    def _grid(self, given: Inputs, layer: str, cells: tuple[int, ...]) -> dict[int, Axis]:
        shape, axes = tuple(given.explained.shape), self._candidates(given)
        return grid(self.measured(given, layer), cells, shape, axes, self.align, layer)

    def _result(
        self,
        given: Inputs,
        names: Sequence[str],
        parts: Sequence[Part],
        labels: Sequence[Any] | None,
        sample_names: Sequence[Any] | None,
    ) -> Explanation:
        columns = list(zip(*[part.layers for part in parts], strict=True))
        grids = [self._grid(given, column[0].ran, column[0].cells) for column in columns]
        for column, each in zip(columns, grids, strict=True):
            warn_of_spread(each, column[0].ran, self.align)
        shape = tuple(given.explained.shape)
        layers = tuple(
            layer_maps(name, column, fine_grid(each, shape, column[0].at))
            for name, column, each in zip(names, columns, grids, strict=True)
        )
        said = said_by_all(parts)
        x = self.backend.numpy(given.explained)
        position_axes = sorted({axis.input_axis for each in grids for axis in each.values()})
        return Explanation(
            layers=layers,
            targets=tuple(self.targets),
            methods=tuple(method.name for method in self.methods),
            layout=named(as_layout(self.layout), x.ndim, position_axes),
            input=x,
            scores=said.scores,
            target_classes=said.index,
            logits=said.logits,
            probabilities=said.probabilities,
            classes=said.predicted,
            true_classes=None if labels is None else self._true_classes(labels, said),
            class_names=None if self.class_names is None else tuple(self.class_names),
            sample_names=tuple(range(len(x)) if sample_names is None else sample_names),
            provenance=self._provenance(parts[0]),
        )

    def _true_classes(self, labels: Sequence[Any], said: Said) -> np.ndarray:
        index = _class_indices(labels, self.class_names)
        if said.probabilities is None:
            return index
        classes = int(said.probabilities.shape[1])
        wrong = index[(index < 0) | (index >= classes)]
        if len(wrong):
            message = (
                f"label {wrong[0]} is no class: the model tells {classes} classes apart, 0 to {classes - 1}. "
                "Leave labels=... out where the true class is not known."
            )
            raise TargetError(message)
        return index

    def _provenance(self, part: Part) -> dict[str, Any]:
        return {
            "model": type(self.model).__name__,
            "score": part.score,
            **({"trials run": part.ran_again} if part.ran_again else {}),
            "signed": str(self.signed),
            "align": self.align,
            "signalcam": _version(),
            self.backend.name: self.backend.version,
            "numpy": np.__version__,
            "python": platform.python_version(),
        }


def explain(  # noqa: PLR0913 - the front door: every parameter is a question users ask
    model: Any, inputs: Any, *,
    method: OneOrMore = "grad-cam", layer: OneOrMore = None, target: OneOrMore = "predicted",
    layout: Layout | str | Sequence[str] | None = None, class_names: Sequence[str] | None = None,
    labels: Sequence[int | str] | None = None, sample_names: Sequence[Any] | None = None,
    batch_size: int | None = None, progress: bool = False, signed: bool = False,
    score: str | Callable[[Array], Array] = "logit", align: Alignment = "receptive-field", nan: NotFinite = "raise",
    output: Selector = None,
    preprocess: Callable[[Any], Any] | Preprocessing | None = None,
) -> Explanation:  # fmt: skip
    """Show which part of each input made the model answer as it did.

    Args:
        model: See ``Explainer``, like every parameter not named here.
        inputs: What the model takes, batch first: an array (NumPy or the framework's), or a tuple or
            dict of arrays. The map is drawn on the one with the most axes. A pandas ``DataFrame``, an
            xarray ``DataArray``, MNE and wfdb recordings, ``(waveform, rate)`` and feature dicts go in as
            they are, and say their names and rates themselves.
        method: See ``Explainer``.
        layer: See ``Explainer``.
        target: See ``Explainer``.
        layout: See ``Explainer``.
        class_names: See ``Explainer``.
        labels: The true class of each sample, by index or name, for titles and later comparison.
        sample_names: One name a sample.
        batch_size: See ``Explainer``.
        progress: See ``Explainer``.
        signed: See ``Explainer``.
        score: See ``Explainer``.
        align: See ``Explainer``.
        nan: See ``Explainer``.
        output: See ``Explainer``.
        preprocess: See ``Explainer``.

    Returns:
        Maps for every sample, target, method and layer, from one forward pass and one backward pass a
        target for each batch.

    Raises:
        CamError: Something does not fit; the message says what to do.

    Example:
        >>> import signalcam as sc
        >>> exp = sc.explain(network, ecg)
        >>> ax = exp.plot(sample=0)
    """
    explainer = Explainer(
        model, method=method, layer=layer, target=target, layout=layout, class_names=class_names, batch_size=batch_size,
        progress=progress, signed=signed, score=score, align=align, nan=nan, output=output, preprocess=preprocess,
    )  # fmt: skip
    return explainer(inputs, labels=labels, sample_names=sample_names)


@cache
def _version() -> str:
    return version("signalcam")


def _several(value: Any) -> Sequence[Any]:
    if isinstance(value, list | tuple):
        if not value:
            message = "an empty list was given for method, layer or target. Give at least one, or leave it out."
            raise MethodError(message)
        return value
    return [value]


def _unpaired(item: Any) -> tuple[Any, Any]:
    """Split ``(inputs, labels)`` as loaders yield it; anything else is inputs."""
    pair = isinstance(item, list | tuple) and len(item) == 2 and is_array(item[1])
    if pair and len(item[1].shape) == 1 and "int" in str(item[1].dtype):
        return item[0], item[1]
    return (
        tuple(item)
        if isinstance(item, list) and len(item) > 1
        else item[0]
        if isinstance(item, list)
        else item
    ), None


def _class_indices(labels: Sequence[Any], names: Sequence[str] | None) -> np.ndarray:
    try:
        plain = [each if isinstance(each, str) else int(each) for each in labels]
    except (TypeError, ValueError) as error:
        message = "labels must be one class index or name a sample, not rows of them. Pass y.argmax(1) for one-hot."
        raise InputError(message) from error
    return np.asarray([class_index(each, names) for each in plain])


def _strength(backend: Backend, felt: Felt) -> np.ndarray:
    """The root mean square of each sample's gradient."""
    if felt.gradient is None:
        return np.zeros(1)
    g = backend.numpy(felt.gradient)
    strength: np.ndarray = np.sqrt(np.mean(g.reshape(len(g), -1) ** 2, axis=1))
    return strength
