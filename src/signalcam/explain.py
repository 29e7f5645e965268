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
from signalcam.backends.protocol import Backend, Felt, Inputs, Layer, Pull
from signalcam.batches import (
    NotFinite,
    as_inputs,
    check_finite,
    first_size,
    in_batches,
    samples_in,
    sliced,
)
from signalcam.checks import check_options, check_samples, several, true_classes, unpaired
from signalcam.choosing import last_felt, strengths
from signalcam.errors import ModelError
from signalcam.explanation import Explanation
from signalcam.formulas import Method, find
from signalcam.layout import Layout, as_layout, check_layout, named
from signalcam.parts import (
    Given,
    Part,
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
from signalcam.targets import Question, Target, as_target, question
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
            name, ``PerSample([...])``, ``Output(function)`` or such a function.
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
    _remembered: dict[str, tuple[str, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if self.class_names is not None:
            object.__setattr__(self, "class_names", tuple(map(str, self.class_names)))
        check_options(self.align, self.nan, self.batch_size, self.class_names)
        _ = (
            self.methods,
            self.targets,
            self.score_name,
            self.backend,
        )  # wrong names are told at once
        scores.find(self.score)
        as_layout(self.layout)

    @cached_property
    def backend(self) -> Backend:
        """The backend that owns the model."""
        return backend_of(self.model)

    @cached_property
    def methods(self) -> tuple[Method, ...]:
        """The methods asked for, each once."""
        return tuple(dict.fromkeys(find(each) for each in several(self.method)))

    @cached_property
    def targets(self) -> dict[str, Target]:
        """The questions asked, by the name they have in the result."""
        named_targets: dict[str, Target] = {}
        for wanted in several(self.target):
            target = as_target(wanted, self.class_names)
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
        given = as_inputs(inputs)
        count = samples_in(given)
        self._check(given, labels=labels, sample_names=sample_names)
        layers = self._layers(given)
        size = self.batch_size or first_size(given, self.backend, self.model)

        shape = tuple(given.explained.shape)

        def placed(layer: str, cells: tuple[int, ...]) -> dict[int, Axis]:
            return self._grid(given, layer, cells)

        setting = Setting(self.backend, self.model, placed, shape, size, progress=self.progress)

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
            inputs, labels = unpaired(item)
            count = samples_in(as_inputs(inputs))
            yield self(inputs, labels=labels, sample_names=range(start, start + count))
            start += count

    # --- before the model runs -------------------------------------------------------------------

    def _check(self, given: Inputs, **per_sample: Sequence[Any] | None) -> None:
        check_layout(as_layout(self.layout), given.explained.shape)
        check_samples(samples_in(given), tuple(self.targets.values()), **per_sample)
        check_finite(given, self.backend, self.nan)

    def _layers(self, given: Inputs) -> tuple[str, ...]:
        if self.layer is not None:
            names = [self.backend.resolve(self.model, each) for each in several(self.layer)]
            return tuple(dict.fromkeys(names))
        if "layers" not in self._remembered:
            self._remembered["layers"] = (self._last_layer(given),)
            _log.info("explaining layer %r", self._remembered["layers"][0])
        return self._remembered["layers"]

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
        return strengths(
            self.backend, self.model, sliced(given, _FEW), layers, self._ask(_FEW), among
        )

    def _last_layer(self, given: Inputs) -> str:
        """The last layer with positions that every target depends on, in each of the first samples."""
        few, asked = sliced(given, _FEW), self._ask(_FEW)
        found = last_felt(self.backend, self.model, few, self.listed(given), asked)
        if found is None:
            message = (
                f"no layer of {type(self.model).__name__} has both positions and a gradient for "
                f"target {next(iter(self.targets))!r}. Name one with layer=..., or list them with "
                "signalcam.layers(model, example)."
            )
            raise ModelError(message)
        return found

    # --- while it runs ---------------------------------------------------------------------------

    def _ask(self, rows: slice) -> Question:
        return question(tuple(self.targets.values()), rows, self.score, self.class_names)

    @cached_property
    def _reads_gradients(self) -> bool:
        return any(each.needs_gradients and each.kind == "plain" for each in self.methods)

    def _part(self, batch: Inputs, layers: Sequence[str], rows: slice, setting: Setting) -> Part:
        asked = self._ask(rows)
        if not self._reads_gradients:
            asked = replace(asked, kind=None)
        pull = self.backend.pull(self.model, batch, layers, asked)
        felt = replace(pull, rows=self._reached(pull, layers)) if self._reads_gradients else pull
        score = scores.provenance(self.score_name, pull.reading)
        planned = any(each.plan or each.kind != "plain" for each in self.methods)
        inputs = self.backend.prepared(self.model, batch) if planned else batch
        given = Given(inputs, asked)
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
        classes = None if said.probabilities is None else int(said.probabilities.shape[1])
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
            true_classes=None
            if labels is None
            else true_classes(labels, self.class_names, classes),
            class_names=None if self.class_names is None else tuple(self.class_names),
            sample_names=tuple(range(len(x)) if sample_names is None else sample_names),
            provenance=self._provenance(parts[0]),
        )

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
) -> Explanation:  # fmt: skip
    """Show which part of each input made the model answer as it did.

    Args:
        model: See ``Explainer``, like every parameter not named here.
        inputs: What the model takes, batch first: an array (NumPy or the framework's), or a tuple or
            dict of arrays. The map is drawn on the one with the most axes.
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
        progress=progress, signed=signed, score=score, align=align, nan=nan,
    )  # fmt: skip
    return explainer(inputs, labels=labels, sample_names=sample_names)


@cache
def _version() -> str:
    return version("signalcam")
