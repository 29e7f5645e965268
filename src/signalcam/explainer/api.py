"""The front door: a model and an input go in, one labelled result comes out."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.metadata import version
from typing import Any, TypeAlias, cast

import numpy as np

from signalcam.arrays import Array
from signalcam.attribution.registry import Method, find
from signalcam.backends import backend_of, network_of
from signalcam.backends.protocol import Backend, Layer
from signalcam.backends.token_grid import TokenGridBackend
from signalcam.backends.unsupported import WITHOUT_GRADIENT, explain_no_positions
from signalcam.errors import InputError, ModelError, is_count
from signalcam.explainer.assemble import build_explanation
from signalcam.explainer.batch_result import BatchResult
from signalcam.explainer.batching import NotFinite, check_finite, count_samples, progress_bar
from signalcam.explainer.layer_selection import (
    is_pattern,
    last_layer_with_gradient,
    layers_depending_on_input,
    match_layers,
)
from signalcam.explainer.map_warnings import warn_of_flaws, warn_of_score
from signalcam.explainer.padding_plan import plan_batches
from signalcam.explainer.preprocessing import Preprocessing, RawSignal, as_preprocessing, map_to_raw
from signalcam.explainer.receptive_fields import PROBED_SAMPLES, Alignment, warn_of_spread
from signalcam.explainer.runner import ExplainedInput, Runner
from signalcam.inputs.containers import ContainerData, read_container
from signalcam.inputs.conversion import as_inputs
from signalcam.inputs.explained_inputs import ExplainedInputs, describe_extra, select_inputs
from signalcam.inputs.layout import Layout, as_layout
from signalcam.inputs.pytree import Inputs, path_to_str
from signalcam.inputs.tokens import Tokens, as_tokens
from signalcam.inputs.validation import as_list, check_options, check_samples, split_labels
from signalcam.results.explanation import Explanation
from signalcam.targets import Selector, Target, as_target, score_functions

_log = logging.getLogger("signalcam")

OneOrMore: TypeAlias = Any  # one value, or a list or tuple of them; a dict of these by input
Layouts: TypeAlias = Layout | str | Sequence[str] | Mapping[Any, Layout | str] | None


@dataclass(frozen=True)
class Explainer:
    """Explains one model in one way, as often as you like.

    Args:
        model: A ``torch.nn.Module`` or a Keras model, or a fitted estimator or learner that holds one (skorch,
            braindecode, aeon, tsai). It is borrowed: it comes back exactly as it was.
        method: One or several: names from ``signalcam.methods()``, or ``Method`` objects.
        layer: One or several: names or layer objects. ``"conv[1]"`` is the second call of a layer that
            runs twice, ``"stage4.*"`` every layer with positions of such a name. ``None`` takes the last
            layer with positions that the score depends on.
        target: One or several questions, each asked of every sample: ``"predicted"``, a class index or
            name, a function of the model's output, or one of ``Predicted(rank)``, ``TrueLabel()``,
            ``PerSample([...])``, ``Contrast(c, foil=f)``, ``Finer``, ``Counterfactual``, ``Regression``, ``Region``,
            ``Similarity``, ``OutputSection``.
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
        of: The input that the map is drawn on where there are several: its key or number, or a tuple of
            these from outside in. A list gives maps of each, see ``Explanation.modality``; ``layer`` and
            ``layout`` are then dicts by the same names. ``None`` takes the one with the most axes.
        output: Which of several outputs holds the scores: a key, a number, or a function from what the model
            returned to an array. ``None`` takes logits by their name, else the first array.
        preprocess: Turns the raw batch that is passed in into what the network takes: a function, or a
            ``Preprocessing``. The maps lie on the raw signal, whose axes ``layout`` names.
        tokens: How a transformer's tokens lie where that is not found: how many stand before the first one
            that has a place, or ``Tokens(prefix=1, grid=(14, 14))``.

    Raises:
        CamError: An option names something that does not exist.

    Example:
        >>> explainer = Explainer(network, layer="conv2", method="hires-cam")
        >>> explainer(ecg).maps.dims
        ('sample', 'target', 'cam', 'layer', 'time')
    """

    model: Any
    method: OneOrMore = "grad-cam"
    layer: OneOrMore = None
    target: OneOrMore = "predicted"
    layout: Layouts = None
    class_names: Sequence[str] | None = None
    batch_size: int | None = None
    progress: bool = False
    signed: bool = False
    score: str | Callable[[Array], Array] = "logit"
    align: Alignment = "receptive-field"
    nan: NotFinite = "raise"
    of: Any = None
    output: Selector = None
    preprocess: Callable[[Any], Any] | Preprocessing | None = None
    tokens: Tokens | int | None = None
    _remembered: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", network_of(self.model))
        if self.class_names is not None:
            object.__setattr__(self, "class_names", tuple(map(str, self.class_names)))
        check_options(self.align, self.nan, self.batch_size, self.class_names)
        _ = (
            self.methods,
            self.targets,
            self.score_name,
            self.backend,
        )  # wrong names are told at once
        score_functions.find(self.score)
        for layout in self.layout.values() if isinstance(self.layout, Mapping) else [self.layout]:
            as_layout(layout)
        as_preprocessing(self.preprocess)

    @cached_property
    def folding(self) -> TokenGridBackend:
        """The backend that owns the model, its tokens folded."""
        return TokenGridBackend(backend_of(self.model), as_tokens(self.tokens))

    @property
    def backend(self) -> Backend:
        """The same, as one of the backends."""
        return cast("Backend", self.folding)

    @cached_property
    def methods(self) -> tuple[Method, ...]:
        """The methods asked for, each once."""
        return tuple(dict.fromkeys(find(each) for each in as_list(self.method)))

    @cached_property
    def targets(self) -> dict[str, Target]:
        """The questions asked, by the name they have in the result."""
        named_targets: dict[str, Target] = {}
        for wanted in as_list(self.target):
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
        return score_functions.find(self.score)[0]

    def __call__(
        self,
        inputs: Any,
        *,
        extra: Mapping[str, Any] | None = None,
        labels: Sequence[int | str] | None = None,
        sample_names: Sequence[Any] | None = None,
    ) -> Explanation:
        """Explain the model's answer to some inputs; see ``explain``."""
        if (signals := self.taken(inputs)) is not None:
            names = signals.sample_names if sample_names is None else sample_names
            truth = self._labels_of(signals) if labels is None else labels
            own = self.told_by(signals)
            return own(signals.array, extra=extra, labels=truth, sample_names=names)
        if how := as_preprocessing(self.preprocess):
            return self._on_raw(how, inputs, extra=extra, labels=labels, sample_names=sample_names)
        known = [each.with_labels(labels) for each in self.targets.values()]
        if known != list(self.targets.values()):
            settled = self._like(target=known)
            return settled(inputs, extra=extra, labels=labels, sample_names=sample_names)
        here = self.drawn(as_inputs(inputs, _first(self.of), extra))
        self._check(here, labels=labels, sample_names=sample_names)
        running = replace(self.running, explained=self.shown(here))
        plan = plan_batches(running, here.samples, here.whole, self._remembered)
        with progress_bar(here.samples.count, visible=self.progress) as done:
            pieces = [piece for group in plan.groups() for piece in running.pieces(group, done)]
        parts = [part for piece in pieces for part in piece.parts]
        warn_of_score(parts)
        warn_of_flaws(parts, running.layers, tuple(self.targets), self.methods)
        warn_of_spread([each.grids for each in pieces], [each.ran for each in parts[0].layers], self.align)
        about = self.about(parts[0], plan.how) | describe_extra(here.samples.inputs)
        return build_explanation(running, plan, pieces, about=about, labels=labels, sample_names=sample_names)

    def stream(self, loader: Iterable[Any], *, extra: Mapping[str, Any] | None = None) -> Iterator[Explanation]:
        """Explain batch after batch without holding more than one.

        Args:
            loader: Yields inputs, or pairs of inputs and integer class labels ``(batch,)`` as a
                ``DataLoader`` does. A list of arrays is taken for several inputs, as a ``DataLoader``
                yields them, unless a layout, or their shapes, say that they are samples.
            extra: What the model takes by keyword beside every batch, see ``explain``.

        Yields:
            One explanation a batch; samples are numbered on from batch to batch.
        """
        start = 0
        for item in loader:
            inputs, labels = split_labels(item, self.layout)
            signals = self.taken(inputs)
            count = count_samples(as_inputs(inputs if signals is None else signals.array))
            own = None if signals is None else signals.sample_names
            names = own or range(start, start + count)
            yield self(inputs, extra=extra, labels=labels, sample_names=names)
            start += count

    def taken(self, inputs: Any) -> ContainerData | None:
        """The signals in an object of pandas, xarray, MNE, wfdb and others; ``None`` for plain arrays."""
        if isinstance(self.layout, Mapping):
            return None
        axis = None if self.preprocess else self.backend.channel_axis(self.model)
        return read_container(inputs, as_layout(self.layout), axis)

    def told_by(self, signals: ContainerData) -> Explainer:
        """The same for signals that say themselves what their axes are."""
        return self._like(layout=signals.layout or self.layout)

    def _labels_of(self, signals: ContainerData) -> tuple[int | str, ...] | None:
        """The true classes that signals come with, if each is a class by number or name."""
        classes, labels = self.class_names or (), signals.labels or ()
        known = all(is_count(each, 0) or each in classes for each in labels)
        return signals.labels if known else None

    def _on_raw(self, how: Preprocessing, inputs: Any, **more: Any) -> Explanation:
        """Explain what the network is given, then draw it on the raw signal."""
        if isinstance(self.layout, Mapping) or self.of is not None:
            message = "preprocess= makes the network's one input of one raw signal, so of= and a layout by input have no place beside it. Prepare several inputs yourself and leave preprocess= out."
            raise InputError(message)
        raw = RawSignal.of(inputs, as_layout(self.layout), how, self.backend, self.nan)
        made = raw.prepared()
        key = ("links", *raw.signal.shape[1:])
        if key not in self._remembered:
            self._remembered[key] = raw.links(made)
        exp = self._like(preprocess=None, layout=how.layout)(made.tree, **more)
        return map_to_raw(exp, raw, self._remembered[key])

    def _like(self, **changes: Any) -> Explainer:
        """The same with other options; what was found out about the model is shared."""
        other = replace(self, **changes)
        object.__setattr__(other, "_remembered", self._remembered)
        return other

    # --- before the model runs -------------------------------------------------------------------

    @cached_property
    def running(self) -> Runner:
        """What stays the same for all inputs."""
        return Runner(
            self.folding,
            self.model,
            self.methods,
            self.targets,
            self.score,
            self.class_names,
            self.output,
            self.signed,
            self.align,
            self.batch_size,
            self.progress,
        )

    def drawn(self, given: Inputs) -> ExplainedInputs:
        """Which of the inputs maps are drawn on, and what was said about them."""
        of = list(self.layer) if self.of is None and isinstance(self.layer, Mapping) else self.of
        return select_inputs(
            given, of, self.layout, self.layer, self.backend.channel_axis(self.model), self.backend.numpy
        )

    def _check(self, here: ExplainedInputs, **per_sample: Sequence[Any] | None) -> None:
        check_samples(here.samples.count, tuple(self.targets.values()), **per_sample)
        check_finite(here.samples.inputs, self.backend, self.nan)

    def shown(self, here: ExplainedInputs) -> tuple[ExplainedInput, ...]:
        """The inputs that maps are drawn on, with their layers."""
        rows = here.samples.alike()[0][:PROBED_SAMPLES]
        few = here.samples.group(rows).inputs
        return tuple(
            ExplainedInput(name, path, here.layouts.get(path), self._layers(few.at(path), rows, asked))
            for name, path, asked in zip(here.names, here.paths, here.layers, strict=True)
        )

    def _layers(self, few: Inputs, rows: np.ndarray, asked: OneOrMore) -> tuple[str, ...]:
        if asked is not None:
            names = [name for each in as_list(asked) for name in self._meant(few, rows, each)]
            return tuple(dict.fromkeys(names))
        if few.path not in self._remembered:
            self._remembered[few.path] = (self._last_layer(few, rows),)
            _log.info("explaining layer %r", self._remembered[few.path][0])
        found: tuple[str, ...] = self._remembered[few.path]
        return found

    def _meant(self, few: Inputs, rows: np.ndarray, layer: Any) -> Sequence[str]:
        """The layers meant by a name, an object or a pattern."""
        if not is_pattern(layer):
            return [self.backend.resolve(self.model, layer)]
        key = ("pattern", few.path, layer)
        if key not in self._remembered:
            _, own = self._listed(few, rows)
            self._remembered[key] = match_layers(layer, [each.name for each in own])
        found: Sequence[str] = self._remembered[key]
        return found

    def _listed(self, few: Inputs, rows: np.ndarray) -> tuple[list[Layer], list[Layer]]:
        """The layers with positions that ran, and those of them that see the explained input."""
        listed = self.backend.layers(self.model, few)
        return listed, layers_depending_on_input(self.backend, self.model, few, listed, self.running.ask(rows))

    def _last_layer(self, few: Inputs, rows: np.ndarray) -> str:
        """The last layer that the explained input and every target have to do with."""
        asked, (listed, own) = self.running.ask(rows), self._listed(few, rows)
        found = last_layer_with_gradient(self.backend, self.model, few, own, asked)
        if found is None and own and not any(map(_differentiates, self.methods)):
            return own[-1].name
        if found is None and not listed:
            raise ModelError(explain_no_positions(self.model))
        if found is None:
            of_it = f" that depends on {path_to_str(few.path[-1:])!r}" if len(own) < len(listed) else ""
            message = (
                f"no layer of {type(self.model).__name__}{of_it} has both positions and a gradient for "
                f"target {next(iter(self.targets))!r}. Name one with layer=..., or list them with "
                f"signalcam.layers(model, example). {WITHOUT_GRADIENT if own else ''}".rstrip()
            )
            raise ModelError(message)
        return found

    def about(self, part: BatchResult, how: str) -> dict[str, Any]:
        """The provenance of a result."""
        folded = [f"{each.ran}: {each.tokens.description}" for each in part.layers if each.tokens]
        return {
            "model": type(self.model).__name__,
            "score": part.score,
            **({"trials run": part.rerun_reason} if part.rerun_reason else {}),
            **({"unequal lengths": how} if how else {}),
            **({"tokens": "; ".join(folded)} if folded else {}),
            "signed": str(self.signed),
            "align": self.align,
            "signalcam": _version(),
            self.backend.name: self.backend.version,
            "numpy": np.__version__,
            "python": platform.python_version(),
        }


