"""The job file: reading, command-line changes, validation messages and the job's digest."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from signalcam.errors import JobError
from signalcam.jobs.config_sections import (
    ADDRESS,
    BUILD,
    AggregatesSection,
    DataSection,
    EngineSection,
    ExplainSection,
    LayoutSection,
    MetricsSection,
    ModelSection,
    OutputSection,
    Section,
    UnitsSection,
    allow_short_form,
)

_SHORT = {"model": "build", "metrics": "names"}  # the field that a section of one word sets; else path


class JobConfig(Section):
    """The description of a job; see ``Job``."""

    data: Annotated[DataSection, allow_short_form("path")]
    model: Annotated[ModelSection, allow_short_form("build")]
    output: Annotated[OutputSection, allow_short_form("path")]
    explain: ExplainSection = Field(default_factory=ExplainSection)
    layout: LayoutSection = Field(default_factory=LayoutSection)
    units: UnitsSection = Field(default_factory=UnitsSection)
    aggregates: AggregatesSection = Field(default_factory=AggregatesSection)
    metrics: Annotated[MetricsSection, allow_short_form("names")] = Field(default_factory=MetricsSection)
    engine: EngineSection = Field(default_factory=EngineSection)
    _folder: Path = PrivateAttr(default_factory=Path.cwd)

    def __init__(self, *, folder: str | Path | None = None, **sections: Any) -> None:
        try:
            super().__init__(**sections)
        except ValidationError as error:
            raise JobError(_error_text(error)) from None
        if folder is not None:
            self._folder = Path(folder).resolve()

    @field_validator("output")
    @classmethod
    def _check_path(cls, output: OutputSection) -> OutputSection:
        if not Path(output.path).name:
            message = "path names no folder; give one, such as 'maps.zarr'"
            raise ValueError(message)
        return output

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if self.output.dtype == "uint8" and self.explain.signed:
            message = (
                "output.dtype is 'uint8', which holds no negative evidence; choose float16, or explain.signed = false"
            )
            raise ValueError(message)
        if self.data.groups is None and "group" in (self.aggregates.by or ()):
            message = "aggregates.by names 'group', but data.groups is not set; name an array with one group per sample"
            raise ValueError(message)
        return self

    @classmethod
    def read(cls, path: str | Path, changes: Sequence[str] = ()) -> Self:
        """Read a job file.

        Args:
            path: The file, in TOML.
            changes: ``"section.name=value"`` each; they replace what the file says.

        Raises:
            JobError: The file is missing or no TOML, or a field is wrong.
        """
        file = Path(path)
        try:
            sections = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            message = f"{file} cannot be read ({error.strerror}). Make an example with: signalcam run --init."
            raise JobError(message) from error
        except ValueError as error:
            message = f"{file} is no TOML: {error}. Compare it with: signalcam run --init other.toml."
            raise JobError(message) from error
        for change in changes:
            _apply_change(sections, change)
        return cls(folder=file.parent, **sections)

    def path(self, name: str) -> Path:
        """Resolve a path relative to the job's folder."""
        return self._folder / name

    @property
    def folder(self) -> Path:
        """The folder where relative paths and modules start."""
        return self._folder

    def with_unit_size(self, size: int) -> Self:
        """Copy the job with another unit size."""
        units = {"size": size, "batch": self.units.batch}
        return type(self)(folder=self._folder, **self.model_dump() | {"units": units})

    def digest(self, fingerprint: str) -> str:
        """Hash everything that changes numbers; the output path and the number of processes do not."""
        settings = self.model_dump(
            mode="json", exclude={"output": {"path"}, "engine": set(EngineSection.model_fields) - {"threads"}}
        )
        settings["data"]["path"] = fingerprint
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _apply_change(sections: dict[str, Any], change: str) -> None:
    """Set one field of a section, ``"units.size=64"``."""
    field, equals, text = change.partition("=")
    *path, name = field.strip().split(".")
    if not equals or not name or not all(path):
        message = f"--set {change!r} is no 'section.name=value'. Write, for instance, --set units.size=64."
        raise JobError(message)
    for section in path:
        table = sections.setdefault(section, {})
        if not isinstance(table, dict):
            table = sections[section] = {_SHORT.get(section, "path"): table}
        sections = table
    sections[name] = _parse_value(text.strip())


def _parse_value(text: str) -> Any:
    """Parse a value as TOML would: a number, a list, true or false, else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _error_text(error: ValidationError) -> str:
    """Write one sentence for each wrong field, also where several types are allowed."""
    sentences: dict[str, str] = {}
    for fault in error.errors():
        sentences.setdefault(_field_name(fault), _fault_text(fault))
    return "\n".join(sentences.values())


_EXPECTED = {
    BUILD: "it should be 'module:function'",
    ADDRESS: "it should be 'auto' or 'host:port'",
    "model_type": "it should be a section with names of its own",
    "missing": "it is missing",
    "extra_forbidden": "there is no field of that name",
}
_EXPECTED_BY_FIELD = {
    "data.path": "it should be a path, or a list of paths",
    "data.windows": "it should be a length above 0, or { length = 10.0, stride = 5.0 }",
    "metrics.imputer": "it should be the name of an imputer, or a number to put in",
    "metrics.window": "it should be a number of positions from 1 on, or { time = 25 }",
    "explain.target": "it should be 'predicted', 'label', a class by number or name, or { contrast = 1, foil = 0 }",
}


def _field_name(fault: Any) -> str:
    """Name of the wrong field; a field that takes several types is named without its parts."""
    location = [str(each) for each in fault["loc"] if not str(each).startswith("function-")]
    field = ".".join(location[:2])
    return field if field in _EXPECTED_BY_FIELD and location[2:] else ".".join(location)


def _fault_text(fault: Any) -> str:
    field = _field_name(fault)
    text = fault["msg"].removeprefix("Value error, ").removesuffix(".")
    if fault["type"] == "value_error":
        return f"{field}: {text}." if field else f"{text}."
    kind = fault.get("ctx", {}).get("pattern", fault["type"])
    meant = _EXPECTED.get(kind, _EXPECTED_BY_FIELD.get(field, f"{text[0].lower()}{text[1:]}"))
    value = "" if fault["type"] in ("missing", "extra_forbidden") else f" is {fault['input']!r}"
    return f"{field}{value}: {meant}. An example: signalcam run --init."
