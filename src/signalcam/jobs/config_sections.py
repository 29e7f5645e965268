"""The sections of a job file, their fields and the checks on them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    StrictInt,
    model_validator,
)

from signalcam.errors import LayoutError, MethodError
from signalcam.inputs.layout import Layout

Dtype = Literal["float16", "float32", "uint8"]
Kind = Literal["label", "predicted", "right", "group"]
Score = Literal["logit", "log_odds", "probability", "log_prob_clamped"]
Alignment = Literal["receptive-field", "resize"]
BUILD = r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"
ADDRESS = r"^(auto|[^\s/]+:\d+)$"


def _as_list(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def allow_short_form(field: str) -> BeforeValidator:
    """Accept one word in place of a section, as the value of ``field``."""
    return BeforeValidator(lambda value: {field: str(value)} if isinstance(value, str | Path) else value)


Names: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_as_list), Field(min_length=1)]


class Section(BaseModel):
    """A section of a job file; unknown fields raise."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSection(BaseModel):
    """The samples; other fields are options of ``signalcam.data.open`` or ``of``."""

    model_config = ConfigDict(extra="allow", frozen=True)

    path: Annotated[str | tuple[str, ...] | None, Field(min_length=1)] = None
    build: Annotated[str | None, Field(pattern=BUILD)] = None
    arguments: Mapping[str, Any] = Field(default_factory=dict)
    format: str | None = None
    windows: Annotated[float, Field(gt=0)] | Mapping[str, Any] | None = None
    labels: str | None = None
    groups: str | None = None
    dtype: Literal["float16", "float32", "float64"] | None = None

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.path is None) == (self.build is None):
            message = "give either path, or build = 'module:function' that returns the samples"
            raise ValueError(message)
        if self.path is not None and self.arguments:
            message = "arguments are passed to build; leave them out where path is given"
            raise ValueError(message)
        if self.build is not None and (self.format is not None or self.windows is not None):
            message = "format and windows apply to files; with build leave them out, and let its function return sc.data.open(...)"
            raise ValueError(message)
        return self


class ModelSection(Section):
    """The network: how to build it, its weights and its device."""

    build: Annotated[str | None, Field(pattern=BUILD)] = None
    arguments: Mapping[str, Any] = Field(default_factory=dict)
    weights: str | None = None
    trust: bool = False
    device: str = "cpu"
    autocast: Literal["bfloat16", "float16"] | None = None
    class_names: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.build is None and self.weights is None:
            message = "give build = 'module:function', or weights that hold the whole model (.keras, .pt2)"
            raise ValueError(message)
        return self


class ExplainSection(Section):
    """The maps to compute; fields are those of ``signalcam.explain``."""

    method: Names = ("grad-cam",)
    layer: Names | None = None
    target: Annotated[
        tuple[StrictInt | str | Mapping[str, StrictInt | str], ...], BeforeValidator(_as_list), Field(min_length=1)
    ] = ("predicted",)
    signed: bool = False
    score: Score = "logit"
    align: Alignment = "receptive-field"


class LayoutSection(Section):
    """The axes of a batch; fields left out come from the data or are inferred."""

    dims: str | None = None
    sampling_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    channel_names: tuple[str, ...] | None = None
    units: str | None = None
    spacing: Mapping[str, float] | None = None
    axis_units: Mapping[str, str] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The fields that are set."""
        return {name: each for name, each in self if each is not None}

    @model_validator(mode="after")
    def _check_layout(self) -> Self:
        if self.dims is not None:
            try:
                Layout(**self.settings)
            except LayoutError as error:
                raise ValueError(str(error)) from error
        return self


class UnitsSection(Section):
    """Samples per unit, which is committed whole, and per batch through the model."""

    size: PositiveInt | None = None
    batch: PositiveInt = 32

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        if self.size is not None and self.size % self.batch:
            message = f"size is {self.size}, which is no multiple of batch, {self.batch}; choose a multiple"
            raise ValueError(message)
        return self

    def size_for(self, samples: int) -> int:
        """Samples per unit: ``size``, else 1024 up to a million samples, doubled when samples grow fourfold.

        So the number of units and their size grow alike: a billion samples make 30518 units of 32768. The size is
        rounded up to a multiple of ``batch``.
        """
        doublings = max(0, math.ceil(math.log2(samples / 1_000_000) / 2))
        return self.size or -(-(1024 * 2**doublings) // self.batch) * self.batch


class OutputSection(Section):
    """The store to write, and the dtype of its maps."""

    path: str
    dtype: Dtype = "float16"


class AggregatesSection(Section):
    """Aggregates computed while the job runs: over groups of samples, and around events."""

    by: tuple[Kind, ...] | None = None
    bins: Annotated[int, Field(ge=2, le=1024)] = 64
    quantiles: Annotated[
        tuple[Annotated[float, Field(ge=0, le=1)], ...], BeforeValidator(_as_list), Field(min_length=1)
    ] = (0.05, 0.25, 0.5, 0.75, 0.95)
    events: str | None = None
    before: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.2
    after: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.4


class MetricsSection(Section):
    """Metrics to score every map by; fields are those of ``signalcam.metrics.evaluate``."""

    names: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = ()
    measure: Literal["probability", "logit", "log_odds", "accuracy"] = "probability"
    imputer: float | str | None = None
    steps: Annotated[int, Field(ge=2)] | None = None
    window: PositiveInt | Mapping[str, PositiveInt] | None = None
    baselines: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = (
        "random-cam",
        "input-energy",
    )
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _check_names(self) -> Self:

        if self.names:
            check_metrics(self)
        return self


class EngineSection(Section):
    """The processes that do the work; only ``threads`` may change a number."""

    name: Literal["local", "ray", "rank"] = "local"
    processes: PositiveInt = 1
    threads: PositiveInt = 1
    address: Annotated[str | None, Field(pattern=ADDRESS)] = None
    cpus: Annotated[float, Field(ge=0)] = 1
    gpus: Annotated[float, Field(ge=0)] = 0
    timeout: Annotated[float | None, Field(gt=0)] = None
    on_error: Literal["record", "stop"] = "record"


def check_metrics(section: MetricsSection) -> None:
    """Raise ``MethodError`` for an unknown metric, imputer or baseline."""
    from signalcam.attribution.registry import find as find_method  # noqa: PLC0415 - only where scores are asked for
    from signalcam.metrics import find  # noqa: PLC0415
    from signalcam.metrics.imputers import as_imputer  # noqa: PLC0415

    names = [find(each).name for each in section.names]
    twice = [each for each in names if names.count(each) > 1]
    if twice:
        message = f"names holds {twice[0]!r} twice"
        raise MethodError(message)
    for baseline in section.baselines:
        find_method(baseline)
    if section.imputer is not None:
        as_imputer(section.imputer)
