"""Where Python begins in the packed program."""

import sys

from rates import main

sys.exit(main(sys.argv[1:]))
