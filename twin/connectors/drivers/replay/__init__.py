"""Recorded values, played as if they came now."""
