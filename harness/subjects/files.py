"""Subjects as files: digests of their content, and checks of a base, an adapter or a checkpoint before any model is loaded.

Weights are read from safetensors files alone. Whatever is wrong is an InputError of one line: where, what was found, what is allowed.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.data.errors import InputError
from harness.data.subject import Subject
from harness.store import Store, digest_of, digest_of_file
from harness.subjects.finite import not_finite

BASE_PATTERNS = (
    "config.json",
    "tokenizer*.json",
    "tokenizer.model",
    "chat_template.jinja",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "*.py",
)
"""Files of a base model that determine its function; its digest covers these."""
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
"""A base model needs one of these."""
WEIGHTS = "model.safetensors"
"""The name under which transformers saves weights; with shards, of the index beside them."""
ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_IGNORED = ("base_model_name_or_path", "revision", "inference_mode", "peft_version")
"""Entries of an adapter's configuration that do not change its function."""


def weight_files(folder: Path) -> list[Path]:
    """The files from which transformers loads a model's weights, and no others; with shards the index that names them goes first.

    InputError where there are none, or a shard that the index names is missing.
    """
    whole, index = folder / WEIGHTS, folder / f"{WEIGHTS}.index.json"
    if whole.is_file():
        return [whole]
    if not index.is_file():
        raise InputError(f"{folder}: no {WEIGHTS} and no {index.name}; other names and weight formats are not loaded")
    named = read_json(index).get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(name, str) and name == Path(name).name for name in named.values()):
        raise InputError(f"{index}: weight_map names no files; allowed: tensor names to files of this folder")
    shards = [folder / name for name in sorted(set(named.values()))]
    for shard in shards:
        if shard.suffix != ".safetensors" or not shard.is_file():
            raise InputError(f"{index}: names {shard.name}, which is no safetensors file of this folder")
    return [index, *shards]


def tensor_files(folder: Path) -> list[Path]:
    """`weight_files` without the index."""
    return [file for file in weight_files(folder) if file.suffix == ".safetensors"]


def check_one_reading(folder: Path) -> None:
    """InputError where vLLM would read other weights than transformers: it takes the index's shards first, and without one every file."""
    whole, index = folder / WEIGHTS, folder / f"{WEIGHTS}.index.json"
    read, pattern = (index, WEIGHTS) if index.is_file() else (whole, "*.safetensors")
    others = [file for file in sorted(folder.glob(pattern)) if file != read]
    if others:
        raise InputError(
            f"{others[0]}: lies beside {read.name}, and vLLM and transformers would read different weights; allowed: one set of weights"
        )


Digest = Callable[[Path], str]
"""Gives the SHA-256 of a file: `digest_of_file`, or `Store.digest`, which does not read an unchanged large file again."""


def base_digest(folder: Path, digest: Digest = digest_of_file) -> str:
    """Digest of a base model's files; the same wherever the folder lies."""
    files = sorted({*weight_files(folder), *(file for pattern in BASE_PATTERNS for file in folder.glob(pattern))})
    return digest_of({file.name: digest(file) for file in files})


def adapter_digest(folder: Path, digest: Digest = digest_of_file) -> str:
    """Digest of an adapter's weights and of the settings that shape its function. InputError where its configuration cannot be read."""
    config = {k: _in_order(v) for k, v in read_json(folder / ADAPTER_CONFIG).items() if k not in ADAPTER_IGNORED}
    return digest_of({"config": config, "weights": digest(folder / ADAPTER_WEIGHTS)})


def _in_order(value: Any) -> Any:
    """A list of names in a fixed order: peft writes sets of modules as lists, in another order in every process."""
    return sorted(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else value


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. InputError where there is no file, or it holds something else."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: found a {type(value).__name__}, allowed is a JSON object")
    return value


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor in a safetensors file by its name, read from the header alone. InputError where it is no such file."""
    try:
        with path.open("rb") as handle:
            (length,) = struct.unpack("<Q", handle.read(8))
            if length > path.stat().st_size:
                raise ValueError("the header would be longer than the file")
            header = json.loads(handle.read(length))
        return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: not a safetensors file") from None


def check_finite(path: Path, store: Store | None = None) -> None:
    """InputError, naming the tensor, where a safetensors file holds a NaN or an infinity."""
    for name in not_finite(path, store):
        raise InputError(f"{path}: tensor {name} holds NaN or infinite values; all weights must be finite")


def check_base(folder: Path) -> None:
    """InputError where transformers could not load the folder as a base model, or it has no chat template."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; a base model is a folder with config.json and safetensors weights")
    read_json(folder / "config.json")
    weight_files(folder)
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise InputError(f"{folder}: no tokenizer; allowed: {' or '.join(TOKENIZER_FILES)} beside the weights")
    settings = folder / "tokenizer_config.json"
    if not (folder / "chat_template.jinja").is_file() and not (settings.is_file() and read_json(settings).get("chat_template")):
        raise InputError(f"{folder}: no chat template; allowed: chat_template.jinja, or chat_template in tokenizer_config.json")


