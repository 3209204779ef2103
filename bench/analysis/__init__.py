"""What results allow to be said: means over seeds, differences from the baseline, verdicts, claims, Pareto fronts."""
