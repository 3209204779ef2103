"""The machine: its facts, affinity, timing, CUDA, ceilings, and the network under test."""
