"""``explain`` and ``Explainer``: a model and inputs go in, one labelled result comes out.

One call goes straight through: ``read_inputs``, ``plan_batches``, ``Runner.run_group``, ``build_explanation``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias, cast

from signalcam.alignment.raw_to_network import AxisMap
from signalcam.arrays import Array
from signalcam.attribution.registry import Method, find
from signalcam.backends import backend_of, network_of
from signalcam.backends.protocol import Backend
from signalcam.backends.token_grid import TokenGridBackend
from signalcam.errors import InputError, is_count
from signalcam.explainer.assemble import build_explanation, describe_run
from signalcam.explainer.batching import NotFinite, check_finite, count_samples, progress_bar
from signalcam.explainer.layer_choice import choose_layers
from signalcam.explainer.map_warnings import warn_of_flaws, warn_of_score
from signalcam.explainer.padding_plan import plan_batches
from signalcam.explainer.preprocessing import Preprocessing, RawSignal, as_preprocessing, map_to_raw
from signalcam.explainer.receptive_fields import Alignment, warn_of_spread
from signalcam.explainer.runner import Runner
from signalcam.inputs.container_data import ContainerData
from signalcam.inputs.containers import read_container
from signalcam.inputs.conversion import as_inputs
from signalcam.inputs.explained_inputs import ExplainedInputs, describe_extra, select_inputs
from signalcam.inputs.layout import Layout, as_layout
from signalcam.inputs.pytree import Inputs
from signalcam.inputs.tokens import Tokens, as_tokens
from signalcam.inputs.validation import as_list, check_options, check_samples, split_labels
from signalcam.results.explanation import Explanation
from signalcam.targets import Selector, Target, as_target, score_functions

OneOrMore: TypeAlias = Any  # one value, or a list or tuple of them; a dict of these by input
Layouts: TypeAlias = Layout | str | Sequence[str] | Mapping[Any, Layout | str] | None


@dataclass(frozen=True)
class Request:
    """The inputs of one call as the network takes them, and what is known about each sample.

    Attributes:
        inputs: A nested structure of arrays, batch first.
        layout: Of the network's input.
        labels: The true class of each sample.
        sample_names: One name a sample.
        raw: The raw signal that ``preprocess=`` made the inputs of.
    """

    inputs: Any
    layout: Layouts
    labels: Sequence[Any] | None
    sample_names: Sequence[Any] | None
    raw: RawSignal | None = None


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
        _ = self.methods, self.targets, self.score_name, self.backend  # so that wrong names are refused at once
        for layout in self.layout.values() if isinstance(self.layout, Mapping) else [self.layout]:
            as_layout(layout)
        as_preprocessing(self.preprocess)

    @cached_property
    def folding(self) -> TokenGridBackend:
        """The backend that owns the model, with tokens folded to their grid."""
        return TokenGridBackend(backend_of(self.model), as_tokens(self.tokens))

    @property
    def backend(self) -> Backend:
        """``folding``, typed as one of the backends."""
        return cast("Backend", self.folding)

    @cached_property
    def methods(self) -> tuple[Method, ...]:
        """The methods asked for, each once."""
        return tuple(dict.fromkeys(find(each) for each in as_list(self.method)))

    @cached_property
    def targets(self) -> dict[str, Target]:
        """The targets, by their name in the result."""
        by_label: dict[str, Target] = {}
        for question in as_list(self.target):
            target = as_target(question, self.class_names)
            target = target.for_axis(self.backend.channel_axis(self.model))
            label = target.label(self.class_names)
            if by_label.get(label, target) != target:
                label = f"{label} {len(by_label) + 1}"
            by_label[label] = target
        return by_label

    @property
    def score_name(self) -> str:
        """The name of the score that is differentiated."""
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
        request = self.read_inputs(inputs, labels, sample_names)
        explainer = self.with_request(request)
        selection = explainer.select_inputs(as_inputs(request.inputs, _first(self.of), extra))
        explainer.check(selection, labels=request.labels, sample_names=request.sample_names)
        runner = explainer.with_layers(selection)
        plan = plan_batches(runner, selection.samples, selection.whole, self._remembered)
        with progress_bar(selection.samples.count, visible=self.progress) as done:
            groups = [result for group in plan.groups() for result in runner.run_group(group, done)]
        batches = [batch for group in groups for batch in group.parts]
        warn_of_score(batches)
        warn_of_flaws(batches, runner.layers, tuple(runner.targets), self.methods)
        warn_of_spread([each.grids for each in groups], [each.ran for each in batches[0].layers], self.align)
        provenance = describe_run(runner, batches[0], plan.how) | describe_extra(selection.samples.inputs)
        names = {"labels": request.labels, "sample_names": request.sample_names}
        exp = build_explanation(runner, plan, groups, about=provenance, **names)
        return exp if request.raw is None else map_to_raw(exp, request.raw, self._axis_maps(request.raw))

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
            data = self.read_container(inputs)
            count = count_samples(as_inputs(inputs if data is None else data.array))
            names = (None if data is None else data.sample_names) or range(start, start + count)
            yield self(inputs, extra=extra, labels=labels, sample_names=names)
            start += count

    # --- reading the inputs ------------------------------------------------------------------------

    def read_container(self, inputs: Any) -> ContainerData | None:
        """Read an object of pandas, xarray, MNE, wfdb and others; ``None`` for plain arrays."""
        if isinstance(self.layout, Mapping):
            return None
        axis = None if self.preprocess else self.backend.channel_axis(self.model)
        return read_container(inputs, as_layout(self.layout), axis)

    def read_inputs(
        self, inputs: Any, labels: Sequence[Any] | None = None, names: Sequence[Any] | None = None
    ) -> Request:
        """Read containers, and prepare a raw signal for the network."""
        layout = self.layout
        if (data := self.read_container(inputs)) is not None:
            inputs, layout = data.array, data.layout or layout
            names = data.sample_names if names is None else names
            labels = self._labels_of(data) if labels is None else labels
        if (how := as_preprocessing(self.preprocess)) is None:
            return Request(inputs, layout, labels, names)
        if isinstance(layout, Mapping) or self.of is not None:
            message = "preprocess= makes the network's one input of one raw signal, so of= and a layout by input have no place beside it. Prepare several inputs yourself and leave preprocess= out."
            raise InputError(message)
        raw = RawSignal.of(inputs, as_layout(layout), how, self.backend, self.nan)
        prepared = raw.prepared()
        self._axis_maps(raw, prepared)
        return Request(prepared.tree, how.layout, labels, names, raw)

    def _axis_maps(self, raw: RawSignal, prepared: Inputs | None = None) -> tuple[AxisMap, ...]:
        """How the network's input lies along the raw signal, measured once a shape."""
        key = ("links", *raw.signal.shape[1:])
        if key not in self._remembered and prepared is not None:
            self._remembered[key] = raw.links(prepared)
        axis_maps: tuple[AxisMap, ...] = self._remembered[key]
        return axis_maps

    def _labels_of(self, data: ContainerData) -> tuple[int | str, ...] | None:
        """The true classes that a container holds, if each is a class by number or name."""
        classes, labels = self.class_names or (), data.labels or ()
        usable = all(is_count(each, 0) or each in classes for each in labels)
        return data.labels if usable else None

    def with_request(self, request: Request) -> Explainer:
        """This explainer with the layout and the true classes of one call."""
        targets = [each.with_labels(request.labels) for each in self.targets.values()]
        changes: dict[str, Any] = {} if targets == list(self.targets.values()) else {"target": targets}
        if request.layout is not self.layout:
            changes["layout"] = request.layout
        if request.raw is not None:
            changes["preprocess"] = None
        return self.with_options(**changes) if changes else self

    def with_options(self, **changes: Any) -> Explainer:
        """This explainer with other options; what is remembered of the model is shared."""
        other = replace(self, **changes)
        object.__setattr__(other, "_remembered", self._remembered)
        return other

    # --- before the model runs -------------------------------------------------------------------

    @cached_property
    def runner(self) -> Runner:
        """The options that stay the same for all inputs, without layers."""
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

    def select_inputs(self, inputs: Inputs) -> ExplainedInputs:
        """Select the inputs to explain, with their layouts and the layers asked for."""
        of = list(self.layer) if self.of is None and isinstance(self.layer, Mapping) else self.of
        return select_inputs(
            inputs, of, self.layout, self.layer, self.backend.channel_axis(self.model), self.backend.numpy
        )

    def check(self, selection: ExplainedInputs, **per_sample: Sequence[Any] | None) -> None:
        """Raise unless there is one of everything a sample, and every number is finite."""
        check_samples(selection.samples.count, tuple(self.targets.values()), **per_sample)
        check_finite(selection.samples.inputs, self.backend, self.nan)

    def with_layers(self, selection: ExplainedInputs) -> Runner:
        """The runner for some inputs, with the layers whose maps are drawn on them."""
        return replace(self.runner, explained=choose_layers(self.runner, selection, self._remembered))


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


def _first(of: Any) -> Any:
    return next(iter(of), None) if isinstance(of, list) else of
