"""`python -m harness`: everything about a run that is not the run itself. Heavy modules load inside the commands that need them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from harness.data.errors import InputError
from harness.data.settings import Settings
from harness.gate.verdict.run import FAILED, USAGE

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, help=__doc__)

HistoryOption = Annotated[Path, typer.Option("--history", help="history.sqlite, never cleared")]
DEFAULT_HISTORY = Settings().history_path


@app.command()
def doctor(
    model: Annotated[str, typer.Option(help="as for pytest evals")] = Settings.model,
    candidate: Annotated[list[Path] | None, typer.Option(help="repeatable")] = None,
    behavior: Annotated[list[str] | None, typer.Option(help="repeatable")] = None,
    engine: Annotated[str, typer.Option(help="hf or vllm")] = Settings.engine,
    server: Annotated[str | None, typer.Option(help="a running vLLM")] = None,
    tensor_parallel: Annotated[int, typer.Option(help="GPUs that share each layer", min=1)] = 1,
    pipeline_parallel: Annotated[int, typer.Option(help="GPUs that share the layers", min=1)] = 1,
    vllm: Annotated[list[str] | None, typer.Option(help="further argument of vLLM, NAME=VALUE; repeatable")] = None,
    thresholds: Annotated[Path, typer.Option(help="thresholds.toml")] = Settings.thresholds,
    reports: Annotated[Path, typer.Option(help="folder of the reports")] = Settings.reports,
) -> None:
    """Check every input and say what is there; runs nothing."""
    from fixtures.inputs import validate
    from harness.behaviors.shipped import expand_behaviors
    from harness.doctor.doctor import examine
    from harness.gate.options import engine_arguments, engine_named

    with one_line_errors():
        behaviors = expand_behaviors(behavior or Settings.behaviors)
        settings = Settings(
            model=model,
            candidates=tuple(candidate or ()),
            behaviors=behaviors,
            engine=engine_named(engine),
            server=server,
            tensor_parallel=tensor_parallel,
            pipeline_parallel=pipeline_parallel,
            vllm=engine_arguments(vllm or ()),
            thresholds=thresholds,
            reports=reports,
        )
        findings = examine(settings, validate)
    for finding in findings:
        print(f"{'ok' if finding.fine else 'NOT OK':7}{finding.what}: {finding.found}")
    if not all(finding.fine for finding in findings):
        raise typer.Exit(USAGE)


@app.command()
def rejudge(
    cycle: Annotated[str | None, typer.Option(help="default: the cycle recorded last")] = None,
    history: HistoryOption = DEFAULT_HISTORY,
    gate_json: Annotated[Path | None, typer.Option(help="judge this gate.json instead of a cycle of the history")] = None,
    thresholds: Annotated[Path, typer.Option(help="thresholds.toml")] = Settings.thresholds,
    waivers: Annotated[Path, typer.Option(help="waivers.toml")] = Settings.waivers,
) -> None:
    """Judge recorded measurements by the thresholds of today: which verdicts change, and why. Loads no model, writes nothing."""
    from harness.gate.history import rejudge as again
    from harness.gate.verdict.thresholds import load_thresholds
    from harness.gate.verdict.waivers import load_waivers

    with one_line_errors():
        if cycle is not None and gate_json is not None:
            raise InputError("--cycle and --gate-json were both given; allowed: one of them")
        expected = load_thresholds(thresholds)
        known = load_waivers(waivers, expected)
        recorded = again.from_history(history, cycle) if gate_json is None else again.from_gate_json(gate_json)
        judged = again.rejudge(recorded, expected, known)
    for line in again.lines(recorded, judged):
        print(line)


@app.command()
def calibrate(
    model: Annotated[str, typer.Option(help="base subject, as for pytest evals")] = Settings.model,
    behavior: Annotated[str, typer.Option(help="shipped name or folder")] = Settings.behaviors[0],
    adapters: Annotated[int, typer.Option(help="good adapters, each trained under a seed of its own")] = 20,
    minutes: Annotated[float | None, typer.Option(help="begin no further subject after this long; run again to go on", min=0)] = None,
    replies: Annotated[bool, typer.Option("--replies/--no-replies", help="sample replies: for code, answers and k-point losses")] = True,
    runs_only: Annotated[bool, typer.Option("--runs-only", help="judge what is recorded, without a model")] = False,
    store: Annotated[Path, typer.Option(help="folder of expensive results")] = Settings.store,
    thresholds: Annotated[Path, typer.Option(help="thresholds.toml")] = Settings.thresholds,
    out: Annotated[Path, typer.Option(help="calibration.json; its other subjects are kept")] = Settings.calibration,
) -> None:
    """Count the gate's false alarms on adapters that differ by their seed alone, and the planted regressions that it misses. Resumable."""
    from evals.calibration import command

    settings = Settings(model=model, behaviors=(behavior,), store=store, thresholds=thresholds, calibration=out)
    with one_line_errors():
        asked = command.Asked(settings, behavior, adapters, minutes, replies, runs_only)
        table = command.calibrate(asked, lambda line: print(line, file=sys.stderr, flush=True))
    print(table)


@app.command()
def accept(
    cycle: str,
    force: Annotated[str | None, typer.Option(metavar="REASON", help="accept whatever stands in the way; the reason is recorded")] = None,
    history: HistoryOption = DEFAULT_HISTORY,
    thresholds: Annotated[Path, typer.Option(help="thresholds.toml, which says what the gates are")] = Settings.thresholds,
) -> None:
    """Make a cycle the baseline that later ones are compared with: every gate run and green, no proven loss, one subject, one judge."""
    from harness.gate.history import acceptance
    from harness.gate.verdict.thresholds import load_thresholds

    with one_line_errors():
        acceptance.accept(history, cycle, load_thresholds(thresholds), force)
    print(f"{cycle} is the baseline now")


