"""From logs of interactions to a prepared folder: ids, a training, a validation and a test part, stored negatives."""
