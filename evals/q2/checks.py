"""Q2's measurements: scenarios are frozen with their labels, then rolled out, then compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from evals.q2 import plots
from fixtures.dreams import difficulty_model
from harness.analysis.beta_binomial import fit, share_within
from harness.analysis.intervals import mean_interval
from harness.analysis.label_auc import ceiling, label_auc
from harness.analysis.sample import DegenerateSample
from harness.data.arrays import Floats, Integers, Names
from harness.data.measurement import Estimate, Exhibit, Measurement
from harness.data.subject import Subject
from harness.dreams.difficulty import LEVELS
from harness.dreams.scenarios import Collected, DreamError, DreamLoop, Scenario, collect
from harness.dreams.walk import Walk, walks
from harness.experiment.lab import Lab
from harness.judges.judge import Judge, JudgeError, Label
from harness.memory.graph import MemoryGraph
from harness.store import digest_of

SCENARIOS, CONTROL, SWEPT = 100, 30, 60
"""Dreamed at the loop's own temperature, without seeds, and at each other temperature."""
FEWEST = 20
"""Scenarios without which nothing is concluded."""
ROLLOUTS = {"quick": 8, "full": 16}
TEMPERATURE = 0.7
SWEEP = {"quick": (0.4, 1.0), "full": (0.3, 0.5, 0.9, 1.1)}
LEARNABLE = (0.2, 0.8)
"""Failure probabilities between which a scenario teaches something: neither known nor hopeless."""
LEARNABLE_SHARE = 0.4
AUC = 0.6
"""Predicting one's own failure reaches about .55; a label worth having does better."""
CLOSE = 0.15
"""Share labeled hard minus failure rate: as far apart as calibrated may be."""
ON_AVERAGE = "calibrated on average"
HARDNESS = {"obvious": 0.0, "middling": 0.5, "subtle": 1.0}
"""What a level counts in the share labeled hard."""


@dataclass(frozen=True)
class Rolled:
    """Frozen scenarios with the replies to them and their labels."""

    scenarios: tuple[Scenario, ...]
    replies: Sequence[Sequence[str]]
    """[rollouts][scenarios]."""
    labels: Sequence[Sequence[Label]]
    """The judge's, [rollouts][scenarios]."""

    @property
    def rollouts(self) -> int:
        return len(self.labels)

    @cached_property
    def outcomes(self) -> Floats:
        """1 where a reply does not show the behavior, [scenarios, rollouts]. A reply that is neither has failed too."""
        return np.array([[label != "positive" for label in row] for row in self.labels], dtype=np.float64).T

    @property
    def failures(self) -> Integers:
        return np.asarray(self.outcomes.sum(axis=1), dtype=np.int64)

    @property
    def hardness(self) -> Floats:
        return np.array([HARDNESS[scenario.label] for scenario in self.scenarios])

    @property
    def domains(self) -> Names:
        return np.array([scenario.domain for scenario in self.scenarios])

    @property
    def neither(self) -> float:
        return float(np.mean([label == "neither" for row in self.labels for label in row]))


