"""`python -m midwatch_agents`: the whole command line, for children that are started without a PATH."""

import sys

from midwatch_agents.cli import main

if __name__ == "__main__":
    sys.exit(main())
