"""The rates of every kind of run, as they stand in calibration.json and in docs/error-rates.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from evals.calibration.book import Book
from evals.calibration.peeking import peeking
from evals.calibration.plants import AMOUNTS
from evals.calibration.runs import Gate, Outcomes, against_base, itself, other_seed, planted
from harness.analysis.error_rates import Rate, clustered_rate
from harness.data.arrays import Floats

OTHER_SEED, ITSELF, FIRST = "trained alike", "itself, samples drawn again", "against base"
"""Kinds of runs in which nothing is planted, as calibration.json names them; "trained alike" is on the same data under another seed."""
WHAT: Mapping[str, str] = {
    OTHER_SEED: "another adapter trained alike under a new seed",
    ITSELF: "the accepted adapter itself, its samples drawn again",
    FIRST: "a good adapter before any cycle is accepted: what the training itself costs, no false alarm",
    "wrong adapter": "an adapter trained on another behavior",
    **AMOUNTS,
}


SIMULATED = "q4.regression"
"""The check on whose values the sequential rule is simulated: `--profile full` draws more scenarios for checks of log-odds."""
NEAR = "near a "
"""Before the name of a k-point loss: the nearest dose that was found is further off than the tolerance."""
BY_CHECK = {"fails": "fail", "inconclusive": "inconclusive"}
"""What is counted of every check by itself, and the verdict it counts."""


@dataclass(frozen=True)
class Sizes:
    """How many runs of each kind."""

    draws_other_seed: int = 3
    """Runs of every ordered pair of good adapters, each with new samples."""
    draws_itself: int = 10
    """Runs of every good adapter against itself."""
    planted: int = 1200
    """Three times every plant against every adapter, where there are 20 of each."""
    histories: int = 1000
    """Simulated histories of the sequential rule."""


def rows(gate: Gate, sizes: Sizes) -> list[dict[str, Any]]:
    """One row a kind: first what is no regression, then what is planted."""
    book, good = gate.book, gate.good
    plans = {OTHER_SEED: other_seed(good, sizes.draws_other_seed), ITSELF: itself(good, sizes.draws_itself), FIRST: against_base(good)}
    plans |= {kind: planted(good, book.of(kind), sizes.planted) for kind in book.kinds}
    blind = replace(gate, knows_seeds=False)
    return [_row(gate, kind, [gate.run(plan) for plan in each], [blind.run(plan) for plan in each]) for kind, each in plans.items()]


def _row(gate: Gate, kind: str, outcomes: Sequence[Outcomes], blind: Sequence[Outcomes]) -> dict[str, Any]:
    members = [outcome.plan.adapters for outcome in outcomes]

    def rate(flags: Sequence[bool]) -> dict[str, Any]:
        found: Rate = clustered_rate(np.array(flags, dtype=float), members)
        return {"value": found.value, **asdict(found)}

    def check(id: str) -> dict[str, Any]:
        said = [outcome.verdicts[id] for outcome in outcomes]
        shares = {verdict: number / len(said) for verdict, number in Counter(said).items()}
        return {"verdicts": shares, **{name: rate([one == verdict for one in said]) for name, verdict in BY_CHECK.items()}}

    subjects = {outcome.plan.candidate.digest: outcome.plan.candidate for outcome in outcomes}
    good = {one.adapter: one.rate for one in gate.good}
    falls = [before - one.rate for one in subjects.values() if one.rate is not None and (before := good[one.adapter]) is not None]
    planted_kind = kind not in (OTHER_SEED, ITSELF, FIRST)
    return {
        "kind": kind,
        "what": WHAT.get(kind, "the accepted adapter or another, trained on with counter-examples"),
        "planted": planted_kind,
        "runs": len(outcomes),
        "subjects": len(subjects),
        "fall": {"mean": float(np.mean(falls)), "least": min(falls), "most": max(falls)} if falls and planted_kind else None,
        "fails": rate([outcome.failed for outcome in outcomes]),
        "inconclusive": rate([outcome.inconclusive for outcome in outcomes]),
        "all_green": rate([outcome.missed for outcome in outcomes]),
        "not_knowing_seeds": {
            "fails": float(np.mean([outcome.failed for outcome in blind])),
            "inconclusive": float(np.mean([outcome.inconclusive for outcome in blind])),
            "all_green": float(np.mean([outcome.missed for outcome in blind])),
        },
        "checks": {id: check(id) for id in outcomes[0].verdicts},
    }


def targets(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was promised, what was measured, and whether it holds; a target whose runs there are none of holds nothing."""
    by_kind = {row["kind"]: row for row in found}

    def target(text: str, kind: str, column: str, most: float) -> dict[str, Any]:
        row = by_kind.get(kind)
        value = None if row is None else row[column]["value"]
        return {"target": text, "kind": kind, "at_most": most, "measured": value, "holds": value is not None and value <= most}

    return [
        target("false alarms: at least one gate fails", OTHER_SEED, "fails", 0.01),
        target("false alarms: at least one gate fails", ITSELF, "fails", 0.01),
        target("at least one gate inconclusive", OTHER_SEED, "inconclusive", 0.10),
        target("20-point loss missed: no gate other than green", "20-point loss", "all_green", 0.05),
    ]


