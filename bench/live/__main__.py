"""``python -m bench.live``: the rows as JSON."""

import json

from bench.live import run
from twin.core import log

log.configure("error")
print(json.dumps(run(), indent=2))
