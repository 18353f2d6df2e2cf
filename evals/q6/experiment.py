"""Q6's measurements: score base, the tested subject and sham on prose, code and questions; where harm is shown, find a mix that undoes it.

Tiers are strata, written once and not drawn from a population of tiers, so the tasks of a tier are resampled one by one; prose is
resampled by domain. Base and the others are sampled under the same seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import stats

from evals.baseline import Earlier, NotComparable, earlier, pinned_cycle, record_of
from evals.looks import row_of, verdict_of
from evals.q6 import plots
from evals.q6.ability import (
    SAMPLES,
    Task,
    floor_of,
    prompt_of,
    replies,
    share_solved,
    share_solved_unless_at_floor,
)
from evals.q6.general_mix import SHARES, mixed_arm
from fixtures import corpora, tasks
from harness.analysis.code_quality import mean_index
from harness.analysis.holm import holm_adjusted
from harness.analysis.intervals import mean_interval
from harness.analysis.sample import DegenerateSample
from harness.data.arrays import Floats, Names
from harness.data.measurement import Estimate, Exhibit, Measurement, Spread
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.experiment.profile import looks
from harness.readouts.bits_per_byte import bits_per_byte
from harness.readouts.forced_choice import PRIMARY
from harness.tasks.answers import code_in
from harness.tasks.lm_eval_results import PairedTask, task_names

Part = Literal["prose", "code", "reasoning", "lm-eval"]
State = Literal["no worse", "harmed", "open"]
PARTS: tuple[Part, ...] = ("prose", "code", "reasoning")
IDS: Mapping[Part, str] = {"prose": "q6.perplexity", "code": "q6.code", "reasoning": "q6.reasoning"}
UNITS: Mapping[Part, str] = {"prose": "bits per byte", "code": "share of tasks solved", "reasoning": "share of questions answered"}


@dataclass(frozen=True)
class Cell:
    """One domain of prose, one tier of tasks, or one task of lm-evaluation-harness."""

    part: Part
    name: str
    ids: tuple[str, ...]
    before: Floats  # [documents or tasks], bits per byte or share of samples solved, of base
    after: Floats | None  # the tested subject; None where the cell is left out
    sham: Floats | None
    higher_is_better: bool
    excluded: str | None = None

    @property
    def change(self) -> Floats:
        """Backward transfer: after − before in the cell's own unit."""
        assert self.after is not None
        return np.asarray(self.after - self.before)

    @property
    def gain(self) -> Floats:
        """The same, turned so that positive is better."""
        return np.asarray(self.change if self.higher_is_better else -self.change)

    @property
    def gain_over_sham(self) -> Floats | None:
        if self.after is None or self.sham is None:
            return None
        gap = self.after - self.sham
        return np.asarray(gap if self.higher_is_better else -gap)


@dataclass(frozen=True)
class Mixed:
    """The suite's own training with this share of general data, against base, in the gates that were not passed."""

    share: float
    estimates: Mapping[Part, Estimate | None]
    behavior_kept: float | None
    """Mean shift of the log-odds as a share of the trained arm's; None where that arm itself shows none."""


@dataclass(frozen=True)
class Study:
    lab: Lab
    tested: Subject
    cells: tuple[Cell, ...]
    """Empty where the tested subject is base itself."""
    estimates: Mapping[Part, Estimate | None]
    """Change of each part, in its own unit; None where there is none, see `reasons`."""
    reasons: Mapping[Part, str]
    since: Mapping[Part, Earlier]
    """The pinned cycle's values; without one, or where it did not measure a part, the comparison is with base."""
    looks: Mapping[Part, tuple[Mapping[str, Any], ...]]
    """Under `full`, what was seen at each number of samples until the gate was decided."""
    samples: Mapping[Part, int]
    """Samples of every task, at last."""
    quality: tuple[float, float] | None
    """Static quality index of the code of base and of the tested subject."""
    mixes: tuple[Mixed, ...]

    @property
    def identical(self) -> bool:
        return self.tested.digest == self.lab.base.digest

    def of(self, part: Part) -> list[Cell]:
        return [cell for cell in self.cells if cell.part == part]

    def margin(self, part: Part) -> float:
        """What the gate of a part lets pass, from thresholds.toml; nothing where it does not say."""
        return margin_of(self.lab, part)

    def state(self, part: Part) -> State | None:
        """None where the gate does not apply, or has no estimate."""
        estimate = self.estimates[part]
        return None if estimate is None else state(estimate, self.margin(part), part != "prose")

    def interval(self, cell: Cell) -> tuple[float, float] | None:
        """95 % interval of one cell's mean gain; None where all its tasks have the same."""
        try:
            estimate = mean_interval(cell.gain, None, 0.05, self.lab.rng("q6", cell.part, cell.name))
        except ValueError:
            return None
        return estimate.low, estimate.high