def markdown(name: str, entry: Mapping[str, Any]) -> str:
    """The table of one subject and behavior."""
    runs = sum(row["runs"] for row in entry["kinds"])
    lines = [
        f"`{name}`: {entry['adapters']} adapters trained on the same data under different seeds, {runs} runs, profile {entry['profile']}"
        + (".", ", without replies: `q6.code`, `q6.reasoning` and k-point losses are not in it.")[not entry.get("replies", True)],
        "",
        "| the candidate | subjects | runs | judged rate falls by | a gate fails | one is inconclusive | all green | not knowing seeds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in entry["kinds"]:
        fall = row["fall"]
        points = "" if fall is None else f"{100 * fall['mean']:.0f} ({100 * fall['least']:.0f} to {100 * fall['most']:.0f}) points"
        cells = [_percent(row[column]) for column in ("fails", "inconclusive", "all_green")]
        cells[2] = f"**missed** {cells[2]}" if row["planted"] else cells[2]
        blind = ", ".join(f"{100 * row['not_knowing_seeds'][column]:.0f} %" for column in ("fails", "inconclusive", "all_green"))
        lines.append(f"| {row['kind']} | {row['subjects']} | {row['runs']} | {points} | {' | '.join(cells)} | {blind} |")
    lines += ["", *(f"- {one['target']}, {one['kind']}: {_said(one)}" for one in entry["targets"])]
    lines += _sequential(entry.get("peeking"))
    missing = unfinished(entry)
    if missing:
        lines.append(f"- not finished: fewer than {entry['adapters']} subjects of {', '.join(missing)}; the command goes on from there")
    return "\n".join(lines) + "\n"


def _sequential(found: Mapping[str, Any] | None) -> list[str]:
    """What `--profile full` does, a line a rule."""
    if found is None:
        return []
    looks = ", ".join(map(str, found["sizes"]))
    return [
        f"- `--profile full` looks at {looks} scenarios. Of {found['histories']} simulated histories, {row['rule']}: wrong in "
        f"{100 * row['errs']:.1f} % at 5 % and {100 * row['errs_at_alpha']:.1f} % at {100 * found['alpha']:g} %; right in "
        f"{100 * row['decides']:.0f} % where there is something to see, with {row['mean_size']:.0f} scenarios"
        for row in found["rows"]
    ]


def unfinished(entry: Mapping[str, Any]) -> list[str]:
    """Kinds of plants that not every good adapter has yet. A dose near a k-point loss counts as one that was looked for."""
    subjects: Counter[str] = Counter()
    for row in entry["kinds"]:
        if row["planted"]:
            subjects[row["kind"].removeprefix(NEAR)] += row["subjects"]
    return [kind for kind, number in subjects.items() if number < entry["adapters"]]


def _percent(rate: Mapping[str, Any]) -> str:
    return f"{100 * rate['value']:.1f} % [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]"


def _said(one: Mapping[str, Any]) -> str:
    if one["measured"] is None:
        return f"not measured (at most {100 * one['at_most']:g} % wanted)"
    return f"{100 * one['measured']:.1f} % (at most {100 * one['at_most']:g} % wanted): {'holds' if one['holds'] else '**does not hold**'}"


def summary(book: Book, gate: Gate, sizes: Sizes) -> dict[str, Any]:
    """What calibration.json says of one subject and behavior, but for when and with what it was made."""
    found = rows(gate, sizes)
    return {
        "base": book.base_digest,
        "behavior": book.behavior_digest,
        "profile": "quick",
        "adapters": len(gate.good),
        "replies": book.replies,
        "alike": {id: asdict(known) for id, known in gate.seed_spreads().items()},
        "kinds": found,
        "targets": targets(found),
        "peeking": asdict(peeking(differences(gate), book.domains, sizes.histories, seed=0)),
    }


def differences(gate: Gate) -> Floats:
    """What every two good adapters differ by, scenario by scenario, in nats: [scenarios, pairs of adapters]."""
    return np.stack([one - other for one, other in combinations(gate.values[SIMULATED], 2)], axis=1)
