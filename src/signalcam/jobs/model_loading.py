"""Loading a job's network: call its builder, load weights (unpickle only if trusted), move it to a device."""

from __future__ import annotations

import hashlib
import importlib
import pickle
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import numpy as np

from signalcam.data import Batch
from signalcam.errors import JobError, MissingExtra
from signalcam.jobs.config import JobConfig

_TRUST = (
    "Reading it can run any code hidden in it. If you trust who made the file, write trust = true under [model]; "
    "else use a .safetensors file"
)


def load_network(job: JobConfig) -> Any:
    """Build a job's network with its weights, on its device."""
    weights = None if job.model.weights is None else job.path(job.model.weights)
    if weights is not None and not weights.is_file():
        message = f"there are no weights at {weights}. Give model.weights the path of a file."
        raise JobError(message)
    if job.model.build is None:
        return _move_model(_load_whole_model(weights or Path(), trusted=job.model.trust), job)
    model = call_builder(job, "model")
    if weights is not None:
        _load_weights(model, weights, trusted=job.model.trust)
    return _move_model(model, job)


def call_builder(job: JobConfig, section: Literal["model", "data"]) -> Any:
    """Call the function that a section names; raise ``JobError`` if that fails."""
    options = getattr(job, section)
    module, _, name = str(options.build).partition(":")
    if str(job.folder) not in sys.path:
        sys.path.insert(0, str(job.folder))
    try:
        function = reduce(getattr, name.split("."), importlib.import_module(module))
    except (Exception, SystemExit) as error:  # whatever a module does when it is imported
        message = f"{section}.build {options.build!r} cannot be imported ({type(error).__name__}: {_error_text(error)}). Give 'module:function', of a module in {job.folder} or installed."
        raise JobError(message) from error
    try:
        result = function(**options.arguments)  # type: ignore[operator] # whatever was named is called
    except (Exception, SystemExit) as error:
        message = f"{section}.build {options.build!r} raised {type(error).__name__}: {_error_text(error)}. Call it in Python first, with {section}.arguments."
        raise JobError(message) from error
    if result is None:
        expected = "network" if section == "model" else "samples"
        message = f"{section}.build {options.build!r} returned None. Let it return the {expected}."
        raise JobError(message)
    return result


def _error_text(error: BaseException) -> str:
    """Text of an exception on one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _load_whole_model(weights: Path, *, trusted: bool) -> Any:
    """Load a file that holds a whole network, not only weights."""
    if weights.suffix == ".keras":
        try:
            import keras  # noqa: PLC0415 - only for such files
        except ModuleNotFoundError as error:
            raise MissingExtra("a model in .keras", "tensorflow") from error
        try:
            return keras.models.load_model(weights, safe_mode=not trusted)
        except (ValueError, TypeError, OSError) as error:
            message = f"{weights} cannot be read ({_error_text(error)}). {_TRUST}."
            raise JobError(message) from error
    if weights.suffix == ".pt2":
        _require_trust(weights, trusted=trusted)
        import torch  # noqa: PLC0415 - only for such files

        try:
            return torch.export.load(weights)
        except Exception as error:  # of many kinds
            message = f"{weights} is damaged, or no exported program ({_error_text(error)}). Save it again with torch.export.save."
            raise JobError(message) from error
    message = f"{weights} holds weights only, and model.build names no network for them. Give model.build = 'module:function', too."
    raise JobError(message)


def _require_trust(weights: Path, *, trusted: bool) -> None:
    if not trusted:
        message = f"{weights} can only be read by unpickling it. {_TRUST}."
        raise JobError(message)


def _load_weights(model: Any, weights: Path, *, trusted: bool) -> None:
    if not hasattr(model, "load_state_dict"):
        message = f"weights in {weights.suffix} need a PyTorch network, and {type(model).__name__} is none. Save a Keras model whole, as .keras, and leave model.build out."
        raise JobError(message)
    tensors = (
        _read_safetensors(weights) if weights.suffix == ".safetensors" else _read_state_dict(weights, trusted=trusted)
    )
    try:
        model.load_state_dict(tensors)
    except (RuntimeError, TypeError, AttributeError) as error:
        message = f"the weights in {weights} do not fit {type(model).__name__} ({_error_text(error)}). Build the network that they were saved from."
        raise JobError(message) from error


def _read_safetensors(weights: Path) -> Any:
    try:
        from safetensors import SafetensorError  # noqa: PLC0415 - only for such files
        from safetensors.torch import load_file  # noqa: PLC0415 - only for such files
    except ModuleNotFoundError as error:
        raise MissingExtra("weights in .safetensors", "jobs") from error
    try:
        return load_file(weights)
    except SafetensorError as error:
        message = f"{weights} is damaged, or no safetensors file ({_error_text(error)}). Save it again."
        raise JobError(message) from error


def _read_state_dict(weights: Path, *, trusted: bool) -> Any:
    import torch  # noqa: PLC0415 - only for such files

    try:
        content = torch.load(weights, map_location="cpu", weights_only=not trusted)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        if isinstance(error, pickle.UnpicklingError):
            _require_trust(weights, trusted=trusted)
        message = f"{weights} is damaged, or no state_dict ({_error_text(error)}). Save it with torch.save(model.state_dict(), ...)."
        raise JobError(message) from error
    return content.get("state_dict", content) if isinstance(content, dict) else content.state_dict()


def autocast_context(job: JobConfig) -> AbstractContextManager[object]:
    """Context in which the network runs: PyTorch's autocast if the job asks for it."""
    if job.model.autocast is None:
        return nullcontext()
    import torch  # noqa: PLC0415 - only for networks of PyTorch

    return torch.autocast(torch.device(job.model.device).type, getattr(torch, job.model.autocast))


