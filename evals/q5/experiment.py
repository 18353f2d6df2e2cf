"""Q5's measurements: extract, choose a cell on dev pairs, then measure on test pairs against the null at that cell.

The cell: at each layer the strongest dose that keeps the language; of these, the one whose shift stands highest above what random and
label-shuffled vectors of its length do there, in their standard deviations, all on dev pairs. The largest shift itself would favor
layers at which any vector moves the choice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from evals.preflight.checks import HANDFUL
from evals.q5 import plots
from fixtures import corpora
from harness.analysis.contrast import (
    difference_of_means,
    first_component,
    logistic_probe,
    random_direction,
    shuffled_difference,
    split_half_cosine,
)
from harness.analysis.intervals import mean_interval
from harness.analysis.null_rank import above_null, null_rank
from harness.analysis.proportions import share_interval
from harness.analysis.ratios import ratio_interval
from harness.analysis.sample import DegenerateSample
from harness.analysis.standardized import standardized_ratio, standardized_shift
from harness.data.arrays import Floats, Names
from harness.data.behavior import Message, Pair
from harness.data.measurement import Estimate, Exhibit, Measurement
from harness.engines.protocol import Completion, Positions, Sites
from harness.experiment.lab import Lab
from harness.experiment.profile import domains_of
from harness.readouts.forced_choice import PRIMARY, UNIT, completions_of
from harness.readouts.parity import steered_parity
from harness.readouts.steering import DOSES, Contrast, Vector, contrasts, layer_indices, steering

METRIC = PRIMARY
FEW = 20
"""Pairs that Rimsky-style vectors are often said to need; the vector of all train pairs is measured beside that of these."""
DEV_NULLS = 5
"""Random vectors a layer that the cell is chosen against, and as many label-shuffled ones."""
PARITY_DOSE = 0.4
"""At which the engines are compared: a mistake moves the numbers by far more than rounding, and the model still makes sense."""
GROWS = ("q5.effect", "q5.sign", "q5.anti_steerable", "q5.overcompliance", "q5.viability")
"""Checks to which more scenarios add something."""
AS_STEERABLE = 0.8
"""A standardized shift of at least this share of the simple feature's counts as being as steerable."""


@dataclass(frozen=True)
class Cell:
    """One place of the sweep, measured on dev pairs."""

    layer: int
    dose: float
    """In units of the median residual norm there."""
    shift: float
    """Mean shift of the log-odds, nats a token."""
    cost: float
    """Mean change of the negative log-likelihood of unrelated text, nats a token."""
    standing: float | None = None
    """Shift in standard deviations of the shifts of null vectors there; known at each layer's strongest usable dose only."""


@dataclass(frozen=True)
class Sweep:
    """A vector per layer, every cell of layers x doses, and the cell chosen on dev pairs."""

    contrasts: Mapping[int, Contrast]
    cells: tuple[Cell, ...]
    chosen: Cell

    @property
    def contrast(self) -> Contrast:
        return self.contrasts[self.chosen.layer]

    @cached_property
    def vector(self) -> Vector:
        return difference_of_means(self.contrast.positive, self.contrast.negative)


@dataclass(frozen=True)
class Study:
    """Everything measured on test pairs at the chosen cell. All shifts are in nats a token against base, [test pairs]."""

    lab: Lab
    pairs: tuple[Pair, ...]
    sweep: Sweep
    shift: Floats
    reversed_shift: Floats
    nulls: Mapping[str, Floats]
    """Kind to [vectors, test pairs]: random, shuffled."""
    others: Mapping[str, Floats]
    """Other ways of moving the behavior, and other vectors, [test pairs] each."""
    cost: Floats  # [documents]
    cost_domains: Names
    diluted_shift: Floats
    """The true vector's shift over all tokens, [test pairs]: comparable with pairs that mark no decision."""
    accepting: Floats
    """Shift of the log-odds of going along with directions that should be refused, over all tokens, [pairs]."""
    accepting_pairs: tuple[Pair, ...]
    simple: Sweep
    simple_shift: Floats
    simple_pairs: tuple[Pair, ...]


