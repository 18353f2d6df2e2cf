"""The rows beside Q3's numbers: recovery by number of heads, and the change of every head."""

from __future__ import annotations

from typing import Any

from evals.q3.study import Study
from harness.analysis.head_ranking import top


def recovered(study: Study) -> list[dict[str, Any]]:
    """Recovery by number of heads, in both directions."""
    patching = study.patching
    found, lost = (moved / moved[-1] for moved in (patching.into_base.mean(axis=(1, 2)), patching.into_trained.mean(axis=1)))
    cells = (("top heads into base", found), ("base's heads into the trained model", lost))
    return [
        {"cell": cell, "heads": size, "estimate": float(share)}
        for cell, values in cells
        for size, share in zip(patching.sizes, values, strict=True)
    ]


def changed(study: Study) -> list[dict[str, Any]]:
    """Every head's change, then the attention rows'."""
    rows: list[dict[str, Any]] = []
    own, total = study.own.mean(axis=(0, 1)), study.distances.mean(axis=(0, 1))
    for i in top(own, len(study.heads)):
        head = study.heads[i]
        place = {"layer": head.layer, "head": head.index, "kind": head.kind}
        rows.append({"cell": "change by the layer's own weights", **place, "estimate": float(own[i]), "whole change": float(total[i])})
    return [*rows, *({"cell": f"attention rows, {name}", "estimate": float(values.mean())} for name, values in study.rows.items())]