def _base_modules(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every weight of a base model, by the name of its module without the prefixes of wrappers."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in tensor_files(folder):
        for name, shape in tensor_shapes(file).items():
            if name.endswith(".weight"):
                shapes[_bare(name.removesuffix(".weight"))] = shape
    if "embed_tokens" in shapes:
        shapes.setdefault("lm_head", shapes["embed_tokens"])  # tied embeddings are saved once
    return shapes


def _bare(module: str) -> str:
    """The module's name from `layers.` on; what stands before it differs between adapters and checkpoints."""
    found = re.search(r"(?:^|\.)(layers\.\d+\..+)$", module)
    return found.group(1) if found else module.split(".")[-1]


_LORA = re.compile(r"^(?P<module>.+)\.lora_(?P<side>[AB])(?:\.[^.]+)?\.weight$")


def check_adapter(folder: Path, base: Path, store: Store | None = None) -> None:
    """InputError where an adapter does not fit the base: missing files, unknown modules, wrong shapes, weights that are not finite."""
    config = read_json(folder / ADAPTER_CONFIG)
    weights = folder / ADAPTER_WEIGHTS
    shapes = tensor_shapes(weights)
    if not shapes:
        raise InputError(f"{weights}: holds no tensors")
    modules: Mapping[str, tuple[int, ...]] = _base_modules(base)
    for name, shape in shapes.items():
        match = _LORA.match(name)
        if match is None:
            continue  # other tuners and saved modules: peft itself checks them when it loads
        found = modules.get(_bare(match["module"]))
        if found is None or len(found) < 2 or len(shape) < 2:
            raise InputError(f"{weights}: adapts {match['module']}, which the base {base.name} does not have as a matrix")
        width_out, width_in = (found[1], found[0]) if config.get("fan_in_fan_out") else (found[0], found[1])
        side, size, given = ("in", width_in, shape[1]) if match["side"] == "A" else ("out", width_out, shape[0])
        if given != size:
            raise InputError(f"{weights}: {name} has {side}put width {given}, the base {base.name} has {size} there")
    check_finite(weights, store)


def check_checkpoint(folder: Path, base: Path, store: Store | None = None) -> None:
    """InputError where a checkpoint has another architecture than the base, lacks weights, or holds weights that are not finite."""
    check_base(folder)
    mine, theirs = read_json(folder / "config.json"), read_json(base / "config.json")
    for key in ("model_type", "hidden_size", "num_hidden_layers", "vocab_size"):
        if mine.get(key) != theirs.get(key):
            raise InputError(f"{folder / 'config.json'}: {key} is {mine.get(key)!r}, the base {base.name} has {theirs.get(key)!r}")
    given = _base_modules(folder)
    for module, shape in _base_modules(base).items():
        if module not in given:
            raise InputError(f"{folder}: no weight for {module}, which the base {base.name} has; transformers would make one up")
        if given[module] != shape:
            raise InputError(f"{folder}: {module} has shape {given[module]}, the base {base.name} has {shape} there")
    for file in tensor_files(folder):
        check_finite(file, store)


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds a PEFT adapter, complete or not."""
    return (folder / ADAPTER_CONFIG).is_file() or (folder / ADAPTER_WEIGHTS).is_file()


def check_candidate(folder: Path, base: Path, store: Store | None = None) -> None:
    """InputError where a folder is neither an adapter that fits the base nor a checkpoint of the same architecture.

    With `store`, what was found in large files is kept there.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; --candidate takes a PEFT adapter folder or a checkpoint folder")
    if is_adapter(folder):
        check_adapter(folder, base, store)
    elif (folder / "config.json").is_file():
        check_checkpoint(folder, base, store)
    else:
        raise InputError(f"{folder}: neither {ADAPTER_CONFIG} nor config.json; --candidate takes an adapter or a checkpoint folder")


def base_subject(name: str, folder: Path, trust_remote_code: bool = False, digest: Digest = digest_of_file) -> Subject:
    """The base model in a folder, with its digest."""
    return Subject(name, folder, base_digest(folder, digest), trust_remote_code=trust_remote_code)


def with_adapter(base: Subject, folder: Path, name: str | None = None, digest: Digest = digest_of_file) -> Subject:
    """The base with the adapter in a folder; `name` None keeps the base's name."""
    return Subject(name or base.name, base.base, base.base_digest, folder, adapter_digest(folder, digest), base.trust_remote_code)


def candidate_subject(folder: Path, base: Subject, digest: Digest = digest_of_file) -> Subject:
    """What a cycle produced, named after its folder: an adapter on the base, or a checkpoint."""
    if is_adapter(folder):
        return with_adapter(base, folder, folder.name, digest)
    return base_subject(folder.name, folder, base.trust_remote_code, digest)