def _prose(lab: Lab, part: int) -> list[Any]:
    """Unrelated documents: part 0 for choosing the cell, part 1 for measuring."""
    by_domain: dict[str, list[corpora.Document]] = {}
    for document in corpora.prose():
        by_domain.setdefault(document.domain, []).append(document)
    halves = [group[part::2] for group in by_domain.values()]
    turns = [half[i] for i in range(max(map(len, halves))) for half in halves if i < len(half)]  # every domain in turn
    return turns[: lab.sizes.prose]


def sweep(lab: Lab, train: Sequence[Pair], dev: Sequence[Pair], most_cost: float, what: str) -> Sweep:
    """Extract a vector per layer, try every layer and dose on dev pairs, and choose a cell as the module says.

    Reversed vectors are tried at the chosen layer. Without a dose that keeps the language (cost below `most_cost` nats a token), the
    cheapest cell is chosen.
    """
    recordings, base = lab.recordings, lab.base
    extracted = contrasts(recordings, base, train, layer_indices(lab.layer_kinds))
    before = recordings.forced_choice(base, dev).metric(METRIC)
    texts = [document.text for document in _prose(lab, 0)]
    plain = recordings.text_nll(base, texts)

    def cells_of(layer: int, doses: Sequence[float]) -> list[Cell]:
        contrast = extracted[layer]
        lab.progress(f"q5 {what}: layer {layer}, doses {' '.join(f'{dose:g}' for dose in doses)}")
        vector = difference_of_means(contrast.positive, contrast.negative)
        added = [steering(vector, layer, dose, contrast.norm) for dose in doses]
        shifts = [choice.metric(METRIC) - before for choice in recordings.forced_choices(base, dev, added)]
        costs = recordings.text_nlls(base, texts, added) - plain
        return [Cell(layer, dose, float(shift.mean()), float(cost.mean())) for dose, shift, cost in zip(doses, shifts, costs, strict=True)]

    def with_standing(cell: Cell) -> Cell:
        contrast, rng = extracted[cell.layer], lab.rng("q5", what, "standing", str(cell.layer))
        lab.progress(f"q5 {what}: layer {cell.layer}, {2 * DEV_NULLS} null vectors at dose {cell.dose:g}")
        nulls = [random_direction(contrast.positive.shape[1], rng) for _ in range(DEV_NULLS)]
        nulls += [shuffled_difference(contrast.positive, contrast.negative, rng) for _ in range(DEV_NULLS)]
        added = [steering(null, cell.layer, cell.dose, contrast.norm) for null in nulls]
        shifts = [choice.metric(METRIC).mean() - before.mean() for choice in recordings.forced_choices(base, dev, added)]
        moved = float(np.std(shifts, ddof=1))
        return replace(cell, standing=cell.shift / moved if moved > 0 else 0.0)  # where null vectors move nothing, nothing is shown

    cells = [cell for layer in extracted for cell in cells_of(layer, DOSES)]
    usable = [cell for cell in cells if cell.cost < most_cost]
    strongest = [max((c for c in usable if c.layer == layer), key=lambda c: c.shift) for layer in sorted({c.layer for c in usable})]
    standing = [with_standing(cell) for cell in strongest]
    chosen = max(standing, key=lambda c: c.standing or 0.0) if standing else min(cells, key=lambda c: c.cost)
    cells = [next((s for s in standing if (s.layer, s.dose) == (c.layer, c.dose)), c) for c in cells]
    return Sweep(extracted, (*cells, *cells_of(chosen.layer, [-dose for dose in DOSES])), chosen)


