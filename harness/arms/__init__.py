"""From a subject to an arm: trainings side by side, in sham ladders and in cycles."""