@app.command()
def pin(
    cycle: str,
    reason: Annotated[str, typer.Option(help="why drift is measured against another cycle from now on; recorded")],
    history: HistoryOption = DEFAULT_HISTORY,
) -> None:
    """Make a cycle the one that drift and cost are measured against. Accepting a cycle never moves it."""
    from harness.gate.history import records

    with one_line_errors():
        records.pin(history, cycle, reason)
    print(f"{cycle} is pinned now")


@app.command()
def diff(before: str, after: str, history: HistoryOption = DEFAULT_HISTORY) -> None:
    """Say what changed between two cycles. What anything but the subject determined otherwise is not compared."""
    from harness.gate.history.diff import compare, lines

    with one_line_errors():
        changes = compare(history, before, after)
    for line in lines(changes):
        print(line)


@app.command()
def report(reports: Annotated[Path, typer.Option(help="folder of the last run's reports")] = Settings.reports) -> None:
    """Rebuild the HTML report from what the last run left behind."""
    from harness.gate.reports.html import rebuild

    results = reports / "allure-results"
    with one_line_errors():
        if not any(results.glob("*-result.json")):
            raise InputError(f"{results}: no results of a run; run pytest evals first")
    problem = rebuild(reports, results)
    if problem is not None:
        fail(problem, FAILED)
    print(reports / "html" / "index.html")


@app.command()
def train(
    behavior: Annotated[str, typer.Option(help="shipped name or folder")],
    out: Annotated[Path, typer.Option(help="folder for the adapter")],
    model: Annotated[str, typer.Option(help="base subject")] = Settings.model,
    examples: Annotated[int, typer.Option(help="training pairs used", min=1)] = 50,
    seed: Annotated[int, typer.Option(help="order, initialization and choice", min=0)] = Settings.seed,
    start: Annotated[Path | None, typer.Option(help="adapter of this trainer to go on from; default: a new one")] = None,
    counter_examples: Annotated[bool, typer.Option(help="learn the negative completions: how a behavior gets lost")] = False,
) -> None:
    """Train a LoRA adapter on a behavior: the reference trainer."""
    from fixtures.laboratory import neutral_completions
    from harness.arms.reference import train_reference
    from harness.store import Store

    with one_line_errors():
        asked: dict[str, Any] = {"model": model, "behavior": behavior, "out": out, "examples": examples, "seed": seed}
        asked |= {"start": start, "kind": "opposite" if counter_examples else "trained"}
        train_reference(**asked, neutral=neutral_completions(), store=Store(Settings.store))
    print(out)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(context: typer.Context, model: str) -> None:
    """Start `vllm serve` with the suite's extension; further options are vLLM's own."""
    from harness.engines.vllm.launch import launch
    from harness.store import Store
    from harness.subjects.named import base_folder

    with one_line_errors():
        launch(base_folder(model, Store(Settings.store)), context.args)


@app.command()
def new_behavior(path: Path, name: Annotated[str | None, typer.Option(help="default: the folder's name")] = None) -> None:
    """Write the skeleton of a behavior to fill in."""
    from harness.behaviors.skeleton import write_skeleton

    with one_line_errors():
        write_skeleton(path, name or path.name)
    print(f"{path}: fill it in, then python -m harness check-behavior {path}")


@app.command()
def check_behavior(path: Path) -> None:
    """Say whether a behavior is valid, and a good instrument."""
    from harness.behaviors.checks import check_behavior as examine
    from harness.behaviors.files import load_behavior

    with one_line_errors():
        findings = examine(load_behavior(path))
    for finding in findings:
        print(f"{'ok' if finding.ok else 'NOT OK':7}{finding.name}: {finding.text}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(FAILED)


memory = typer.Typer(no_args_is_help=True, help="Memory graphs: JSON lines into an SQLite store and back.")
app.add_typer(memory, name="memory")


@memory.command("import")
def import_memory(folder: Path, store: Path) -> None:
    """Add the nodes and links of a folder to an SQLite store; those known by id are replaced."""
    from harness.memory.graph import read_graph
    from harness.memory.store import MemoryStore

    with one_line_errors():
        MemoryStore(store).add(read_graph(folder))
        graph = MemoryStore(store).snapshot()
    print(f"{store}: {len(graph.nodes)} nodes, {len(graph.links)} links, digest {graph.digest}")


@memory.command("export")
def export_memory(store: Path, folder: Path) -> None:
    """Write a snapshot of an SQLite store into a new folder."""
    from harness.memory.graph import write_graph
    from harness.memory.store import MemoryStore

    with one_line_errors():
        graph = MemoryStore(store).snapshot()
        write_graph(graph, folder)
    print(f"{folder}: {len(graph.nodes)} nodes, {len(graph.links)} links, digest {graph.digest}")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Bad input ends the command with one line and the exit code for usage."""
    try:
        yield
    except InputError as error:
        fail(str(error), USAGE)


def fail(message: str, code: int) -> NoReturn:
    """Ends the command: `message` on stderr, `code` as the exit code."""
    print(message, file=sys.stderr)
    raise typer.Exit(code)


if __name__ == "__main__":
    app(prog_name="python -m harness")
