"""Q7's measurements, one function a check: the geometry of the states, state patching, and what both say together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from evals.q7 import exhibits
from evals.q7.design import DISPOSITION, LEARNED, OWN, RANKED, SEPARATION, STATE_SWAP, UNCHANGED
from evals.q7.study import Study
from harness.analysis.estimated import Answer, Estimated
from harness.analysis.replicates import replicated_interval
from harness.analysis.separation import separation, separation_gain
from harness.analysis.smallest import Sized, sized
from harness.arms.ladder import unmatched
from harness.data.arrays import Floats
from harness.data.measurement import Estimate, Measurement
from harness.experiment.lab import Lab
from harness.readouts.forced_choice import UNIT
from harness.readouts.state_geometry import POSITIONS


def apart(study: Study) -> Measurement:
    """How far directions stand apart from the other conversations, trained minus sham; a candidate is ranked among the shams."""
    gain, groups = _gain(study), study.groups
    null = {
        "kind": f"sham trainings that change the states as much ({study.shape})",
        "change of the states": {kind: [round(c, 4) for c in group.changes] for kind, group in groups.items() if kind != "base"},
        "separation": {kind: float(separation(group.cosines(), study.conversations.inside).mean()) for kind, group in groups.items()},
    }
    return study.lab.measurement(
        SEPARATION,
        "cosine",
        gain.effect,
        answer=_rank_among_sham(study) or gain_in_words(gain),
        null=null,
        series=_series(study),
        exhibits=(exhibits.separation_by_layer(study), exhibits.confounds(study)),
    )


def _gain(study: Study) -> Sized:
    """Separation after training minus after sham, against a share of base's own; none for a given candidate, which nothing replicates."""
    lab, talk = study.lab, study.conversations
    if (reason := unmatched(study.rungs)) is not None:
        return Sized(Estimated(None, reason))
    if (ranked := _rank_among_sham(study)) is not None:
        return Sized(Estimated(None, ranked.reason))
    trained, sham, own = study.trained.cosines(), study.sham.cosines(), study.base.cosines()

    def interval(share: float) -> Estimate:
        return separation_gain(trained + share * own, sham, talk.inside, talk.clusters, lab.alpha(SEPARATION), lab.rng(SEPARATION))

    return sized(interval, lab.smallest(SEPARATION))


def gain_in_words(gain: Sized) -> Answer:
    """`gain` in separation, cosine."""
    return gain.answer("further apart than after sham", "closer together than after sham", OWN)


def _rank_among_sham(study: Study) -> Answer | None:
    """Where a candidate's separation stands among the shams'; too few shams only describe. None without a candidate or a matched sham."""
    if study.lab.candidate is None or unmatched(study.rungs) is not None:
        return None
    inside = study.conversations.inside
    (own,) = separation(study.trained.cosines(), inside)
    shams = separation(study.sham.cosines(), inside)
    rank = 1 + int((shams >= own).sum())
    words = f"separation {own:.3f}, rank {rank} among {len(shams)} sham trainings of the same size"
    if len(shams) < RANKED:
        return Answer(None, f"descriptive: {words}; --profile full ranks among {RANKED}")
    places = {1: "further apart than after any sham", len(shams) + 1: "closer together than after any sham"}
    return Answer(places.get(rank, "within the range of sham"), words)


def state_swap(study: Study) -> Measurement:
    """Log-odds that trained models lose with base's states patched in at the end of the user's turn, minus what the shams lose."""
    loss, groups = _loss(study), {"trained": study.trained, "sham": study.sham}
    null = {
        "kind": "the same state patching in sham trainings that change the states as much",
        "taken away by base's states": {kind: float(group.taken.mean()) for kind, group in groups.items()},
        "brought to base": {kind: float(group.brought.mean()) for kind, group in groups.items()},
    }
    return study.lab.measurement(
        STATE_SWAP,
        UNIT,
        loss.effect,
        answer=loss_in_words(loss),
        null=null,
        pairs=study.pairs,
        values=_lost(study).mean(axis=0),
        exhibits=(exhibits.patching(study),),
    )


