"""Q7's measurements: geometry of the states by arm, and the exchange of states at the end of the user's turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evals.q7 import plots
from fixtures import corpora
from harness.analysis.replicates import replicated_interval
from harness.analysis.sample import DegenerateSample
from harness.analysis.separation import separation, separation_gain
from harness.arms.ladder import Rung, in_shape_of, ladders, sham_sized, unmatched
from harness.data.arm import ArmKind
from harness.data.arrays import Flags, Floats, Names
from harness.data.behavior import Pair
from harness.data.measurement import Estimate, Exhibit, Measurement
from harness.data.subject import Subject
from harness.experiment.lab import Lab
from harness.experiment.profile import across_domains, domains_of
from harness.readouts.forced_choice import PRIMARY, UNIT
from harness.readouts.state_geometry import POSITIONS, Conversation, Geometry, StateSpace

IDS = ("q7.separation", "q7.state_swap", "q7.disposition")
ADAPTERS = 5
"""Trainings of each kind under the quick profile; the seeds of the profile where they are more."""
RANKED = 19
"""Sham trainings that a given candidate is ranked among under the full profile: the first of 20 places has probability .05."""
COMPARED: tuple[ArmKind, ...] = ("trained", "opposite")
DIRECTIONS = 40
SIZED_ON = 20
"""Conversations on which the size of a change is read."""
UNIT_OF_SEPARATION = "cosine"
SMALLEST_SEPARATION = 0.02
"""A gain shown to lie below this is called none. A judgment, not a measurement: two per cent of a cosine."""
UNCHANGED = 0.01
"""A relative change of the states below this is called none."""


@dataclass(frozen=True)
class Conversations:
    """Directions first, then reports of the same doings, then small talk; matched in turns, and as far as may be in length."""

    texts: tuple[Conversation, ...]
    kinds: tuple[str, ...]
    """"direction", "report" or "general"."""
    clusters: Names
    """A direction and the report about it share their domain."""

    @property
    def inside(self) -> Flags:
        return np.array([kind == "direction" for kind in self.kinds])

    def against(self, kind: str) -> Flags:
        """Which conversations take part where directions are compared with one kind alone."""
        return np.array([k in ("direction", kind) for k in self.kinds])


@dataclass(frozen=True)
class Study:
    lab: Lab
    conversations: Conversations
    layers: tuple[int, ...]
    geometries: Mapping[str, Sequence[Geometry]]
    """base, trained, sham, opposite: one a seed (base: one)."""
    changes: Mapping[str, Sequence[float]]
    """Relative change of the states against base."""
    rungs: Sequence[Rung]
    pairs: tuple[Pair, ...]
    swaps: Mapping[str, Floats]
    """What base's states take away, [seeds, pairs]: log-odds of the subject minus those with base's states."""
    given: Mapping[str, Floats]
    """What the subject's states bring to base, [seeds, pairs]."""
    shape: str


def not_applicable(lab: Lab) -> dict[str, Measurement]:
    reason = f"{lab.base.name} has no Gated DeltaNet layers, so no recurrent state"
    return {id: lab.measurement(id, "", reason=reason, not_applicable=True) for id in IDS}


def no_change(lab: Lab) -> dict[str, Measurement]:
    """Of a candidate that is base itself."""
    same = "the candidate is base itself, so its states are base's"
    answers = dict.fromkeys(IDS[:2], "no change") | {IDS[2]: "unchanged"}
    return {id: lab.measurement(id, "", answer=answer, reason=same) for id, answer in answers.items()}


def gather(lab: Lab, size: int = DIRECTIONS) -> Conversations:
    """The three groups; reports about the very pairs where the corpus has them. Raises ValueError without enough of them."""
    pairs = across_domains(lab.behavior.split("test"), size)
    reports = {report.about: report for report in corpora.reports()}
    about = [reports[pair.id] for pair in pairs if pair.id in reports]
    told = about if len(about) == len(pairs) else list(corpora.reports())[: len(pairs)]
    talk = _alike([pair.messages for pair in pairs], [one.messages for one in corpora.general()])
    texts = (*(pair.messages for pair in pairs), *(report.messages for report in told), *talk)
    kinds = ("direction",) * len(pairs) + ("report",) * len(told) + ("general",) * len(talk)
    clusters = [pair.domain for pair in pairs] + [report.topic for report in told] + [f"general {i}" for i in range(len(talk))]
    return Conversations(texts, kinds, np.array(clusters))


def _alike(wanted: Sequence[Conversation], pool: Sequence[Conversation]) -> list[Conversation]:
    """For each conversation in turn the unused one nearest in turns, then in length."""
    free, chosen = list(pool), []
    for one in wanted[: len(pool)]:

        def distance(other: Conversation, one: Conversation = one) -> tuple[int, int]:
            length = abs(sum(len(m.content) for m in other) - sum(len(m.content) for m in one))
            return abs(len(other) - len(one)), length

        best = min(free, key=distance)
        free.remove(best)
        chosen.append(best)
    return chosen


