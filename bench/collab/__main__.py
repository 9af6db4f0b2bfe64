"""Print the figures as JSON."""

import json

from bench.collab import run

print(json.dumps(run(), indent=2))
