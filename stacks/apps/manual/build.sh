#!/bin/sh
# Makes public/ of pages/: each page between the same head and foot, with the version of this checkout.
set -eu
umask 022

version=$(cat VERSION)
rm -rf public
mkdir public
cp style.css public/

for page in pages/*.html; do
    title=$(sed -n 's|.*<h1>\(.*\)</h1>.*|\1|p' "$page")
    {
        echo '<!doctype html>'
        echo '<html lang="en">'
        echo '<meta charset="utf-8">'
        echo '<meta name="viewport" content="width=device-width">'
        echo "<title>$title</title>"
        echo '<link rel="stylesheet" href="/style.css">'
        cat "$page"
        echo "<footer>Version $version of the manual</footer>"
    } >"public/${page#pages/}"
done
echo "public/ is version $version"
