"""Importing this module starts the recording of what is read: the fork server imports it before all others."""

from bench.sweep.opened import start

start()
