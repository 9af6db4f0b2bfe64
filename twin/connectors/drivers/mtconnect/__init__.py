"""MTConnect adapters of machine tools."""
