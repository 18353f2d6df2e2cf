"""The sham ladder: neutral trainings of growing length, and the rung whose change is as large as that of a given subject.

The size of a change follows the number of optimizer steps, whatever is learned; so a trained model must be compared with a sham that
changed as much. A ladder depends on the base and the adapter's shape alone, not on the behavior.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.arms.maker import ArmMaker
from harness.arms.plans import Training, TrainingSettings
from harness.data.arm import Arm
from harness.data.subject import Subject
from harness.subjects.files import ADAPTER_CONFIG, read_json

RUNGS = (
    4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 23, 26, 29, 32, 36, 40, 44, 48, 53, 58, 64, 70, 77, 85, 94, 103, 113, 124, 137,
)  # fmt: skip
"""Numbers of steps, of one neutral example each. The change grows roughly with the square root of the steps, but not steadily."""
SHORT = RUNGS[: RUNGS.index(85) + 1]
"""What a ladder is trained to at first: trainings on 50 examples changed the states as much as 20 to 77 steps of sham did, in 16 seeds.
Only where a change lies beyond is the ladder trained to its end."""
NEIGHBORS = 3
"""Rungs that are tried on each side of where bisection ends, because the change does not grow steadily."""
TOLERANCE = 0.10
"""Relative difference in size up to which a rung matches."""


@dataclass(frozen=True)
class Rung:
    """The rung found for one seed. Both sizes are in the unit of the `size` function that `sham_sized` was given."""

    arm: Arm
    size: float
    """Size of this arm's change."""
    wanted: float
    """Size of the change that it is to match."""

    @property
    def matched(self) -> bool:
        """Whether the two sizes differ by at most TOLERANCE."""
        return abs(self.size - self.wanted) <= TOLERANCE * self.wanted


def ladders(maker: ArmMaker, seeds: Sequence[int], rungs: Sequence[int] = RUNGS) -> dict[int, Mapping[int, Arm]]:
    """The ladder of every seed: its sham arm after each number of steps in `rungs`, which rise. The seeds are trained side by side."""
    plans = {str(seed): _plan(maker, seed, rungs[-1]) for seed in seeds}
    folders = maker.trained(plans, rungs)
    return {seed: {n: maker.arm(folders[str(seed)] / str(n), "sham", n, seed, n, "stream") for n in rungs} for seed in seeds}


def _plan(maker: ArmMaker, seed: int, steps: int) -> Training:
    """The training of one ladder: passes over the neutral corpus, each in a new order. A shorter one is the start of a longer one."""
    rng, count = np.random.default_rng([seed, 4]), len(maker.neutral)
    order = [int(i) for _ in range(-(-steps // count)) for i in rng.permutation(count)][:steps]
    return Training(maker.neutral, [(i,) for i in order], seed)


def sham_sized_each(maker: ArmMaker, seeds: Sequence[int], wanted: Mapping[int, float], size: Callable[[Subject], float]) -> list[Rung]:
    """For each seed of `wanted` its `sham_sized` rung, the size wanted of it given; ladders of all `seeds` are trained side by side.

    Ladders are trained to SHORT, and to their end for the seeds whose wanted size lies beyond that.
    """
    short = ladders(maker, seeds, SHORT)
    found = {seed: sham_sized(short[seed], size_of, size) for seed, size_of in wanted.items()}
    beyond = [seed for seed, rung in found.items() if not rung.matched and rung.size < rung.wanted]
    if beyond:
        whole = ladders(maker, beyond)
        found |= {seed: sham_sized(whole[seed], wanted[seed], size) for seed in beyond}
    return list(found.values())


def sham_sized(ladder: Mapping[int, Arm], wanted: float, size: Callable[[Subject], float]) -> Rung:
    """The rung whose size is nearest to `wanted`, found by bisection over the number of steps and then among NEIGHBORS rungs on each side.

    `size` measures the change of a subject; it is called for the rungs that are tried, not for all.
    """
    steps, sizes = sorted(ladder), dict[int, float]()

    def measured(at: int) -> float:
        if at not in sizes:
            sizes[at] = size(ladder[steps[at]].subject)
        return sizes[at]

    low, high = 0, len(steps) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if measured(middle) < wanted else (low, middle)
    near = [
        at for at in (low, high, *(o + d * s for d in range(1, NEIGHBORS + 1) for o, s in ((low, -1), (high, 1)))) if 0 <= at < len(steps)
    ]
    for at in near:
        if abs(measured(at) - wanted) <= TOLERANCE * wanted:
            break
    nearest = min(sizes, key=lambda at: abs(sizes[at] - wanted))
    return Rung(ladder[steps[nearest]], measured(nearest), wanted)


def unmatched(rungs: Sequence[Rung]) -> str | None:
    """Why sham and trained cannot be compared: the rungs that do not match; None where all of them do."""
    off = [rung for rung in rungs if not rung.matched]
    if not off:
        return None
    worst = max(off, key=lambda rung: abs(rung.size - rung.wanted))
    return (
        f"{len(off)} of {len(rungs)} sham ladders have no rung within 10 % of the trained change "
        f"(the worst: {worst.size:.3g} for {worst.wanted:.3g})"
    )


def in_shape_of(maker: ArmMaker, candidate: Subject | None) -> tuple[ArmMaker, str]:
    """The maker with the rank and modules of a candidate's adapter, and, in words, which shape that is.

    Without a candidate, and for a checkpoint, the maker stays as it is.
    """
    if candidate is None or candidate.adapter is None:
        full = candidate is not None and candidate.digest != maker.base.digest
        return maker, "LoRA ladder for full weights" if full else "the suite's own shape"
    config = read_json(candidate.adapter / ADAPTER_CONFIG)
    modules = config["target_modules"]
    settings: TrainingSettings = replace(
        maker.settings,
        rank=int(config["r"]),
        alpha=int(config["lora_alpha"]),
        target_modules=modules if isinstance(modules, str) else tuple(sorted(modules)),
    )
    return replace(maker, settings=settings), "the candidate's rank and modules"
