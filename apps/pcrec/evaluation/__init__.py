"""How good the rankings are: full ranking, stored negatives, one rule for ties, intervals and tests."""
