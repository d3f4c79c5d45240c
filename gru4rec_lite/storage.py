"""Model directories: weights as safetensors, everything else as JSON. Never any code.

A directory holds ``model.json`` and one weights file, which the JSON names together
with its checksum. A save writes the new weights beside the old ones and then replaces
model.json in one step; a model is therefore whole or not there, whenever the power
goes.
"""

import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes

from .errors import ModelFileError

FORMAT = 1


def save(path, description, tensors):
    """Write a model directory. ModelFileError if path is a file or not writable."""
    path = Path(path)
    prepare(path)
    with _writing(path):
        data = tensors_to_bytes({k: v.cpu().contiguous() for k, v in tensors.items()})
        digest = hashlib.sha256(data).hexdigest()
        weights = f"weights-{digest[:16]}.safetensors"
        description = {**description, "format": FORMAT, "weights": weights}
        text = json.dumps({**description, "sha256": digest}, indent=1)
        _write(path / weights, data)
        _write(path / "model.json", text.encode())
        for old in path.iterdir():
            if is_model_file(old) and old.name not in (weights, "model.json"):
                old.unlink()


def prepare(path):
    """Make the directory, if need be. ModelFileError if no model may go there."""
    path = Path(path)
    with _writing(path):
        path.mkdir(parents=True, exist_ok=True)
        others = [p.name for p in path.iterdir() if not is_model_file(p)]
    if others and not exists(path):
        raise ModelFileError(
            f"{path}: the directory holds other files ({others[0]}, ...); "
            "expected an empty or new one, or a model to replace"
        )


def load(path):
    """(description, tensors) of a model directory, or a ModelFileError."""
    path = Path(path)
    if not path.exists():
        raise ModelFileError(f"{path}: does not exist; expected a model directory")
    if not exists(path):
        raise ModelFileError(
            f"{path}: not a model directory (no model.json in it); expected one that "
            "save, or train --save, has written"
        )
    with reading(path):
        description = json.loads((path / "model.json").read_text("utf-8"))
        if not isinstance(description, dict) or description.get("format") != FORMAT:
            raise ModelFileError(
                f"{path / 'model.json'}: not a model of this version; expected a JSON "
                f'object with "format": {FORMAT}'
            )
        weights = path / Path(description["weights"]).name
        data = weights.read_bytes()
        if hashlib.sha256(data).hexdigest() != description["sha256"]:
            raise ModelFileError(
                f"{weights}: damaged, its checksum is not the one in model.json; save "
                "or copy the model again"
            )
        return description, tensors_from_bytes(data)


def exists(path):
    """Whether a model has been saved there."""
    return (Path(path) / "model.json").is_file()


@contextmanager
def reading(path):
    """Turn whatever a damaged model raises into a ModelFileError that says where."""
    try:
        yield
    except ModelFileError:
        raise
    except (
        OSError, ValueError, TypeError, KeyError, IndexError, AttributeError,
        RuntimeError, RecursionError, OverflowError, MemoryError, StopIteration,
        SafetensorError,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(
            f"{path}: not a whole model ({type(error).__name__}: {reason}); save or "
            "copy it again"
        ) from error


@contextmanager
def _writing(path):
    try:
        yield
    except OSError as error:
        raise ModelFileError(
            f"{path}: cannot be written: {error.strerror or error}; choose a directory "
            "that you may write to"
        ) from error


def _write(path, data):
    """Write a file under its name only once all of it is on the disk."""
    unfinished = path.with_name(path.name + ".tmp")
    with open(unfinished, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def is_model_file(path):
    """Whether a file's name is one that ``save`` gives, finished or not."""
    name = path.name.removesuffix(".tmp")
    return name == "model.json" or (
        name.startswith("weights-") and name.endswith(".safetensors")
    )
