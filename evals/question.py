"""The one protocol of all questions: `q3("q3.rank")` makes that measurement when it is first asked for, and keeps it.

A question is a study (what is trained, recorded and scored, each part when it is first needed) and its measures (a function of the study
for every check id). So `pytest evals/q3 -k rank` trains for the ranks and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Generic, TypeVar

from evals.looks import until_decided
from harness.data.measurement import Measurement
from harness.experiment.lab import Lab
from harness.experiment.profile import Look

Study = TypeVar("Study")


class Question(Generic[Study]):
    """Called with a check id; KeyError for one that the question does not measure."""

    def __init__(
        self,
        lab: Lab,
        study: Callable[[Lab], Study],
        measures: Mapping[str, Callable[[Study], Measurement]],
        *,
        known: Callable[[Lab, str], Measurement | None] = lambda lab, id: None,
        grows: Collection[str] = (),
        rests_on: Callable[[Study], Mapping[str, str]] = lambda study: {},
    ) -> None:
        """`known` gives the measurements that need no study: a question that does not apply to this model, a candidate that is base itself;
        None for all others. `grows` names the checks to which more scenarios add something. Under `--profile full` these draw more until
        they are decided; others are measured at the first look. `rests_on` is what determines every check of the question beside subject,
        behavior, engine and settings, as provenance; it is asked of a study from which something was measured.
        """
        self._lab, self._study, self._measures, self._known, self._grows = lab, study, measures, known, grows
        self._rests_on = rests_on
        self._studies: dict[Look | None, Study] = {}
        self._found: dict[str, Measurement] = {}

    def __call__(self, id: str) -> Measurement:
        if id not in self._found:
            known = self._known(self._lab, id)
            self._found[id] = self._measured(id) if known is None else known
        return self._found[id]

    def _measured(self, id: str) -> Measurement:
        looks = self._lab.looks() if self._grows else ()
        if not looks:
            return self._of(self._lab, id)
        if id not in self._grows:
            return self._of(self._lab.at(looks[0]), id)
        return until_decided(self._lab, lambda lab: self._of(lab, id))

    def _of(self, lab: Lab, id: str) -> Measurement:
        study = self._at(lab)
        measured = self._measures[id](study)
        if measured.estimate is None and measured.answer is None:
            return measured
        return replace(measured, provenance={**self._rests_on(study), **measured.provenance})

    def _at(self, lab: Lab) -> Study:
        """One study a look, so that two checks share what they both need."""
        if lab.look not in self._studies:
            self._studies[lab.look] = self._study(lab)
        return self._studies[lab.look]
