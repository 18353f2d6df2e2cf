"""The library behind the behavioral evals. Each folder is named after the type that its files return.

Behavior (behaviors) → Subject (subjects) → Arm (arms) → Scored, Recorded (engines, recorders) → arrays (readouts) → Estimate (analysis)
→ Measurement (experiment) → Verdict, Entry (gate) → report. Imports go only down: gate > experiment > dreams > agents > judges, memory,
readouts, arms > engines > subjects > analysis, behaviors, tasks, recorders, store > data.
"""

from harness.process import torchvision_cpu

__version__ = "0.1.0"

torchvision_cpu.install()