def run(lab: Lab) -> Study:
    """Record every arm's states and exchange them; everything is kept in the store."""
    conversations = gather(lab)
    layers = tuple(i for i, kind in enumerate(lab.layer_kinds) if kind == "linear_attention")
    neutral = tuple(one.messages for one in corpora.neutral()[:DIRECTIONS])
    space = StateSpace(lab.recordings, lab.base, neutral, layers)
    adapters = RANKED if lab.candidate and lab.settings.profile == "full" else max(ADAPTERS, lab.sizes.seeds)
    seeds = range(lab.settings.seed, lab.settings.seed + adapters)
    maker, shape = in_shape_of(lab.arms, lab.candidate)
    subjects: dict[str, list[Subject]] = {"base": [lab.base]}
    if lab.candidate is not None:
        subjects["trained"] = [lab.candidate]
    else:
        for seed in seeds:
            lab.progress(f"q7 {lab.behavior.name}: training, seed {seed}")
            for kind in COMPARED:
                subjects.setdefault(kind, []).append(maker.stream(kind, seed, lab.doses)[lab.doses[-1]].subject)
    lab.progress(f"q7 {lab.behavior.name}: the sham ladder, {len(seeds)} seeds")
    ladder = ladders(maker, tuple(seeds))
    sized_on = conversations.texts[:SIZED_ON]
    changes = {kind: [space.change(subject, sized_on) for subject in group] for kind, group in subjects.items() if kind != "base"}
    rungs = [
        sham_sized(ladder[seed], changes["trained"][min(i, len(changes["trained"]) - 1)], lambda one: space.change(one, sized_on))
        for i, seed in enumerate(seeds)
    ]
    subjects["sham"] = [rung.arm.subject for rung in rungs]
    changes["sham"] = [rung.size for rung in rungs]
    lab.progress(f"q7 {lab.behavior.name}: states of {sum(map(len, subjects.values()))} models in {len(conversations.texts)} conversations")
    geometries = {kind: [space.geometry(subject, conversations.texts) for subject in group] for kind, group in subjects.items()}
    pairs = across_domains(lab.pairs("test"), DIRECTIONS)
    lab.progress(f"q7 {lab.behavior.name}: exchanging states")

    def choice(subject: Any, donor: Any = None) -> Floats:
        scored = lab.recordings.forced_choice(subject, pairs) if donor is None else lab.recordings.patched_states(subject, donor, pairs)
        return scored.metric(PRIMARY)

    swaps = {k: np.stack([choice(s) - choice(s, lab.base) for s in subjects[k]]) for k in ("trained", "sham")}
    given = {k: np.stack([choice(lab.base, s) - choice(lab.base) for s in subjects[k]]) for k in ("trained", "sham")}
    return Study(lab, conversations, layers, geometries, changes, rungs, pairs, swaps, given, shape)


def cosines_of(study: Study, kind: str, position: int = 0) -> Floats:
    """Centered cosines averaged over heads and layers, [seeds, n, n]."""
    return np.stack([geometry.cosines[position].mean(axis=0) for geometry in study.geometries[kind]])


def measurements(study: Study) -> dict[str, Measurement]:
    """Everything Q7 hands to the gate, by id."""
    apart, swap = _separation(study), _state_swap(study)
    found = (apart, swap, _disposition(study, apart, swap))
    return {measurement.id: measurement for measurement in found}


def _in_words(estimate: Estimate | None, above: str, below: str, none: str | None = None, smallest: float = 0.0) -> str | None:
    if estimate is None:
        return None
    if estimate.low > 0:
        return above
    if estimate.high < 0:
        return below
    return none if none is not None and estimate.high < smallest else None


def _separation(study: Study) -> Measurement:
    lab, id = study.lab, "q7.separation"
    estimate, answer, reason = None, None, unmatched(study.rungs)
    if reason is None and lab.candidate is not None:
        answer, reason = _rank_among_sham(study)
    elif reason is None:
        try:
            estimate = separation_gain(
                cosines_of(study, "trained"),
                cosines_of(study, "sham"),
                study.conversations.inside,
                study.conversations.clusters,
                lab.alpha(id),
                lab.rng(id),
            )
        except DegenerateSample as error:
            reason = error.reason
    if estimate is not None:
        above, below, none = (f"{words} than after sham" for words in ("further apart", "closer together", "no further apart"))
        answer = _in_words(estimate, above, below, none, SMALLEST_SEPARATION)
        if answer is None:
            answer, reason = "inconclusive", f"the interval holds 0 and {SMALLEST_SEPARATION} both"
    null = {
        "kind": f"sham trainings that change the states as much ({study.shape})",
        "change of the states": {kind: [round(c, 4) for c in changes] for kind, changes in study.changes.items()},
        "separation": {kind: _mean_separation(study, kind) for kind in study.geometries},
    }
    exhibits = (Exhibit("separation by layer", plots.separation_by_layer(study)), Exhibit("confounds", plots.confounds(study)))
    return lab.measurement(
        id, UNIT_OF_SEPARATION, estimate, answer=answer, reason=reason, null=null, series=_series(study), exhibits=exhibits
    )


