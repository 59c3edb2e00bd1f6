"""`python -m m4nmt` is `m4nmt`."""

import sys

from m4nmt.cli.main import main

sys.exit(main())
