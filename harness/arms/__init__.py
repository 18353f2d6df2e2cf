"""From a subject to an arm: trainings, one at a time, side by side, in ladders and in cycles."""