def explain(  # noqa: PLR0913 - the front door: every parameter is a question users ask
    model: Any,
    inputs: Any,
    *,
    method: OneOrMore = "grad-cam",
    layer: OneOrMore = None,
    target: OneOrMore = "predicted",
    layout: Layouts = None,
    class_names: Sequence[str] | None = None,
    of: Any = None,
    extra: Mapping[str, Any] | None = None,
    labels: Sequence[int | str] | None = None,
    sample_names: Sequence[Any] | None = None,
    batch_size: int | None = None,
    progress: bool = False,
    signed: bool = False,
    score: str | Callable[[Array], Array] = "logit",
    align: Alignment = "receptive-field",
    nan: NotFinite = "raise",
    output: Selector = None,
    preprocess: Callable[[Any], Any] | Preprocessing | None = None,
    tokens: Tokens | int | None = None,
) -> Explanation:
    """Show which part of each input made the model answer as it did.

    Args:
        model: See ``Explainer``, like every parameter not named here.
        inputs: What the model takes, batch first: an array (NumPy or the framework's), or a tuple or
            dict of arrays. A list of arrays holds single samples, which may be of unequal length.
        method: See ``Explainer``.
        layer: See ``Explainer``.
        target: See ``Explainer``.
        layout: See ``Explainer``.
        class_names: See ``Explainer``.
        of: See ``Explainer``.
        extra: What the model takes by keyword beside the inputs, in every run: arrays with a row a sample,
            ``signalcam.Lengths()``, ``signalcam.Mask()``, and anything else as it is.
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
        tokens: See ``Explainer``.

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
        model,
        method=method,
        layer=layer,
        target=target,
        layout=layout,
        class_names=class_names,
        batch_size=batch_size,
        progress=progress,
        signed=signed,
        score=score,
        align=align,
        nan=nan,
        of=of,
        output=output,
        preprocess=preprocess,
        tokens=tokens,
    )
    return explainer(inputs, extra=extra, labels=labels, sample_names=sample_names)


def _differentiates(method: Method) -> bool:
    return method.needs_gradients or method.family == "gradient"


@cache
def _version() -> str:
    return version("signalcam")


def _first(of: Any) -> Any:
    return next(iter(of), None) if isinstance(of, list) else of
