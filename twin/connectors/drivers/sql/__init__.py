"""Databases, asked again and again."""
