"""Layers and trunks that several families share."""
