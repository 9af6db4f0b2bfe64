"""MTConnect agents, over HTTP."""
