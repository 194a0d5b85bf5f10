"""`python -m differnet_lite`: the same as the command `differnet-lite`."""

import sys

from differnet_lite.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