@dataclass(frozen=True)
class Study:
    """A lab with its dream loop and judge; scenarios and rollouts are made when asked for."""

    lab: Lab
    memory: MemoryGraph
    loop: Callable[[], DreamLoop]
    judge: Callable[[], Judge]

    @property
    def tested(self) -> Subject:
        return self.lab.candidate or self.lab.trained_arm().subject

    @cached_property
    def dreams(self) -> Collected:
        """At the loop's own temperature."""
        return self.dreamed(TEMPERATURE, SCENARIOS, "dream")

    @cached_property
    def rolled(self) -> Rolled:
        return self.roll(self.dreams.scenarios)

    @cached_property
    def control(self) -> Rolled | None:
        """Dreamed without seeds; None where the loop cannot."""
        if self.loop().holds is not None:
            return None
        found = self.dreamed(TEMPERATURE, CONTROL, "control", seeded=False)
        return self.roll(found.scenarios) if len(found.scenarios) >= FEWEST else None

    @cached_property
    def swept(self) -> Mapping[float, Rolled]:
        """By temperature, the loop's own among them."""
        if self.loop().holds is not None:
            return {TEMPERATURE: self.rolled}
        others = {each: self.dreamed(each, SWEPT, f"dream-{each:g}") for each in SWEEP[self.lab.settings.profile]}
        rolled = {each: self.roll(found.scenarios) for each, found in others.items() if len(found.scenarios) >= FEWEST}
        return dict(sorted({**rolled, TEMPERATURE: self.rolled}.items()))

    def dreamed(self, temperature: float, wanted: int, prefix: str, seeded: bool = True) -> Collected:
        """Scenarios of one temperature. They repeat no prompt of the behavior's own pairs."""
        lab, loop = self.lab, self.loop()
        lab.progress(f"q2 {lab.behavior.name}: {wanted} scenarios by {loop.name} at temperature {temperature:g}")
        rng = lab.rng("q2", prefix)

        def walk(count: int) -> Sequence[Walk]:
            return walks(self.memory, count, rng) if seeded and loop.holds is None else [()] * count

        known = [pair.messages[-1].content for pair in lab.behavior.pairs]
        return collect(loop, walk, wanted, difficulty_model(), temperature=temperature, seed=lab.settings.seed, known=known, prefix=prefix)

    def roll(self, scenarios: tuple[Scenario, ...]) -> Rolled:
        """Every scenario answered anew in every rollout, and judged."""
        lab, judge = self.lab, self.judge()
        prompts = [scenario.messages for scenario in scenarios]
        first = 1000 * (lab.settings.seed + 1)
        count = ROLLOUTS[lab.settings.profile]
        replies = lab.recordings.replies_each(self.tested, prompts, range(first, first + count))
        return Rolled(scenarios, replies, [judge.labels(prompts, row) for row in replies])

    def provenance(self) -> dict[str, Any]:
        """What was frozen before the first rollout."""
        found, loop = self.dreams, self.loop()
        return {
            "dream loop": loop.name,
            "temperature": TEMPERATURE if loop.holds is None else None,
            "memory": self.memory.digest,
            "rubric": difficulty_model().version,
            "frozen": digest_of([[s.id, s.text, s.label, list(s.seeds)] for s in found.scenarios]),
            "scenarios": len(found.scenarios),
            "unreadable": found.unreadable,
            "repeated": found.repeated,
            "rollouts": ROLLOUTS[self.lab.settings.profile],
            "judge": self.judge().name,
        }


def _measured(study: Study, id: str, unit: str, measure: Callable[[Rolled], Measurement]) -> Measurement:
    """A measurement on the scenarios, or the reason why there is none."""
    try:
        if len(study.dreams.scenarios) < FEWEST:
            reason = f"{len(study.dreams.scenarios)} usable scenarios, {FEWEST} at least are needed"
            return study.lab.measurement(id, unit, reason=reason, null=study.provenance())
        return measure(study.rolled)
    except (DreamError, JudgeError, DegenerateSample) as error:
        return study.lab.measurement(id, unit, reason=str(error))


def told(estimate: Estimate, bound: float, above: str, below: str) -> tuple[str | None, str | None]:
    """The answer where the interval lies on one side of the bound, else the reason why there is none."""
    if estimate.low > bound:
        return above, None
    if estimate.high < bound:
        return below, None
    return None, f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}] is shown neither above nor below {bound:g}"


def of_label(study: Study) -> Measurement:
    """Does the label, given before, tell rollouts that fail from those that do not?"""
    id, unit = "q2.label_auc", "AUC"

    def measure(rolled: Rolled) -> Measurement:
        lab = study.lab
        levels = np.array([scenario.level for scenario in rolled.scenarios], dtype=float)
        estimate = label_auc(levels, rolled.failures, rolled.rollouts, rolled.domains, lab.alpha(id), lab.rng(id))
        answer, reason = told(estimate, AUC, "labels predict failure", "labels do not predict failure")
        permuted = label_auc(lab.rng(id, "permuted").permutation(levels), rolled.failures, rolled.rollouts, None, 0.05, lab.rng(id))
        rows = [{"cell": level, **_share(rolled, [s.label == level for s in rolled.scenarios])} for level in LEVELS]
        if study.control is not None:
            rows.append({"cell": "dreamed without seeds", **_share(study.control, [True] * len(study.control.scenarios))})
        null: dict[str, Any] = {"kind": "labels permuted over scenarios", "value": permuted.value}
        try:
            null["ceiling: one half of the rollouts for the other"] = ceiling(rolled.outcomes)
        except DegenerateSample as degenerate:
            null["ceiling: one half of the rollouts for the other"] = str(degenerate)
        exhibits = [
            Exhibit("failures by label", plots.by_label(study, rolled, rows)),
            Exhibit("the hardest and the easiest scenarios", _transcripts(study, rolled)),
        ]
        return lab.measurement(
            id, unit, estimate, answer=answer, reason=reason, series=rows, null={**null, **study.provenance()}, exhibits=exhibits
        )

    return _measured(study, id, unit, measure)


