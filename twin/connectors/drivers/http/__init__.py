"""Devices that send to the twin by HTTP or websocket."""
