"""fovbench: truthful ablations of networks for dense prediction, pose and image generation."""

from bench.registry.versions import __version__

__all__ = ["__version__"]
