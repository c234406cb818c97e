# Sourced by run.sh: where corpora are.
# LIBRISPEECH holds LibriSpeech/train-clean-100 and so on; --download true fetches what is not there from LIBRISPEECH_URL or a mirror of it.
LIBRISPEECH=${LIBRISPEECH:-downloads}
LIBRISPEECH_URL=${LIBRISPEECH_URL:-https://www.openslr.org/resources/12}
