"""One small main per verb of ``espnet-todm``."""
