"""``python -m bench.stream slow [PAIRS]``: whether slow readers change what others see, which takes many runs to tell."""

import json
import sys

from bench.stream import slow_readers

if len(sys.argv) < 2 or sys.argv[1] != "slow":
    sys.exit(__doc__)
for found in slow_readers(int(sys.argv[2]) if len(sys.argv) > 2 else 20):
    print(json.dumps(found))
