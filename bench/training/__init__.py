"""The training loop, precision modes and their admission."""
