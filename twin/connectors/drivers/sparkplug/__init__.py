"""Sparkplug B edge nodes and devices, through an MQTT broker."""
