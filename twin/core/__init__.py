"""Vocabulary shared by every package: errors, findings, units of time, clock, logging. Stdlib and numpy only."""