def _move_model(model: Any, job: JobConfig) -> Any:
    device = job.model.device
    keras = hasattr(model, "get_weights")  # true even where the model is also a PyTorch module
    if job.model.autocast is not None and (keras or not hasattr(model, "state_dict")):
        message = f"model.autocast needs a PyTorch network, and {type(model).__name__} is none. Give a Keras model a dtype policy where it is built."
        raise JobError(message)
    if device == "cpu":
        return model
    try:
        return model.to(device)
    except (RuntimeError, AttributeError, AssertionError) as error:
        message = f"{type(model).__name__} cannot be moved to model.device = {device!r} ({str(error).splitlines()[0]}). Choose another, or leave it out."
        raise JobError(message) from error


def move_to_device(batch: Batch, device: str) -> Batch:
    """Copy a batch to a CUDA device through pinned memory; on other devices return it unchanged.

    The reading thread calls this. It waits for the copy, on a stream of its own, while another thread computes.
    """
    if not device.startswith("cuda") or not isinstance(batch.inputs, np.ndarray):
        return batch
    import torch  # noqa: PLC0415 - only for such devices

    target = torch.device(device)
    stream: Any = torch.cuda.Stream(target)  # type: ignore[no-untyped-call] # torch's own
    with torch.cuda.stream(stream):
        pinned = torch.from_numpy(np.array(batch.inputs, order="C")).pin_memory()
        copy = pinned.to(target, non_blocking=True)
    copy.record_stream(torch.cuda.default_stream(target))
    stream.synchronize()
    return replace(batch, inputs=copy)  # type: ignore[arg-type] # explain takes tensors, too


def fingerprint(model: Any) -> str:
    """Hash a network's parameters and buffers, so that processes can compare them."""
    digest = hashlib.sha256()
    if hasattr(model, "state_dict"):
        state = model.state_dict  # a property, not a method, of an exported program
        for name, tensor in (state() if callable(state) else state).items():
            digest.update(name.encode())
            digest.update(_tensor_bytes(tensor))
    elif hasattr(model, "get_weights"):
        for array in model.get_weights():
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _tensor_bytes(tensor: Any) -> bytes:
    if not hasattr(tensor, "detach"):
        return repr(tensor).encode()
    import torch  # noqa: PLC0415 - already loaded, as this is one of its tensors

    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return bytes(flat.numpy().tobytes())
