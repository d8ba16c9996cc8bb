"""What works on any Keras model, whichever application made it: publish, serve, convert, train, measure."""
