"""harness/subjects/files.py: digests of content, and one line for everything that cannot be loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from harness.data.errors import InputError
from harness.data.subject import Subject
from harness.engines.hf.models import Models
from harness.engines.vllm.settings import LocalSettings
from harness.subjects.files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    adapter_digest,
    base_digest,
    candidate_subject,
    check_adapter,
    check_base,
    check_candidate,
    check_checkpoint,
    check_one_reading,
    tensor_shapes,
    weight_files,
)

if TYPE_CHECKING:
    from tests.conftest import MakeAdapter

MODEL = "model.safetensors"


@pytest.fixture
def adapter(tiny_hybrid: Subject, make_adapter: MakeAdapter, tmp_path: Path) -> Path:
    made = make_adapter(tiny_hybrid, tmp_path / "adapter", ["q_proj", "in_proj_qkv"]).adapter
    assert made is not None
    return made


@pytest.fixture
def checkpoint(tiny_hybrid: Subject, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_hybrid.base, tmp_path / "checkpoint"))


def edit_json(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_tensors(file: Path, change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> None:
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


def refusal(check: Callable[[Path, Path], None], folder: Path, base: Subject) -> str:
    with pytest.raises(InputError) as caught:
        check(folder, base.base)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(folder))
    return str(caught.value).removeprefix(str(folder)).lstrip("/")


# -- digests -------------------------------------------------------------------------------------------------------


def test_a_base_has_one_digest_wherever_it_lies(tiny_hybrid: Subject, checkpoint: Path) -> None:
    assert base_digest(checkpoint) == tiny_hybrid.base_digest
    (checkpoint / "README.md").write_text("not part of the function")
    assert base_digest(checkpoint) == tiny_hybrid.base_digest


@pytest.mark.parametrize("file", [MODEL, "config.json", "tokenizer.json", "chat_template.jinja"])
def test_every_file_that_shapes_a_base_counts(tiny_hybrid: Subject, checkpoint: Path, file: str) -> None:
    with (checkpoint / file).open("ab") as handle:
        handle.write(b" ")
    assert base_digest(checkpoint) != tiny_hybrid.base_digest


def test_an_adapter_does_not_depend_on_where_its_base_lay(adapter: Path) -> None:
    before = adapter_digest(adapter)
    edit_json(adapter / ADAPTER_CONFIG, base_model_name_or_path="/elsewhere", inference_mode=False, peft_version="9", revision="main")
    assert adapter_digest(adapter) == before


def test_an_adapter_does_not_depend_on_the_order_of_its_modules(adapter: Path) -> None:
    before = adapter_digest(adapter)
    modules = json.loads((adapter / ADAPTER_CONFIG).read_text())["target_modules"]
    edit_json(adapter / ADAPTER_CONFIG, target_modules=modules[::-1])
    assert adapter_digest(adapter) == before


def test_an_adapter_depends_on_its_scale_and_its_weights(adapter: Path) -> None:
    digests = {adapter_digest(adapter)}
    edit_json(adapter / ADAPTER_CONFIG, lora_alpha=5)
    digests.add(adapter_digest(adapter))
    edit_tensors(adapter / ADAPTER_WEIGHTS, lambda tensors: {name: 2 * tensor for name, tensor in tensors.items()})
    digests.add(adapter_digest(adapter))
    assert len(digests) == 3


def test_a_candidate_is_an_adapter_on_the_base_or_a_checkpoint_of_its_own(tiny_hybrid: Subject, adapter: Path, checkpoint: Path) -> None:
    with_adapter = candidate_subject(adapter, tiny_hybrid)
    assert (with_adapter.base, with_adapter.adapter, with_adapter.name) == (tiny_hybrid.base, adapter, "adapter")
    assert with_adapter.digest == f"{tiny_hybrid.digest}+{adapter_digest(adapter)}"
    assert candidate_subject(checkpoint, tiny_hybrid) == replace(tiny_hybrid, name="checkpoint", base=checkpoint)


# -- what fits -----------------------------------------------------------------------------------------------------


def test_good_ones_pass(tiny_hybrid: Subject, adapter: Path, checkpoint: Path) -> None:
    check_base(tiny_hybrid.base)
    check_candidate(adapter, tiny_hybrid.base)
    check_candidate(checkpoint, tiny_hybrid.base)


def test_a_base_without_tokenizer_or_chat_template_is_refused(checkpoint: Path) -> None:
    (checkpoint / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match=r"no chat template; allowed: chat_template.jinja"):
        check_base(checkpoint)
    (checkpoint / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"no tokenizer; allowed: tokenizer.json or"):
        check_base(checkpoint)


def test_an_adapter_for_every_linear_layer_fits(tiny_llama: Subject, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_llama, tmp_path / "all").adapter
    assert adapter is not None
    check_adapter(adapter, tiny_llama.base)


def test_an_adapter_on_tied_output_embeddings_fits(tiny_hybrid: Subject, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_hybrid, tmp_path / "head", ["lm_head"]).adapter
    assert adapter is not None
    check_adapter(adapter, tiny_hybrid.base)


def test_weights_that_lie_the_other_way_round_fit(tmp_path: Path) -> None:
    for name in ("base", "adapter"):
        (tmp_path / name).mkdir()
    save_file({"h.0.attn.c_attn.weight": np.zeros((4, 12), np.float32)}, tmp_path / "base" / MODEL)
    adapter = tmp_path / "adapter"
    name = "base_model.model.h.0.attn.c_attn.lora_{}.weight"
    save_file({name.format("A"): np.ones((2, 4), np.float32), name.format("B"): np.ones((12, 2), np.float32)}, adapter / ADAPTER_WEIGHTS)
    (adapter / ADAPTER_CONFIG).write_text('{"fan_in_fan_out": true}')
    check_adapter(adapter, tmp_path / "base")


# -- refusals ------------------------------------------------------------------------------------------------------


def test_adapter_of_another_width_is_refused(tiny_llama: Subject, adapter: Path) -> None:
    edit_tensors(
        adapter / ADAPTER_WEIGHTS, lambda tensors: {name: np.repeat(t, 2, axis=1) for name, t in tensors.items() if "q_proj" in name}
    )
    assert "lora_A.weight has input width 96, the base llama has 48 there" in refusal(check_adapter, adapter, tiny_llama)


def test_adapter_of_another_output_width_is_refused(tiny_hybrid: Subject, adapter: Path) -> None:
    edit_tensors(adapter / ADAPTER_WEIGHTS, lambda tensors: {name: t[:-1] if "lora_B" in name else t for name, t in tensors.items()})
    assert "lora_B.weight has output width" in refusal(check_adapter, adapter, tiny_hybrid)


def test_adapter_for_unknown_modules_is_refused_by_name(tiny_llama: Subject, adapter: Path) -> None:
    said = refusal(check_adapter, adapter, tiny_llama)
    assert "linear_attn.in_proj_qkv, which the base llama does not have" in said


@pytest.mark.parametrize("file", [ADAPTER_CONFIG, ADAPTER_WEIGHTS])
def test_adapter_with_a_missing_file_is_refused_by_name(tiny_hybrid: Subject, adapter: Path, file: str) -> None:
    (adapter / file).unlink()
    assert refusal(check_candidate, adapter, tiny_hybrid) == f"{file}: no such file"


def test_adapter_without_tensors_is_refused(tiny_hybrid: Subject, adapter: Path) -> None:
    edit_tensors(adapter / ADAPTER_WEIGHTS, lambda _: {})
    assert refusal(check_adapter, adapter, tiny_hybrid) == f"{ADAPTER_WEIGHTS}: holds no tensors"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_adapter_with_a_value_that_is_not_finite_is_refused_by_tensor(tiny_hybrid: Subject, adapter: Path, value: float) -> None:
    def spoil(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        next(tensor for name, tensor in tensors.items() if "layers.1.self_attn.q_proj.lora_B" in name)[0, 0] = value
        return tensors

    edit_tensors(adapter / ADAPTER_WEIGHTS, spoil)
    said = refusal(check_adapter, adapter, tiny_hybrid)
    assert "layers.1.self_attn.q_proj.lora_B.weight holds NaN or infinite values" in said


@pytest.mark.parametrize(
    "content",
    [b"", b"torn", b"a text that is no tensor at all", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0[]", b'\x08\0\0\0\0\0\0\0{"a": 1}'],
    ids=["empty", "short", "text", "ones", "a list", "no shapes"],
)
def test_what_is_not_safetensors_is_refused(tiny_hybrid: Subject, adapter: Path, content: bytes) -> None:
    (adapter / ADAPTER_WEIGHTS).write_bytes(content)
    assert refusal(check_adapter, adapter, tiny_hybrid) == f"{ADAPTER_WEIGHTS}: not a safetensors file"


def test_a_file_cut_short_is_refused(tiny_hybrid: Subject, adapter: Path) -> None:
    file = adapter / ADAPTER_WEIGHTS
    file.write_bytes(file.read_bytes()[:-8])
    assert "damaged safetensors file" in refusal(check_adapter, adapter, tiny_hybrid)


@pytest.mark.parametrize(("content", "said"), [("{", "not valid JSON"), ("[]", "found a list, allowed is a JSON object")])
def test_a_configuration_that_is_no_object_is_refused(tiny_hybrid: Subject, adapter: Path, content: str, said: str) -> None:
    (adapter / ADAPTER_CONFIG).write_text(content)
    assert said in refusal(check_adapter, adapter, tiny_hybrid)


def test_checkpoint_of_another_architecture_is_refused(tiny_hybrid: Subject, tiny_llama: Subject) -> None:
    assert (
        refusal(check_checkpoint, tiny_llama.base, tiny_hybrid) == "config.json: model_type is 'llama', the base hybrid has 'qwen3_5_text'"
    )


def test_checkpoint_of_another_width_is_refused(tiny_hybrid: Subject, checkpoint: Path) -> None:
    edit_json(checkpoint / "config.json", hidden_size=96)
    assert refusal(check_checkpoint, checkpoint, tiny_hybrid) == "config.json: hidden_size is 96, the base hybrid has 48"


def test_checkpoint_that_lacks_a_weight_is_refused(tiny_hybrid: Subject, checkpoint: Path) -> None:
    edit_tensors(checkpoint / MODEL, lambda tensors: {name: t for name, t in tensors.items() if "layers.1.self_attn.o_proj" not in name})
    assert "no weight for layers.1.self_attn.o_proj, which the base hybrid has" in refusal(check_checkpoint, checkpoint, tiny_hybrid)


def test_checkpoint_with_a_weight_of_another_shape_is_refused(tiny_hybrid: Subject, checkpoint: Path) -> None:
    edit_tensors(checkpoint / MODEL, lambda tensors: {n: t[:-1] if n.endswith("1.mlp.up_proj.weight") else t for n, t in tensors.items()})
    said = refusal(check_checkpoint, checkpoint, tiny_hybrid)
    assert "layers.1.mlp.up_proj has shape (63, 48), the base hybrid has (64, 48) there" in said


def test_checkpoint_with_nan_is_refused(tiny_hybrid: Subject, checkpoint: Path) -> None:
    edit_tensors(checkpoint / MODEL, lambda tensors: {n: t * np.nan if n.endswith("norm.weight") else t for n, t in tensors.items()})
    assert "holds NaN or infinite values" in refusal(check_checkpoint, checkpoint, tiny_hybrid)


def test_folders_that_are_nothing_are_refused(tiny_hybrid: Subject, tmp_path: Path) -> None:
    assert "no such folder" in refusal(check_candidate, tmp_path / "nowhere", tiny_hybrid)
    assert "neither adapter_config.json nor config.json" in refusal(check_candidate, tmp_path, tiny_hybrid)


def test_base_without_safetensors_is_refused(checkpoint: Path) -> None:
    (checkpoint / MODEL).rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"no model\.safetensors and no model\.safetensors\.index\.json; other names"):
        check_base(checkpoint)


def test_a_file_of_another_name_is_no_cover_for_a_pickle(tiny_hybrid: Subject, checkpoint: Path) -> None:
    """transformers would load pytorch_model.bin, while the digest was that of the decoy."""
    (checkpoint / MODEL).rename(checkpoint / "decoy.safetensors")
    (checkpoint / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    assert "no model.safetensors" in refusal(check_candidate, checkpoint, tiny_hybrid)
    with pytest.raises(OSError, match=r"model\.safetensors"):  # and the loader itself reads no pickle
        Models("cpu", fast=False).load(Subject("decoy", checkpoint, "decoy"))


def test_only_what_is_loaded_counts(tiny_hybrid: Subject, checkpoint: Path) -> None:
    before = base_digest(checkpoint)
    save_file({"other": np.ones(3, np.float32)}, checkpoint / "model-00001-of-00001.safetensors")  # stale shards beside a whole file
    assert base_digest(checkpoint) == before
    check_candidate(checkpoint, tiny_hybrid.base)


def test_weights_that_two_engines_would_read_differently_are_refused(checkpoint: Path) -> None:
    """vLLM reads every safetensors file where no index names some, and the index's where transformers takes the whole file."""
    check_one_reading(checkpoint)
    stale = checkpoint / "model-00001-of-00001.safetensors"
    save_file({"other": np.ones(3, np.float32)}, stale)
    with pytest.raises(InputError, match=rf"{stale.name}: lies beside {MODEL}, and vLLM and transformers would read different"):
        check_one_reading(checkpoint)
    with pytest.raises(InputError, match="would read different weights"):
        LocalSettings().arguments(checkpoint)
    (checkpoint / f"{MODEL}.index.json").write_text(json.dumps({"weight_map": {"other": stale.name}}))
    with pytest.raises(InputError, match=rf"{MODEL}: lies beside {MODEL}\.index\.json"):
        check_one_reading(checkpoint)
    (checkpoint / MODEL).unlink()
    check_one_reading(checkpoint)


