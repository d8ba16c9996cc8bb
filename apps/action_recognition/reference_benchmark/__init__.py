"""Our networks beside the reference implementations in PyTorch."""
