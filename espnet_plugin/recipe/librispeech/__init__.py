"""LibriSpeech: its parts, download, and layout of folders."""