def margin_of(lab: Lab, part: Part) -> float:
    threshold = lab.thresholds.for_check(IDS[part], lab.base.name, lab.behavior.name)
    return threshold.margin if threshold is not None and threshold.margin is not None else 0.0


def tasks_of(part: Part) -> dict[str, tuple[Task, ...]]:
    """Tier to its tasks."""
    if part == "code":
        return {tier: tuple(t for t in tasks.code() if t.tier == tier) for tier in tasks.CODE_TIERS}
    return {tier: tuple(q for q in tasks.reasoning() if q.tier == tier) for tier in tasks.REASONING_TIERS}


def state(estimate: Estimate, allowed: float, higher_is_better: bool) -> State:
    """No worse: the 95 % interval clears the margin. Harmed: it does not, and lies entirely on the bad side. Open: neither."""
    low, high = (estimate.low, estimate.high) if higher_is_better else (-estimate.high, -estimate.low)
    if low > -allowed or (low == high == -allowed):
        return "no worse"
    return "harmed" if high < 0 else "open"


def run(lab: Lab, outside: Sequence[PairedTask] = ()) -> Study:
    """The whole experiment on one behavior; `outside` are further domains that another tool measured."""
    study = score(lab, outside)
    return replace(study, mixes=_mixes(study))


def score(lab: Lab, outside: Sequence[PairedTask] = ()) -> Study:
    """What the gates rest on, without the search for a mix."""
    tested = lab.candidate or lab.trained_arm().subject
    if tested.digest == lab.base.digest:
        sizes: dict[Part, int] = {"prose": len(corpora.prose()), "code": len(tasks.code()), "reasoning": len(tasks.reasoning())}
        nothing = {part: Estimate.exact(0.0, n, lab.alpha(IDS[part])) for part, n in sizes.items()}
        return Study(lab, tested, (), nothing, {}, {}, {}, {}, None, ())
    sham = lab.arms.stream("sham", lab.settings.seed, lab.doses)[lab.doses[-1]].subject
    scored = {part: _scored(lab, part, tested, sham) for part in PARTS}
    cells = (*(cell for one in scored.values() for cell in one.cells), *outside_cells(outside))
    return Study(
        lab,
        tested,
        cells,
        estimates={part: one.estimate for part, one in scored.items()},
        reasons={part: one.reason for part, one in scored.items() if one.reason},
        since={part: one.since for part, one in scored.items() if one.since is not None},
        looks={part: one.looks for part, one in scored.items()},
        samples={part: one.samples for part, one in scored.items()},
        quality=_quality(lab, tested, cells),
        mixes=(),
    )


@dataclass(frozen=True)
class _Scored:
    """One part, when its gate was decided or there was nothing more to draw."""

    cells: tuple[Cell, ...]
    samples: int
    since: Earlier | None
    estimate: Estimate | None
    reason: str | None
    looks: tuple[Mapping[str, Any], ...] = ()


