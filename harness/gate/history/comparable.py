"""May two measurements be compared? Only where everything that determined them is the same, but for the subject that was tested.

Thresholds, waivers and the cycle's name determine no measurement and stand in no provenance. What only one of the two records is another
thing too: a cycle of a version that recorded less is measured again, not trusted.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.judges.anchors import DIGEST, LABELS, NAME, change_of_judge

OF_THE_SUBJECT = ("subject", "sketch")
"""Names of a provenance that say which weights were tested: what a comparison is about."""
OF_THE_JUDGE = (NAME, DIGEST, LABELS)
"""Names that together say which judge it was: an address may change, and one anchor's label may waver, while the judge stays."""


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """What determined the one and not the other, "another seed (0, now 1)" each; empty where they may be compared."""
    found = [_judge(before, now)] if DIGEST in now else []
    apart = (*OF_THE_SUBJECT, *(OF_THE_JUDGE if DIGEST in now else ()))
    for name in dict.fromkeys((*now, *before)):
        if name not in apart and before.get(name) != now.get(name):
            found.append(f"another {name} ({before.get(name, 'not recorded')}, now {now.get(name, 'not recorded')})")
    return tuple(each for each in found if each is not None)


def _judge(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    changed = change_of_judge(before, now) if LABELS in now or before.get(DIGEST) != now[DIGEST] else None
    return None if changed is None else f"another judge ({changed.removeprefix('the judge changed: ')})"
