"""The verdict of a test that ended otherwise than `gate.judge` said: in its setup or teardown, by a skip, or without a measurement."""

from __future__ import annotations

from typing import Any

import pytest

from harness.data.errors import EngineDied, InstrumentError
from harness.data.text import one_line
from harness.data.verdict import Verdict
from harness.gate.judging import Inconclusive
from harness.gate.verdict.entry import Entry
from harness.gate.verdict.judged import Check


def verdict_of_phase(check: Check, own: Entry | None, report: Any, call: pytest.CallInfo[None]) -> Verdict | None:
    """The verdict that one phase of a test (setup, call, teardown) brings; None where `own`, the entry so far, stands.

    `report` is pytest's TestReport of the phase, `call` how the phase ended.
    """
    if report.when == "call" and own is None and report.passed:
        return Verdict("error", "-", f"{check.id} was not measured: the test handed nothing to the gate.")
    if report.skipped and own is None:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        return Verdict("not_applicable", "not applicable", f"{check.id} does not apply: {reason.removeprefix('Skipped: ')}")
    if not report.failed or call.excinfo is None:
        return None
    error = call.excinfo.value
    if own is not None and own.verdict.message in str(error):
        return None
    if isinstance(error, Inconclusive):
        return Verdict("inconclusive", "-", str(error).removeprefix("INCONCLUSIVE: "))
    if isinstance(error, EngineDied):
        return Verdict("inconclusive", "-", f"{check.id} was not measured: {one_line(str(error))}; what was measured before stands.")
    place = "" if report.when == "call" else f" (in the test's {report.when})"
    name = "" if isinstance(error, InstrumentError) else f"{type(error).__name__}: "
    return Verdict("error", "-", f"{check.id} was not measured{place}: {name}{one_line(str(error))}")