def _scored(lab: Lab, part: Part, tested: Subject, sham: Subject) -> _Scored:
    name = lab.behavior.name
    if part == "prose":
        lab.progress(f"q6 {name}: prose, {len(corpora.prose())} documents")
        return _change(lab, part, _prose(lab, tested, sham), 1)
    fewest, most = SAMPLES["quick"], SAMPLES[lab.settings.profile]
    rows: list[Mapping[str, Any]] = []
    for look in looks(fewest, most):
        lab.progress(f"q6 {name}: {part}, {look.size} samples a task")
        cells = [_tier(lab, part, tier, group, tested, sham, look.size) for tier, group in tasks_of(part).items()]
        found = _change(lab.at(look), part, cells, look.size)
        at_floor = all(cell.after is None for cell in cells)
        measured = lab.measurement(IDS[part], UNITS[part], found.estimate, reason=found.reason, not_applicable=at_floor)
        said = verdict_of(lab, replace(measured, spread=_spread(lab, part, cells, found.since)))
        rows.append(row_of(look, measured, said, "samples"))
        if said != "inconclusive":
            break
    return replace(found, looks=tuple(rows) if fewest < most else ())


def _change(lab: Lab, part: Part, cells: Sequence[Cell], samples: int) -> _Scored:
    cycle, since = pinned_cycle(lab), None
    try:
        if cycle is not None and any(cell.after is not None for cell in cells) and record_of(lab, cycle, IDS[part]) is not None:
            since = earlier(lab, cycle, IDS[part], [id for cell in cells if cell.after is not None for id in cell.ids])
        estimate, reason = change_of(lab, cells, since)
    except NotComparable as difference:
        estimate, reason = None, str(difference)
    return _Scored(tuple(cells), samples, since, estimate, reason)


def _spread(lab: Lab, part: Part, cells: Sequence[Cell], since: Earlier | None) -> Spread | None:
    """How much trainings alike would differ, where an earlier cycle is compared with."""
    kept = [cell for cell in cells if cell.after is not None]
    if since is None or not kept:
        return None
    return lab.seed_spread(IDS[part], np.concatenate([cell.change for cell in kept]) - since.of([id for cell in kept for id in cell.ids]))


def _prose(lab: Lab, tested: Subject, sham: Subject) -> list[Cell]:
    documents = corpora.prose()
    texts = [document.text for document in documents]
    before, after, of_sham = (bits_per_byte(lab.recordings, subject, texts) for subject in (lab.base, tested, sham))
    cells = []
    for domain in dict.fromkeys(document.domain for document in documents):
        rows = [i for i, document in enumerate(documents) if document.domain == domain]
        ids = tuple(documents[i].id for i in rows)
        cells.append(Cell("prose", domain, ids, before[rows], after[rows], of_sham[rows], higher_is_better=False))
    return cells


def _tier(lab: Lab, part: Part, tier: str, group: Sequence[Task], tested: Subject, sham: Subject, samples: int) -> Cell:
    margin = margin_of(lab, part)
    before, low = share_solved_unless_at_floor(lab, lab.base, group, margin, samples)
    ids = tuple(task.id for task in group)
    if low:
        reason = f"base solves {before.mean():.0%}, below {floor_of(group, margin):.0%}: it cannot show harm"
        return Cell(part, tier, ids, before, None, None, True, reason)
    after, of_sham = (share_solved(lab, subject, group, samples) for subject in (tested, sham))
    return Cell(part, tier, ids, before, after, of_sham, True)


def outside_cells(outside: Sequence[PairedTask]) -> list[Cell]:
    """Domains measured by lm-evaluation-harness: shown beside, in no gate."""
    return [
        Cell("lm-eval", name, tuple(f"{one.task}-{i}" for i in range(len(one.before))), one.before, one.after, None, one.higher_is_better)
        for name, one in zip(task_names(outside), outside, strict=True)
    ]