def _share(rolled: Rolled, chosen: Sequence[bool]) -> dict[str, Any]:
    """Failure rate of some scenarios with a t interval over them, and how many."""
    where = np.array(chosen)
    shares = rolled.outcomes[where].mean(axis=1)
    row: dict[str, Any] = {"n": int(where.sum()), "estimate": float(shares.mean()) if len(shares) else None}
    if len(shares) >= 2 and shares.std() > 0:
        found = mean_interval(shares, None, 0.05, np.random.default_rng(0))
        row |= {"low": max(found.low, 0.0), "high": min(found.high, 1.0)}
    return row


def difference(rolled: Rolled, alpha: float, rng: np.random.Generator) -> Estimate:
    """Share labeled hard minus failure rate."""
    return mean_interval(rolled.hardness - rolled.outcomes.mean(axis=1), rolled.domains, alpha, rng)


def calibrated(estimate: Estimate) -> str | None:
    """What the difference says: within ± CLOSE, beyond it, or nothing."""
    if estimate.low > -CLOSE and estimate.high < CLOSE:
        return ON_AVERAGE
    if estimate.low > CLOSE:
        return "easier than labeled"
    return "harder than labeled" if estimate.high < -CLOSE else None


def of_calibration(study: Study) -> Measurement:
    """Is the share labeled hard the share that fails?"""
    id, unit = "q2.calibration", "share labeled hard minus failure rate"

    def measure(rolled: Rolled) -> Measurement:
        lab = study.lab
        estimate = difference(rolled, lab.alpha(id), lab.rng(id))
        answer = calibrated(estimate)
        reason = None if answer else f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}], calibrated is within ± {CLOSE:g}"
        hard, failed = rolled.hardness, rolled.outcomes.mean(axis=1)
        slope = float(np.polyfit(hard, failed, 1)[0]) if hard.std() > 0 else None
        null = {"kind": "perfect calibration: difference 0, slope 1", "slope": slope, "share neither": rolled.neither, **study.provenance()}
        rows = [{"cell": level, **_share(rolled, [s.label == level for s in rolled.scenarios])} for level in LEVELS]
        exhibits = [Exhibit("reliability diagram", plots.reliability(study, rolled, rows))]
        return lab.measurement(
            id, unit, estimate, answer=answer, reason=reason, series=rows, null=null, exhibits=exhibits, **_by_scenario(rolled)
        )

    return _measured(study, id, unit, measure)


def _by_scenario(rolled: Rolled) -> dict[str, Any]:
    """Failure rate of every scenario, for the history."""
    return {"pairs": rolled.scenarios, "values": rolled.outcomes.mean(axis=1)}


def learnable(rolled: Rolled, alpha: float, rng: np.random.Generator) -> Estimate:
    """Share of scenarios whose failure probability lies where something can be learned."""
    return share_within(rolled.failures, rolled.rollouts, *LEARNABLE, rolled.domains, alpha, rng)


def of_learnable_share(study: Study) -> Measurement:
    """Do most scenarios fail neither nearly always nor nearly never?"""
    id, unit = "q2.learnable_share", "share of scenarios"

    def measure(rolled: Rolled) -> Measurement:
        lab = study.lab
        estimate = learnable(rolled, lab.alpha(id), lab.rng(id))
        spread = fit(rolled.failures, rolled.rollouts)
        easy, hard = spread.within(0, LEARNABLE[0]), spread.within(LEARNABLE[1], 1)
        answer, reason = told(estimate, LEARNABLE_SHARE, "right", "too easy" if easy > hard else "too hard")
        null = {
            "kind": f"at least {LEARNABLE_SHARE:g} of the scenarios with a failure probability in {list(LEARNABLE)}",
            "failure rate": spread.mean,
            "share too easy": easy,
            "share too hard": hard,
            "a": spread.a,
            "b": spread.b,
            **study.provenance(),
        }
        rows = [{"cell": f"{k} of {rolled.rollouts} failed", "n": int((rolled.failures == k).sum())} for k in range(rolled.rollouts + 1)]
        exhibits = [Exhibit("failures by scenario and the fitted distribution", plots.spread_of_failures(study, rolled, spread))]
        return lab.measurement(id, unit, estimate, answer=answer, reason=reason, series=rows, null=null, exhibits=exhibits)

    return _measured(study, id, unit, measure)


