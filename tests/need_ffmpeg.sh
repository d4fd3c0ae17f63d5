#!/bin/sh
# Installs ffmpeg, which museval needs on the PATH, where it is missing: as root at once, as another user only if somebody
# at a terminal agrees to sudo. Otherwise it says the command.
set -eu
if command -v ffmpeg > /dev/null && command -v ffprobe > /dev/null; then exit 0; fi

if command -v apt-get > /dev/null; then
    command='apt-get update -qq && apt-get install -y -qq --no-install-recommends ffmpeg'
elif command -v dnf > /dev/null; then
    command='dnf install -y -q ffmpeg-free'
elif command -v brew > /dev/null; then # as oneself, never as root
    echo 'installing ffmpeg ...'
    exec brew install --quiet ffmpeg
else
    echo 'ffmpeg and ffprobe are needed by museval: please install them' >&2
    exit 1
fi

if [ "$(id -u)" = 0 ]; then
    echo 'installing ffmpeg ...'
    exec sh -c "$command" > /dev/null
fi
if [ -t 0 ] && [ -t 2 ]; then
    printf "The tests need ffmpeg. Run as root: sudo sh -c '%s' ? [y/N] " "$command" >&2
    read -r answer || answer=
    case $answer in
        y | Y | yes) exec sudo sh -c "$command" > /dev/null ;;
    esac
fi
echo "the tests need ffmpeg, which nothing installs without being asked: sudo sh -c '$command'" >&2
exit 1
