"""``python -m buttress``, where the command itself is not on the path."""

import sys

from buttress.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