def change_of(lab: Lab, cells: Sequence[Cell], since: Earlier | None = None) -> tuple[Estimate | None, str | None]:
    """Mean change over all tasks of the cells that are not left out, from base or since an earlier cycle, or why there is none."""
    kept = [cell for cell in cells if cell.after is not None]
    if not kept:
        shares = ", ".join(f"{cell.name} {cell.before.mean():.0%}" for cell in cells)
        return None, f"base is at floor in every tier ({shares} solved), and cannot get worse"
    (part,) = {cell.part for cell in cells}
    id, values = IDS[part], np.concatenate([cell.change for cell in kept])
    same = since is not None and lab.candidate is not None and lab.candidate.digest == since.subject
    if since is not None:
        values = values - since.of([id for cell in kept for id in cell.ids])
    domains = np.concatenate([[cell.name] * len(cell.ids) for cell in kept])
    return mean_change(part, values, domains, same, lab.alpha(id), lab.rng(id), lab.level)


def mean_change(
    part: Part,
    values: Floats,
    cells: Names,
    same_subject: bool,
    alpha: float,
    rng: np.random.Generator,
    level: float = 0.05,
) -> tuple[Estimate | None, str | None]:
    """Mean of `values` [documents or tasks], each in a cell, or why there is none. Prose is resampled by cell, tasks one by one."""
    if not np.isfinite(values).all():
        return None, f"{int((~np.isfinite(values)).sum())} of {len(values)} values are not finite"
    if same_subject and not values.any():
        return Estimate.exact(0.0, len(values), alpha), None
    try:
        return mean_interval(values, cells if part == "prose" else None, alpha, rng, level=level), None
    except DegenerateSample as error:
        return None, str(error)


def _quality(lab: Lab, tested: Subject, cells: Sequence[Cell]) -> tuple[float, float] | None:
    """Over the tiers that are not left out, first sample of each task."""
    tiers = [cell.name for cell in cells if cell.part == "code" and cell.after is not None]
    groups = [tasks_of("code")[tier] for tier in tiers]
    if not groups:
        return None
    before, after = (
        mean_index([code_in(text) for group in groups for text in replies(lab, one, group, 1)[0]]) for one in (lab.base, tested)
    )
    return before, after


def _mixes(study: Study) -> tuple[Mixed, ...]:
    """Growing shares of general data until every gate that was not passed is; only where harm was shown, or under `full`."""
    lab = study.lab
    failing = [part for part in PARTS if study.state(part) in ("harmed", "open")]
    harmed = [part for part in failing if study.state(part) == "harmed"]
    if not failing or (not harmed and lab.settings.profile != "full"):
        return ()
    trained = lab.trained_arm().subject
    pairs = lab.pairs("test")
    whole = float(lab.shift(trained, pairs).metric(PRIMARY).mean())
    mixes: list[Mixed] = []
    for share in (0.0, *SHARES) if lab.candidate else SHARES:  # a candidate's own training cannot be repeated: the suite's is
        lab.progress(f"q6 {lab.behavior.name}: training with {share:.0%} general data")
        subject = mixed_arm(lab, share) if share else trained
        estimates = {part: change_of(lab, _again(study, part, subject))[0] for part in failing}
        kept = float(lab.shift(subject, pairs).metric(PRIMARY).mean()) / whole if whole > 0 else None
        mixes.append(Mixed(share, estimates, kept))
        if restored(mixes[-1], {part: study.margin(part) for part in failing}):
            break
    return tuple(mixes)


def _again(study: Study, part: Part, subject: Subject) -> list[Cell]:
    """The cells of a part with another subject as `after`."""
    if part == "prose":
        after = bits_per_byte(study.lab.recordings, subject, [document.text for document in corpora.prose()])
        by_id = {document.id: value for document, value in zip(corpora.prose(), after, strict=True)}
        return [replace(cell, after=np.array([by_id[id] for id in cell.ids])) for cell in study.of(part)]
    groups = tasks_of(part)
    return [
        cell if cell.after is None else replace(cell, after=share_solved(study.lab, subject, groups[cell.name], study.samples[part]))
        for cell in study.of(part)
    ]


def restored(mixed: Mixed, margins: Mapping[Part, float]) -> bool:
    """Whether every gate in question is passed."""
    return all(one is not None and state(one, margins[part], part != "prose") == "no worse" for part, one in mixed.estimates.items())


