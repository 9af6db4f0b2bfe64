"""The twin as a plant: others read its signals by OPC UA and MQTT, to try a PLC program or a SCADA system against it."""