def of_temperature(study: Study) -> Measurement:
    """Calibrated as is, or at which of the swept temperatures?"""
    id, unit = "q2.temperature", "temperature"

    def measure(rolled: Rolled) -> Measurement:
        lab = study.lab
        if study.loop().holds is not None:
            reason = f"{study.loop().name} has one temperature: there is nothing to sweep"
            return lab.measurement(id, unit, reason=reason, not_applicable=True)
        rows: list[dict[str, Any]] = []
        said: dict[float, str | None] = {}
        for temperature, each in study.swept.items():
            known = "q2.calibration", *(() if temperature == TEMPERATURE else (str(temperature),))
            found = difference(each, lab.alpha(id), lab.rng(*known))
            said[temperature] = calibrated(found)
            row = {"cell": f"temperature {temperature:g}", "n": len(each.scenarios), "estimate": found.value, "low": found.low}
            row |= {"high": found.high, "failure rate": float(each.outcomes.mean()), "neither": each.neither}
            try:
                share = learnable(each, 0.05, lab.rng(id, "share", str(temperature)))
                row |= {"learnable share": share.value, "share_low": share.low, "share_high": share.high}
            except DegenerateSample as degenerate:
                row |= {"learnable share": None, "why": str(degenerate)}
            rows.append(row)
        best, why = best_temperature(said)
        null = {"kind": f"share labeled hard minus failure rate within ± {CLOSE:g}", **study.provenance()}
        exhibits = [Exhibit("calibration and learnable share by temperature", plots.by_temperature(study, rows))]
        return lab.measurement(id, unit, answer=best, reason=why, series=rows, null=null, exhibits=exhibits)

    return _measured(study, id, unit, measure)


def best_temperature(said: Mapping[float, str | None]) -> tuple[str | None, str | None]:
    """The answer from what each temperature's difference says, else the reason why there is none."""
    if said[TEMPERATURE] == ON_AVERAGE:
        return "calibrated as is", None
    good = [temperature for temperature, answer in said.items() if answer == ON_AVERAGE]
    if good:
        return f"calibrated at {min(good, key=lambda each: abs(each - TEMPERATURE)):g}", None
    if all(said.values()):
        return "calibrated at none of them", None
    open_ones = ", ".join(f"{temperature:g}" for temperature, answer in said.items() if answer is None)
    return None, f"at {open_ones} the scenarios do not say whether they are calibrated"


def _transcripts(study: Study, rolled: Rolled) -> Path:
    """The five scenarios that failed most and the five that failed least, each with two replies."""
    path = study.lab.exhibits / f"q2-transcripts-{study.lab.behavior.name}.txt"
    order = np.argsort(-rolled.failures, kind="stable")
    blocks = []
    for i in [*order[:5], *order[-5:]]:
        scenario = rolled.scenarios[i]
        said = "\n".join(f"  [{rolled.labels[k][i]}] {rolled.replies[k][i]}" for k in range(min(2, rolled.rollouts)))
        seeds = " > ".join(scenario.seeds) or "no seed"
        head = (
            f"{scenario.id}: labeled {scenario.label} by {scenario.labeled_by}, {rolled.failures[i]} of {rolled.rollouts} failed; {seeds}"
        )
        blocks.append(f"{head}\nuser: {scenario.text}\n{said}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(blocks), encoding="utf-8")
    return path


MEASURES: Mapping[str, Callable[[Study], Measurement]] = {
    "q2.label_auc": of_label,
    "q2.calibration": of_calibration,
    "q2.learnable_share": of_learnable_share,
    "q2.temperature": of_temperature,
}