def run(lab: Lab) -> Study:
    """The whole experiment on one behavior."""
    recordings, base = lab.recordings, lab.base
    threshold = lab.thresholds.for_check("q5.coherence", base.name, lab.behavior.name)
    most_cost = threshold.at_most if threshold and threshold.at_most is not None else 0.05
    train = lab.pairs("train")
    found = sweep(lab, train, lab.pairs("dev"), most_cost, lab.behavior.name)
    pairs, cell, norm, vector = lab.pairs("test"), found.chosen, found.contrast.norm, found.vector
    before = recordings.forced_choice(base, pairs).metric(METRIC)

    def shifts(vectors: Sequence[Vector], dose: float = cell.dose, positions: Positions = "both") -> Floats:
        """[vectors, test pairs]"""
        added = [steering(each, cell.layer, dose, norm, positions) for each in vectors]
        return np.stack([choice.metric(METRIC) - before for choice in recordings.forced_choices(base, pairs, added)])

    lab.progress(f"q5 {lab.behavior.name}: chosen layer {cell.layer}, dose {cell.dose}; null of {2 * lab.sizes.nulls} vectors")
    rng = lab.rng("q5", "null")
    positive, negative = found.contrast.positive, found.contrast.negative
    nulls = {
        "random": shifts([random_direction(len(vector), rng) for _ in range(lab.sizes.nulls)]),
        "shuffled": shifts([shuffled_difference(positive, negative, rng) for _ in range(lab.sizes.nulls)]),
    }
    simple_pairs = corpora.sentiment().pairs
    simple = sweep(
        lab,
        [p for p in simple_pairs if p.split == "train"],
        [p for p in simple_pairs if p.split == "dev"],
        most_cost,
        "sentiment",
    )
    simple_test = tuple(p for p in simple_pairs if p.split == "test")
    simple_steering = steering(simple.vector, simple.chosen.layer, simple.chosen.dose, simple.contrast.norm)
    simple_before = recordings.forced_choice(base, simple_test).metric(METRIC)
    prompted = [replace(pair, messages=(Message("system", lab.behavior.description), *pair.messages)) for pair in pairs]
    tested = lab.candidate or lab.trained_arm().subject
    at_cell = simple.contrasts[cell.layer]
    vectors = {
        "first component": first_component(positive, negative),
        "logistic probe": logistic_probe(positive, negative),
        f"vector of {FEW} pairs": difference_of_means(positive[:FEW], negative[:FEW]),
        "length vector": _length_vector(lab, cell.layer),
        "sentiment vector": difference_of_means(at_cell.positive, at_cell.negative),
    }
    others = {
        **dict(zip(vectors, shifts(list(vectors.values())), strict=True)),
        "prefill only": shifts([vector], positions="prefill")[0],
        "decode only": shifts([vector], positions="decode")[0],
        "system prompt": recordings.forced_choice(base, prompted).metric(METRIC) - before,
        "candidate" if lab.candidate else "trained adapter": lab.shift(tested, pairs).metric(METRIC),
    }
    added = steering(vector, cell.layer, cell.dose, norm)
    documents = _prose(lab, 1)
    texts = [document.text for document in documents]
    wrong = tuple(corpora.directions_not_to_take())
    return Study(
        lab=lab,
        pairs=pairs,
        sweep=found,
        shift=shifts([vector])[0],
        reversed_shift=shifts([vector], -cell.dose)[0],
        nulls=nulls,
        others=others,
        cost=recordings.text_nll(base, texts, added) - recordings.text_nll(base, texts),
        cost_domains=np.array([document.domain for document in documents]),
        diluted_shift=recordings.forced_choice(base, pairs, added).above(recordings.forced_choice(base, pairs)).metric("per_token"),
        accepting=-recordings.forced_choice(base, wrong, added).above(recordings.forced_choice(base, wrong)).metric("per_token"),
        accepting_pairs=wrong,
        simple=simple,
        simple_shift=recordings.forced_choice(base, simple_test, simple_steering).metric(METRIC) - simple_before,
        simple_pairs=simple_test,
    )


