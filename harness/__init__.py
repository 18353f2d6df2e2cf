"""The library behind the behavioural evals: data types, analysis, engines and recorders, experiments' helpers, gate.

Lower never imports higher: gate > arms, steering, judge > engines, recorders > analysis > data.
"""

from harness.process import torchvision_cpu

__version__ = "0.1.0"

torchvision_cpu.install()
