"""VDA 5050: vehicles and the control that gives them orders, over MQTT."""
