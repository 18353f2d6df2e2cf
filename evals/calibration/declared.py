"""Every gate that is calibrated: a question with gates that depend on the candidate adds one line here."""

from __future__ import annotations

from evals.calibrated import Calibrated
from evals.preflight.calibrated import CALIBRATED as PREFLIGHT
from evals.q4.calibrated import CALIBRATED as Q4
from evals.q6.calibrated import CALIBRATED as Q6

GATES: tuple[Calibrated, ...] = (PREFLIGHT, Q4, Q6)
"""Preflight first: what rests on it is judged after it."""
