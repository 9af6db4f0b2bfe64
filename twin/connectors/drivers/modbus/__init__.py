"""Modbus TCP devices."""