def test_shards_are_those_that_the_index_names(tiny_hybrid: Subject, checkpoint: Path) -> None:
    tensors = load_file(checkpoint / MODEL)
    names = sorted(tensors)
    parts = {f"part-{k}.safetensors": names[k::2] for k in range(2)}
    for file, part in parts.items():
        save_file({name: tensors[name] for name in part}, checkpoint / file, metadata={"format": "pt"})
    (checkpoint / MODEL).unlink()
    index = checkpoint / f"{MODEL}.index.json"
    index.write_text(json.dumps({"weight_map": {name: file for file, part in parts.items() for name in part}}))
    check_candidate(checkpoint, tiny_hybrid.base)
    assert [file.name for file in weight_files(checkpoint)] == [index.name, *sorted(parts)]
    before = base_digest(checkpoint)
    save_file(
        {name: tensors[name] + 1 for name in parts["part-1.safetensors"]}, checkpoint / "part-1.safetensors", metadata={"format": "pt"}
    )
    assert base_digest(checkpoint) != before
    (checkpoint / "part-1.safetensors").unlink()
    assert "names part-1.safetensors, which is no safetensors file of this folder" in refusal(check_candidate, checkpoint, tiny_hybrid)
    index.write_text(json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}}))
    assert "weight_map names no files" in refusal(check_candidate, checkpoint, tiny_hybrid)


def test_shapes_come_from_the_header(tmp_path: Path) -> None:
    save_file({"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.float16)}, tmp_path / "t", metadata={"format": "pt"})
    assert tensor_shapes(tmp_path / "t") == {"a": (2, 3), "b": (4,)}