def _length_vector(lab: Lab, layer: int) -> Vector:
    """Long against short neutral replies: what a vector that only knew about length would do."""
    ordered = sorted(lab.arms.neutral, key=lambda c: (len(c.text.split()), c.text))
    short, long = ordered[:FEW], ordered[-FEW:]
    recorded = lab.recordings.recorded(lab.base, [Completion(c.messages, c.text) for c in (*long, *short)], Sites(residual_layers=(layer,)))
    rows = np.stack([one.residual[layer] for one in recorded]).astype(np.float64)
    return difference_of_means(rows[: len(long)], rows[len(long) :])


def _or_reason(compute: Callable[[], Estimate]) -> tuple[Estimate | None, str | None]:
    """An estimate, or the reason why there is none."""
    try:
        return compute(), None
    except DegenerateSample as error:
        return None, str(error)


def measurements(study: Study) -> dict[str, Measurement]:
    """Everything Q5 hands to the gate, by id."""
    lab, pairs, chosen = study.lab, study.pairs, study.sweep.chosen
    domains = domains_of(pairs)
    every_null = np.concatenate(list(study.nulls.values()))
    rank = null_rank(float(study.shift.mean()), every_null.mean(axis=1))
    null = {
        "kind": "random and label-shuffled vectors of the same length at the same cell",
        "rank": rank.rank,
        "size": rank.size,
        "p": rank.p,
        "maximum": rank.maximum,
    }
    exhibits = (
        Exhibit("behavior against coherence", plots.behavior_against_coherence(study)),
        Exhibit("effect against its null", plots.effect_against_null(study)),
    )
    cell = f"layer {chosen.layer}, dose {chosen.dose:g}"
    id, alpha, rng = "q5.effect", lab.alpha("q5.effect"), lab.rng("q5.effect")
    estimate, reason = _or_reason(lambda: above_null(study.shift, every_null, domains, alpha, rng, level=lab.level))
    effect = lab.measurement(
        id,
        UNIT,
        estimate,
        pairs=pairs,
        values=study.shift,
        exhibits=exhibits,
        series=_series(study),
        null=null,
        answer=cell,
        reason=reason,
    )
    id, alpha, rng = "q5.coherence", lab.at(None).alpha("q5.coherence"), lab.rng("q5.coherence")  # documents do not grow from look to look
    estimate, reason = _or_reason(lambda: mean_interval(study.cost, study.cost_domains, alpha, rng))
    coherence = lab.measurement(id, "nats per token", estimate, reason=reason, answer=cell)
    estimate, reason = _or_reason(
        lambda: mean_interval(study.reversed_shift, domains, lab.alpha("q5.sign"), lab.rng("q5.sign"), level=lab.level)
    )
    sign = lab.measurement("q5.sign", UNIT, estimate, pairs=pairs, values=study.reversed_shift, reason=reason, answer=cell)
    estimate, reason = _or_reason(lambda: share_interval(study.shift < 0, domains, lab.alpha("q5.anti_steerable"), lab.level))
    anti = lab.measurement("q5.anti_steerable", "share of scenarios", estimate, reason=reason, answer=cell)
    estimate, reason = _or_reason(
        lambda: ratio_interval(
            study.accepting,
            study.diluted_shift,
            domains_of(study.accepting_pairs),
            lab.alpha("q5.overcompliance"),
            independent=True,
            denominator_clusters=domains,
            level=lab.level,
        )
    )
    over = lab.measurement(
        "q5.overcompliance",
        "share of the effect",
        estimate,
        pairs=study.accepting_pairs,
        values=study.accepting,
        reason=reason,
        answer=cell,
    )
    found = (effect, coherence, sign, anti, over, _parity(study), _viability(study, effect))
    return {measurement.id: measurement for measurement in found}


