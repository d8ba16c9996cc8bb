"""The applications of the suite, one package each, and the command `kapps`. Importing it imports no framework."""
