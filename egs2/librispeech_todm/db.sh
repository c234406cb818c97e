# Sourced by run.sh: where corpora are.
# LIBRISPEECH holds LibriSpeech/train-clean-100 and so on; download from openslr.org, resource 12.
LIBRISPEECH=${LIBRISPEECH:-downloads}