def _lost(study: Study) -> Floats:
    """[seeds, pairs]; one candidate is held against the sham of every seed."""
    return study.trained.taken - study.sham.taken


def _loss(study: Study) -> Sized:
    """What base's states take, against a share of what training moves the log-odds beyond sham."""
    lab = study.lab
    if (reason := unmatched(study.rungs)) is not None:
        return Sized(Estimated(None, reason))
    lost, moved = _lost(study), study.trained.odds - study.sham.odds

    def interval(share: float) -> Estimate:
        return replicated_interval(lost + share * moved, study.domains, lab.alpha(STATE_SWAP), lab.rng(STATE_SWAP))

    return sized(interval, lab.smallest(STATE_SWAP))


def loss_in_words(loss: Sized) -> Answer:
    """`loss` in nats per token of the decision."""
    return loss.answer("the state carries a part", "base's state raises the behavior", LEARNED)


def disposition(study: Study) -> Measurement:
    """What separation and state patching say together."""
    changes = study.trained.changes
    answer = Answer("unchanged") if max(changes) < UNCHANGED else direction_shaped(_gain(study), _loss(study))
    return study.lab.measurement(DISPOSITION, "", answer=answer, null={"relative change of the states": float(np.mean(changes))})


def direction_shaped(gain: Sized, loss: Sized) -> Answer:
    """What a `gain` in separation and a `loss` under state patching say of states that moved.

    "direction-shaped" needs both above 0 and worth talking of; a gain alone is descriptive; no gain, with states that moved, is its own
    answer.
    """
    if gain.effect.value is None or loss.effect.value is None:
        return Answer(None, gain.effect.reason or loss.effect.reason)
    if gain.size in ("less", "below"):
        return Answer("moved but not direction-shaped")
    if gain.size == "above" and loss.size is not None:
        return Answer("direction-shaped" if loss.size == "above" else "descriptive (geometry only)")
    found = {"separation": gain_in_words(gain), "state patching": loss_in_words(loss)}
    return Answer(None, "; ".join(f"{name}: {said.words or said.reason}" for name, said in found.items()))


def _series(study: Study) -> list[dict[str, Any]]:
    """Separation by kind of training, against each other kind of conversation, at both positions, not centered, and by layer."""
    rows: list[dict[str, Any]] = []
    conversations = study.conversations
    for kind, group in study.groups.items():
        for position, name in enumerate(POSITIONS):
            for other in ("report", "general"):
                part = conversations.against(other)
                by_seed = separation(group.cosines(position)[:, part][:, :, part], conversations.inside[part])
                rows.append({"cell": f"{kind}, against {other}s, {name}", "estimate": float(by_seed.mean()), "seeds": by_seed.tolist()})
        geometries = group.geometries
        raw = np.stack([geometry.raw[0].mean(axis=0) for geometry in geometries])
        rows.append({"cell": f"{kind}, not centered", "estimate": float(separation(raw, conversations.inside).mean())})
        for i, layer in enumerate(study.space.layers):
            by_seed = separation(np.stack([geometry.cosines[0, i] for geometry in geometries]), conversations.inside)
            half_life = float(np.median([geometry.half_life[i] for geometry in geometries]))
            beta = float(np.mean([geometry.beta[i] for geometry in geometries]))
            rows.append({"cell": kind, "layer": layer, "estimate": float(by_seed.mean()), "half_life": half_life, "beta": beta})
    return rows


MEASURES: Mapping[str, Callable[[Study], Measurement]] = {SEPARATION: apart, STATE_SWAP: state_swap, DISPOSITION: disposition}


def known(lab: Lab, id: str) -> Measurement | None:
    """What needs no study: a model without recurrent states, and a candidate that is base itself."""
    if "linear_attention" not in lab.layer_kinds:
        reason = f"{lab.base.name} has no Gated DeltaNet layers, so no recurrent state"
        return lab.measurement(id, "", reason=reason, not_applicable=True)
    if lab.identical:
        words = "unchanged" if id == DISPOSITION else "no change"
        return lab.measurement(id, "", answer=Answer(words, "the candidate is base itself, so its states are base's"))
    return None