def measurements(study: Study) -> dict[str, Measurement]:
    """Everything Q6 hands to the gate, by id."""
    found = [*(_gate(study, part) for part in PARTS), _positive_transfer(study), _general_mix(study)]
    return {measurement.id: measurement for measurement in found}


def _gate(study: Study, part: Part) -> Measurement:
    lab, id, estimate = study.lab, IDS[part], study.estimates[part]
    if study.identical:
        return lab.measurement(id, UNITS[part], estimate, answer="no change: the candidate is base", null={"kind": "base"})
    cells = study.of(part)
    left_out = {cell.name: cell.excluded for cell in cells if cell.excluded}
    before = f"cycle {study.since[part].cycle}" if part in study.since else "base"
    null: dict[str, Any] = {"kind": f"{before}, the same documents" if part == "prose" else f"{before}, the same tasks and seeds"}
    if part != "prose":
        null |= {"samples a task": study.samples[part], "left out": left_out}
    series = [*(_row(study, cell) for cell in cells), *study.looks.get(part, ())]
    if part in study.since:
        ids = [id for cell in cells if cell.after is not None for id in cell.ids]
        series.append({"cell": f"{part}: {before}", "estimate": float(study.since[part].of(ids).mean())})
    if part == "code" and study.quality is not None:
        old, new = study.quality
        series.append({"cell": "code: static quality index", "before": old, "after": new, "estimate": new - old})
    exhibits = [Exhibit("general ability by domain and tier", plots.forest(study))]
    if part != "prose":
        exhibits.append(Exhibit(f"{part}: tasks that moved most", _transcripts(study, part)))
    measured = lab.measurement(
        id,
        UNITS[part],
        estimate,
        series=series,
        null=null,
        exhibits=exhibits,
        reason=study.reasons.get(part),
        not_applicable=all(cell.after is None for cell in cells),
    )
    kept = [cell for cell in cells if cell.after is not None]
    measured = replace(measured, spread=_spread(lab, part, cells, study.since.get(part)))
    changes = {id: float(v) for cell in kept for id, v in zip(cell.ids, cell.change, strict=True) if np.isfinite(v)}
    tiers = {id: cell.name for cell in kept for id in cell.ids if id in changes}
    return replace(measured, per_scenario=changes, clusters=tiers)


def _row(study: Study, cell: Cell) -> dict[str, Any]:
    row: dict[str, Any] = {"cell": f"{cell.part}: {cell.name}", "n": len(cell.ids), "before": _finite(cell.before.mean())}
    if cell.after is None:
        return {**row, "left out": cell.excluded}
    interval = study.interval(cell)
    row |= {"after": _finite(cell.after.mean()), "estimate": _finite(cell.change.mean())}
    if interval is not None:
        low, high = interval if cell.higher_is_better else (-interval[1], -interval[0])
        row |= {"low": low, "high": high}
    if cell.sham is not None:
        row["sham"] = _finite(cell.sham.mean())
    return row


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


@dataclass(frozen=True)
class Gain:
    """One cell's gain over sham, and how likely one as large is without any."""

    cell: str
    mean: float
    p: float
    """One-sided t test over documents or tasks."""
    adjusted: float
    """By Holm, over all cells tested."""


def gains_over_sham(cells: Sequence[Cell]) -> list[Gain]:
    """Every cell that has a sham and varies, in order."""
    tested = [(f"{cell.part}: {cell.name}", gap) for cell in cells if (gap := cell.gain_over_sham) is not None and np.ptp(gap) > 0]
    if not tested:
        return []
    p_values = [float(stats.ttest_1samp(gap, 0, alternative="greater").pvalue) for _, gap in tested]
    return [Gain(name, float(gap.mean()), p, float(a)) for (name, gap), p, a in zip(tested, p_values, holm_adjusted(p_values), strict=True)]


