"""The rates of every kind of run, as they stand in calibration.json and in docs/error-rates.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from evals.calibration.book import Book
from evals.calibration.peeking import peeking
from evals.calibration.plants import AMOUNTS
from evals.calibration.runs import CONTINUATION, NEAR, UNDONE, WEAK, Gate, Outcomes, against_base, elsewhere, inverted, onward, other_seed
from harness.analysis.error_rates import Rate, clustered_rate
from harness.data.arrays import Floats
from harness.data.measurement import Spread
from harness.gate.reports.calibration_page import COLUMNS

ITSELF, RETRAINED, FIRST = "itself, samples drawn again", "retrained", "against base"
INVERTED = (1, 2, 4)
"""Numbers of domains in which a continuation does the opposite."""
LOSSES = ("quarter of the effect lost", "half of the effect lost", "10-point loss", "20-point loss")
WHAT: Mapping[str, str] = {
    CONTINUATION: "the accepted adapter trained on with 24 more examples of the same kind",
    ITSELF: "the accepted adapter itself, its samples drawn again",
    RETRAINED: "another adapter trained on the same data under a new seed",
    FIRST: "a good adapter before any cycle is accepted: what the training itself costs, no false alarm",
    UNDONE: "a plain adapter of five examples was accepted; the candidate goes on from it with 24 counter-examples",
    "wrong adapter": "an adapter trained on another behavior",
    **AMOUNTS,
}
SIMULATED = "q4.regression"
"""The check on whose values the sequential rule is simulated: `--profile full` draws more scenarios for checks of log-odds."""
BY_CHECK = {"fails": "fail", "inconclusive": "inconclusive"}
"""What is counted of every check by itself, and the verdict it counts."""


@dataclass(frozen=True)
class Sizes:
    """How many runs of each kind."""

    retrained: int = 2
    """Runs of every ordered pair of good adapters, each with new samples."""
    onward: int = 10
    """Runs of every subject against the adapter that it was made from, and of every good adapter against itself."""
    histories: int = 1000
    """Simulated histories of the sequential rule."""


def rows(gate: Gate, sizes: Sizes) -> list[dict[str, Any]]:
    """One row a kind: the user's case first, which goes on from the accepted adapter; then trainings begun anew."""
    book, good, draws = gate.book, gate.good, sizes.onward
    plans = {CONTINUATION: onward(good, book.of(CONTINUATION), draws), ITSELF: onward(good, good, draws)}
    kinds = [kind for kind in book.kinds if kind not in (CONTINUATION, WEAK, UNDONE)]
    plans |= {kind: onward(good, book.of(kind), draws) for kind in sorted(kinds, key=_rank)}
    plans |= {f"{count} of {len(set(book.domains))} domains inverted": inverted(book, count, draws) for count in INVERTED}
    plans[UNDONE] = onward(book.of(WEAK), book.of(UNDONE), draws)
    plans[RETRAINED] = other_seed(good, sizes.retrained)
    plans |= {f"{RETRAINED}, {kind}": elsewhere(good, book.of(kind)) for kind in LOSSES if book.of(kind)}
    plans[FIRST] = against_base(good)
    return [_row(kind, [gate.run(plan) for plan in each]) for kind, each in plans.items() if each]


def _rank(kind: str) -> int:
    """Place of a kind in the table: losses first, in their order."""
    return LOSSES.index(kind) if kind in LOSSES else len(LOSSES)


def _row(kind: str, outcomes: Sequence[Outcomes]) -> dict[str, Any]:
    members = [outcome.plan.adapters for outcome in outcomes]

    def rate(flags: Sequence[bool]) -> dict[str, Any]:
        found: Rate = clustered_rate(np.array(flags, dtype=float), members)
        return {"value": found.value, **asdict(found)}

    def check(id: str) -> dict[str, Any]:
        said = [outcome.verdicts[id] for outcome in outcomes]
        shares = {verdict: number / len(said) for verdict, number in Counter(said).items()}
        return {"verdicts": shares, **{name: rate([one == verdict for one in said]) for name, verdict in BY_CHECK.items()}}

    subjects = {outcome.plan.candidate.digest: outcome.plan.candidate for outcome in outcomes}
    lost = [one.lost for one in subjects.values() if one.lost is not None]
    return {
        "kind": kind,
        "what": WHAT.get(kind) or _what(kind),
        "planted": kind not in (CONTINUATION, ITSELF, RETRAINED, FIRST),
        "runs": len(outcomes),
        "subjects": len(subjects),
        "lost": {"mean": float(np.mean(lost)), "least": min(lost), "most": max(lost)} if lost else None,
        "fails": rate([outcome.failed for outcome in outcomes]),
        "inconclusive": rate([outcome.inconclusive for outcome in outcomes]),
        "green": rate([outcome.green for outcome in outcomes]),
        "checks": {id: check(id) for id in outcomes[0].verdicts},
    }


