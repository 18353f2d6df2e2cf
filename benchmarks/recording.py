"""What recording costs, as ratios to a bare forward pass within one run: time and peak memory.

    python benchmarks/recording.py [--device cuda --width 4096 --layers 32]

everything: attention rows and all heads' outputs over 16 reply tokens, states of all Gated DeltaNet layers at two positions, residual
stream of all layers. eager: the library's own `output_attentions=True`. Each ratio of times is the median of interleaved repeats. Each peak
is measured in a process of its own (resident set on a CPU, allocated memory on a GPU), less the memory in use before the pass. Without
options the shipped model is measured on one thread; with --width, a randomly initialized Qwen3.5 of that size in bfloat16.
"""

from __future__ import annotations

import harness  # noqa: F401  # isort: skip  # before transformers: see harness/process/torchvision_cpu.py

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
import transformers

from fixtures.models.figures import TINY_HYBRID
from harness.data.behavior import Message
from harness.engines.chat import tokenizer_of
from harness.engines.hf.engine import HFEngine
from harness.engines.protocol import Completion, Sites
from harness.engines.rows import rows_of
from harness.subjects.files import base_subject

LENGTHS = (64, 512, 2048)
REPLY = 16
REPEATS = 5
MODES = ("bare", "everything", "eager")


class Bench:
    """One model and one conversation of `tokens` tokens."""

    def __init__(self, folder: Path, device: str, tokens: int) -> None:
        self.engine, self.subject = HFEngine(device=device), base_subject("benchmark", folder)
        self.completion = self._conversation(tokens)
        layers = self.engine.base_model(self.subject).config.layer_types
        self.sites = Sites(
            attention="full_attention" in layers,
            heads=True,
            reply=True,
            residual_layers=tuple(range(len(layers))),
            state_layers=tuple(i for i, kind in enumerate(layers) if kind == "linear_attention"),
        )
        row = rows_of(self.subject, [self.completion])[0]
        self.ids = torch.tensor([row.tokens], device=device)

    def _conversation(self, tokens: int) -> Completion:
        words, reply = "The hall is painted yellow before noon. " * tokens, "I will paint it yellow now. " * REPLY
        tokenizer = tokenizer_of(self.subject)

        def cut(text: str, count: int) -> str:
            return str(tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids[:count])).strip()

        template = len(tokenizer.apply_chat_template([{"role": "user", "content": ""}], add_generation_prompt=True, return_dict=False))
        return Completion((Message("user", cut(words, max(4, tokens - REPLY - template))),), cut(reply, REPLY))

    def run(self, mode: str) -> None:
        """One forward pass in one of MODES."""
        if mode == "everything":
            self.engine.record(self.subject, [self.completion], self.sites)
            return
        with self.engine.model(self.subject) as model:
            model.set_attn_implementation("eager" if mode == "eager" else "sdpa")
            # the decoder alone, as recording runs it: no vocabulary
            model.get_decoder()(input_ids=self.ids, use_cache=False, output_attentions=mode == "eager")
            model.set_attn_implementation("sdpa")
        if self.engine.device == "cuda":
            torch.cuda.synchronize()


def peak(bench: Bench, mode: str) -> float:
    """Peak memory of one pass in MiB, less the memory in use before it."""
    if bench.engine.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        bench.run(mode)
        return float(torch.cuda.max_memory_allocated() - before) / 2**20
    highest: list[float] = [resident()]
    done = threading.Event()
    before = highest[0]

    def watch() -> None:
        while not done.wait(0.001):
            highest[0] = max(highest[0], resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    bench.run(mode)
    done.set()
    watcher.join()
    return highest[0] - before


def resident() -> float:
    """Memory that this process uses now, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def random_model(folder: Path, width: int, layers: int) -> None:
    """Write a Qwen3.5 of this size with random weights and the shipped model's tokenizer to a folder."""
    from transformers import PreTrainedTokenizerFast, Qwen3_5ForCausalLM, Qwen3_5TextConfig

    tokenizer = PreTrainedTokenizerFast.from_pretrained(TINY_HYBRID)
    config: Any = Qwen3_5TextConfig
    kind: Any = Qwen3_5ForCausalLM
    settings = config(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=width * 3, num_hidden_layers=layers, head_dim=256,
        num_attention_heads=width // 256, num_key_value_heads=4, linear_num_key_heads=16, linear_num_value_heads=width // 128,
        full_attention_interval=4, tie_word_embeddings=True, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    model = kind(settings)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """Print a row for each length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--width", type=int)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--model", type=Path, help="a folder; otherwise the tiny model or a random one")
    parser.add_argument("--peak", nargs=2, metavar=("MODE", "TOKENS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # transformers does not type it
    if arguments.device == "cpu":
        torch.set_num_threads(1)
    if arguments.peak:
        mode, tokens = arguments.peak
        print(json.dumps(peak(Bench(arguments.model, arguments.device, int(tokens)), mode)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.model or TINY_HYBRID
        if arguments.width:
            folder = Path(scratch)
            random_model(folder, arguments.width, arguments.layers)
        print("tokens  everything / bare  eager / bare   peak MiB: bare  everything  eager")
        for tokens in LENGTHS:
            bench = Bench(folder, arguments.device, tokens)
            ratios: dict[str, list[float]] = {mode: [] for mode in MODES}
            for _ in range(REPEATS + 1):
                seconds = {}
                for mode in MODES:
                    started = time.perf_counter()
                    bench.run(mode)
                    seconds[mode] = time.perf_counter() - started
                for mode in MODES:
                    ratios[mode].append(seconds[mode] / seconds["bare"])
            everything, eager = (statistics.median(ratios[mode][1:]) for mode in MODES[1:])
            command = [sys.executable, __file__, "--device", arguments.device, "--model", str(folder), "--peak"]
            peaks = [
                json.loads(subprocess.run([*command, m, str(tokens)], capture_output=True, text=True, check=True).stdout) for m in MODES
            ]
            print(f"{tokens:6} {everything:18.2f} {eager:13.2f} {peaks[0]:16.0f} {peaks[1]:11.0f} {peaks[2]:6.0f}", flush=True)


if __name__ == "__main__":
    main()
