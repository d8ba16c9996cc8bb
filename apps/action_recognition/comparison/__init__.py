"""Every model through every way out: Keras, SavedModel, LiteRT in three precisions, compared and timed.

compare(names, folder, settings)     makes and compares the files of each model in a process of its own
take_time(names, folder, ...)        times all ways of each finished model, in turns
write_tables(folder, failures)       FOLDER/table.json and FOLDER/table.md of all finished models
"""