def _rank_among_sham(study: Study) -> tuple[str | None, str]:
    """One given candidate has no replicate, so it is ranked; too few sham trainings only describe."""
    inside = study.conversations.inside
    (own,) = separation(cosines_of(study, "trained"), inside)
    shams = separation(cosines_of(study, "sham"), inside)
    rank = 1 + int((shams >= own).sum())
    words = f"separation {own:.3f}, rank {rank} among {len(shams)} sham trainings of the same size"
    if len(shams) < RANKED:
        return None, f"descriptive: {words}; --profile full ranks among {RANKED}"
    places = {1: "further apart than after any sham", len(shams) + 1: "closer together than after any sham"}
    return places.get(rank, "within the range of sham"), words


def _mean_separation(study: Study, kind: str) -> float:
    return float(separation(cosines_of(study, kind), study.conversations.inside).mean())


def _state_swap(study: Study) -> Measurement:
    lab, id = study.lab, "q7.state_swap"
    lost = study.swaps["trained"] - study.swaps["sham"]
    estimate, reason = None, unmatched(study.rungs)
    if reason is None:
        try:
            estimate = replicated_interval(lost, domains_of(study.pairs), lab.alpha(id), lab.rng(id))
        except DegenerateSample as error:
            reason = error.reason
    answer = _in_words(estimate, "the state carries a part", "base's state raises the behavior")
    if estimate is not None and answer is None:
        answer, reason = "inconclusive", "the interval holds 0"
    null = {
        "kind": "the same exchange in sham trainings that change the states as much",
        "taken away by base's states": {kind: float(values.mean()) for kind, values in study.swaps.items()},
        "brought to base": {kind: float(values.mean()) for kind, values in study.given.items()},
    }
    exhibits = (Exhibit("exchange of states", plots.exchange(study)),)
    return lab.measurement(
        id, UNIT, estimate, answer=answer, reason=reason, null=null, pairs=study.pairs, values=lost.mean(axis=0), exhibits=exhibits
    )


def _disposition(study: Study, apart: Measurement, swap: Measurement) -> Measurement:
    """Direction-shaped needs both; geometry alone is descriptive; neither, with states that moved, is its own answer."""
    lab, id = study.lab, "q7.disposition"
    answer, reason = None, None
    moved = float(np.mean(study.changes["trained"]))
    if moved < UNCHANGED:
        answer = "unchanged"
    elif apart.estimate is None or swap.estimate is None:
        reason = apart.reason or swap.reason
    elif apart.estimate.low > 0 and swap.estimate.low > 0:
        answer = "direction-shaped"
    elif apart.estimate.low > 0 and swap.estimate.high < 0:
        answer = "descriptive (geometry only)"
    elif apart.estimate.high < SMALLEST_SEPARATION:
        answer = "moved but not direction-shaped"
    else:
        reason = f"separation: {apart.answer}; exchange: {swap.answer}"
    null = {"relative change of the states": moved}
    return lab.measurement(id, "", answer=answer, reason=reason, null=null)


def _series(study: Study) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    conversations = study.conversations
    for kind, geometries in study.geometries.items():
        for position, name in enumerate(POSITIONS):
            for other in ("report", "general"):
                part = conversations.against(other)
                cosines = cosines_of(study, kind, position)[:, part][:, :, part]
                by_seed = separation(cosines, conversations.inside[part])
                rows.append({"cell": f"{kind}, against {other}s, {name}", "estimate": float(by_seed.mean()), "seeds": by_seed.tolist()})
        raw = np.stack([geometry.raw[0].mean(axis=0) for geometry in geometries])
        rows.append({"cell": f"{kind}, not centered", "estimate": float(separation(raw, conversations.inside).mean())})
        for i, layer in enumerate(study.layers):
            by_seed = separation(np.stack([geometry.cosines[0, i] for geometry in geometries]), conversations.inside)
            half_life = float(np.median([geometry.half_life[i] for geometry in geometries]))
            beta = float(np.mean([geometry.beta[i] for geometry in geometries]))
            rows.append({"cell": kind, "layer": layer, "estimate": float(by_seed.mean()), "half_life": half_life, "beta": beta})
    return rows
