"""`python -m kinesics`, and what torchrun starts."""

import sys

from kinesics.cli import main

sys.exit(main())