def _parity(study: Study) -> Measurement:
    """The chosen vector in this run's engine and in hf; a mistake in steering must show, or nothing is compared."""
    lab, id, unit = study.lab, "q5.engine_parity", "nats per token"
    engine, hf, chosen = lab.recordings.engine, lab.arms.engine, study.sweep.chosen
    if engine.name == hf.name:
        return lab.measurement(
            id, unit, reason="only one engine is used in this run: there is nothing to compare hf with", not_applicable=True
        )
    if (missing := hf.lacks_room(lab.base)) is not None:
        return lab.measurement(id, unit, reason=f"the engines were not compared: {missing}", not_applicable=True)
    added = steering(study.sweep.vector, chosen.layer, PARITY_DOSE, study.sweep.contrast.norm)
    completions = completions_of(study.pairs[:HANDFUL])
    found = steered_parity(engine, hf, lab.base, completions, added, len(lab.layer_kinds))
    threshold = lab.thresholds.for_check(id, lab.base.name, lab.behavior.name)
    allowed = threshold.at_most if threshold and threshold.at_most is not None else 0.0
    name, least = min(found.mistakes.items(), key=lambda mistake: mistake[1])
    reason = f"a vector {name} would differ by {least:.3g} only: agreement shows nothing here" if least <= allowed else None
    null = {"kind": "the gap to hf, had the engine made this mistake", **{f"vector {what}": gap for what, gap in found.mistakes.items()}}
    cell = f"layer {chosen.layer}, dose {PARITY_DOSE:g}"
    return lab.measurement(id, unit, Estimate.exact(found.gap, len(completions), lab.alpha(id)), answer=cell, reason=reason, null=null)


def _viability(study: Study, effect: Measurement) -> Measurement:
    """Complex as steerable as simple, weaker, or not at all: the ratio of standardized shifts, once the effect stands above its null."""
    lab = study.lab
    id, unit = "q5.viability", "ratio of standardized shifts"
    estimate, degenerate = _or_reason(
        lambda: standardized_ratio(
            study.shift,
            study.simple_shift,
            domains_of(study.pairs),
            domains_of(study.simple_pairs),
            lab.alpha(id),
            lab.rng(id),
            level=lab.level,
        )
    )
    contrast = study.sweep.contrast
    null = {
        "share of the prompt's effect": float(study.shift.mean() / study.others["system prompt"].mean()),
        "split-half cosine of the vector": split_half_cosine(contrast.positive, contrast.negative, lab.rng(id, "halves")),
    }
    for name, values in (("complex", study.shift), ("simple (sentiment)", study.simple_shift)):
        with contextlib.suppress(DegenerateSample):
            null[name] = standardized_shift(values)
    answer: str | None = None
    reason: str | None = None
    if effect.estimate is None or effect.estimate.low <= 0:
        reason = "the effect is not shown to stand above its null, so there is nothing to compare with a simple feature"
        if effect.estimate is not None and effect.estimate.high < 0:
            answer, reason = "not steerable", None
    elif estimate is None:
        reason = f"complex and simple shifts have no ratio: {degenerate}"
    elif estimate.low >= AS_STEERABLE:
        answer = "as steerable as a simple feature"
    elif estimate.high < AS_STEERABLE:
        answer = "weaker than a simple feature"
    else:
        reason = f"the interval of the ratio covers {AS_STEERABLE}"
    return lab.measurement(id, unit, estimate, answer=answer, reason=reason, null=null)


def _series(study: Study) -> list[dict[str, Any]]:
    cells = [
        {"cell": "dev", "layer": c.layer, "dose": c.dose, "estimate": c.shift, "cost": c.cost, "standing": c.standing}
        for c in study.sweep.cells
    ]
    nulls = [{"cell": f"null, {kind}", "estimate": float(row.mean())} for kind, rows in study.nulls.items() for row in rows]
    others = [{"cell": name, "estimate": float(values.mean())} for name, values in study.others.items()]
    simple = [{"cell": "sentiment, dev", "layer": c.layer, "dose": c.dose, "estimate": c.shift, "cost": c.cost} for c in study.simple.cells]
    return [*cells, *nulls, *others, *simple]