def _what(kind: str) -> str:
    if kind.startswith(f"{RETRAINED}, "):
        return "the accepted adapter is another than the one that the candidate was made from"
    if kind.endswith("inverted"):
        return "a continuation that does the opposite in so many domains"
    return "the accepted adapter trained on with counter-examples"


def targets(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was promised, what was measured, and whether it holds; a target whose runs there are none of holds nothing."""
    by_kind = {row["kind"]: row for row in found}

    def target(kind: str, column: str, most: float | None = None, least: float | None = None) -> dict[str, Any]:
        row = by_kind.get(kind)
        value = None if row is None else row[column]["value"]
        holds = value is not None and (most is None or value <= most) and (least is None or value >= least)
        return {"kind": kind, "column": column, "at_most": most, "at_least": least, "measured": value, "holds": holds}

    two = next((kind for kind in by_kind if kind.startswith("2 of ")), "2 domains inverted")
    return [
        target(CONTINUATION, "fails", most=0.01),
        target(CONTINUATION, "inconclusive", most=0.10),
        target(ITSELF, "fails", most=0.01),
        target("quarter of the effect lost", "green", most=0.05),
        target("half of the effect lost", "fails", least=0.80),
        target("10-point loss", "fails", least=0.50),
        target("20-point loss", "fails", least=0.95),
        target(two, "green", most=0.05),
        target(UNDONE, "green", most=0.0),
        target(RETRAINED, "fails", most=0.01),
        target(RETRAINED, "inconclusive", most=0.10),
    ]


def markdown(name: str, entry: Mapping[str, Any]) -> str:
    """The table of one subject and behavior."""
    runs = sum(row["runs"] for row in entry["kinds"])
    lines = [
        f"`{name}`: {entry['adapters']} adapters trained under different seeds, {runs} runs, profile {entry['profile']}"
        + (".", ", without replies: `q6.code`, `q6.reasoning` and k-point losses are not in it.")[not entry.get("replies", True)],
        "",
        "| the candidate | subjects | runs | truly lost | red | inconclusive | green |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in entry["kinds"]:
        lost = row["lost"]
        share = "" if lost is None else f"{lost['mean']:.2f} ({lost['least']:.2f} to {lost['most']:.2f})"
        cells = [_percent(row[column]) for column in COLUMNS]
        cells[2] = f"**missed** {cells[2]}" if row["planted"] else cells[2]
        lines.append(f"| {row['kind']} | {row['subjects']} | {row['runs']} | {share} | {' | '.join(cells)} |")
    lines += ["", *(f"- {said(one)}" for one in entry["targets"])]
    lines += _sequential(entry.get("peeking"))
    missing = unfinished(entry)
    if missing:
        lines.append(f"- not finished: {', '.join(missing)}; the command goes on from there")
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
    """Kinds that there are fewer subjects of than good adapters. A dose near a loss counts as one that was looked for."""
    subjects: Counter[str] = Counter()
    for row in entry["kinds"]:
        subjects[row["kind"].removeprefix(NEAR)] += row["subjects"]
    few = [kind for kind in (CONTINUATION, *LOSSES, UNDONE) if 0 < subjects[kind] < entry["adapters"]]
    return [f"{subjects[kind]} of {entry['adapters']} subjects of {kind}" for kind in few]


def _percent(rate: Mapping[str, Any]) -> str:
    return f"{100 * rate['value']:.1f} % [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]"


def said(one: Mapping[str, Any]) -> str:
    """One target: what was promised, what was measured, and whether it holds."""
    wanted = f"at most {100 * one['at_most']:g} %" if one["at_most"] is not None else f"at least {100 * one['at_least']:g} %"
    promise = f"{one['kind']}: {COLUMNS[one['column']]} in {wanted}"
    if one["measured"] is None:
        return f"{promise}; not measured"
    return f"{promise}; {100 * one['measured']:.1f} %: {'holds' if one['holds'] else '**does not hold**'}"


def summary(book: Book, gate: Gate, sizes: Sizes) -> dict[str, Any]:
    """What calibration.json says of one subject and behavior, but for when and with what it was made."""
    found = rows(gate, sizes)
    return {
        "base": book.base_digest,
        "behavior": book.behavior_digest,
        "profile": "quick",
        "adapters": len(gate.good),
        "replies": book.replies,
        "retrained": _spreads(gate.seed_spreads().retrained),
        "continued": _spreads(gate.seed_spreads().continued),
        "kinds": found,
        "targets": targets(found),
        "peeking": asdict(peeking(differences(gate), book.domains, sizes.histories, seed=0)),
    }


def _spreads(known: Mapping[str, Spread]) -> dict[str, Any]:
    return {id: {"deviation": one.deviation, "adapters": one.adapters} for id, one in known.items()}


def differences(gate: Gate) -> Floats:
    """What every two good adapters differ by, scenario by scenario, in nats: [scenarios, pairs of adapters]."""
    return np.stack([one - other for one, other in combinations(gate.values[SIMULATED], 2)], axis=1)
