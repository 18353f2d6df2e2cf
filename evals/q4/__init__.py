"""Q4: Does the memory graph notice when a trained behavior degrades?

Two gates compare the candidate's log-odds with an earlier cycle's: the accepted one (without one: base) for a step, the pinned one for slow
decay. Beside them, a healthy adapter of the
suite's own is degraded by counter-examples in four doses. Do the two agents that watch conversations notice? `surface-observe` finds
memories that a conversation resembles: is the behavior's failure pattern surfaced more by degraded replies than by healthy ones, more so
than patterns that have nothing to do with it? `training-signal` flags failures: does it flag more? A control chart adds up its flags over
cycles. Last, the loop is closed: what was flagged is corrected and trained on, against corrections drawn at random.
"""