def _positive_transfer(study: Study) -> Measurement:
    lab, id, unit = study.lab, "q6.positive_transfer", "gain over sham"
    if study.identical:
        return lab.measurement(id, unit, reason="the candidate is base: there is nothing that could have transferred", not_applicable=True)
    gains = gains_over_sham(study.cells)
    shown = [gain for gain in gains if gain.adjusted <= 0.025]
    series = [{"cell": gain.cell, "estimate": gain.mean, "p": gain.p, "p_adjusted": gain.adjusted} for gain in gains]
    series += [_row(study, cell) for cell in study.of("lm-eval")]
    null = {"kind": "sham: neutral conversations, same number, steps, rate and lengths, LoRA of the suite's shape", "family": len(gains)}
    answer = "gains in " + ", ".join(gain.cell for gain in shown) if shown else None
    reason = None
    if not shown:
        best = min(gains, key=lambda gain: gain.p, default=None)
        nearest = f"; nearest is {best.cell}, {best.mean:+.3g}, adjusted p {best.adjusted:.2g}" if best else ""
        reason = f"no gain over sham is shown in any of {len(gains)} domains and tiers (Holm){nearest}"
    return lab.measurement(id, unit, answer=answer, reason=reason, series=series, null=null)


def _general_mix(study: Study) -> Measurement:
    lab, id, unit = study.lab, "q6.general_mix", "share of general data"
    null = {"kind": "base", "training": "the suite's own" if lab.candidate else "the trained arm's", "shares": list(SHARES)}
    states = {part: study.state(part) for part in PARTS}
    open_gates = [IDS[part] for part in PARTS if states[part] == "open" or (states[part] is None and not _at_floor(study, part))]
    failing = {part: study.margin(part) for part in PARTS if states[part] in ("harmed", "open")}
    series = [
        {
            "cell": IDS[part],
            "share": mixed.share,
            "behavior kept": mixed.behavior_kept,
            **({} if one is None else {"estimate": one.value, "low": one.low, "high": one.high}),
        }
        for mixed in study.mixes
        for part, one in mixed.estimates.items()
    ]
    answer = reason = None
    if study.mixes and restored(study.mixes[-1], failing):
        last = study.mixes[-1]
        kept = "" if last.behavior_kept is None else f" ({last.behavior_kept:.0%} of the behavior's shift kept)"
        answer = f"{last.share:.0%}{kept}" if last.share else "none: the suite's own training does no harm"
    elif study.mixes:
        reason = f"up to {study.mixes[-1].share:.0%} none is shown to restore {', '.join(IDS[part] for part in failing)}"
    elif open_gates:
        reason = f"no harm is shown, nor that there is none: {', '.join(open_gates)} inconclusive"
    elif all(each is None for each in states.values()):
        reason = "no gate applies"
    else:
        answer = "not needed: no harm shown"
    return lab.measurement(id, unit, answer=answer, reason=reason, series=series, null=null)


def _at_floor(study: Study, part: Part) -> bool:
    return all(cell.after is None for cell in study.of(part))


def _transcripts(study: Study, part: Part) -> Path:
    """First replies before and after, of the tasks whose share changed most."""
    lab = study.lab
    path = lab.exhibits / f"q6-{part}-{lab.behavior.name}.txt"
    groups = tasks_of(part)
    moved = [(abs(v), i, cell) for cell in study.of(part) if cell.after is not None for i, v in enumerate(cell.change)]
    blocks = []
    for _, i, cell in sorted(moved, key=lambda one: -one[0])[:8]:
        group = groups[cell.name]
        said = [replies(lab, subject, group, 1)[0][i] for subject in (lab.base, study.tested)]
        assert cell.after is not None
        head = f"{cell.ids[i]}: {cell.before[i]:.0%} of the samples right before, {cell.after[i]:.0%} after; the first of each"
        blocks.append(f"{head}\nuser: {prompt_of(group[i])[-1].content}\n[base] {said[0]}\n[after] {said[1]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(blocks) or "every tier was left out", encoding="utf-8")
    return path
