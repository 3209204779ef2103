"""What a CI reads of a gate: one module for each format, each a function of an `Outcome`."""
