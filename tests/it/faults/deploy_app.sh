#!/bin/sh
# The tiny web server's only build path, as stackc calls it.
set -eu
cd -- "$STACKC_RELEASE_DIR/web"
case "$1" in
build) cp server.py built.py ;;
migrate) python3 built.py --check ;;
esac
