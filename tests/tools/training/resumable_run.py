"""A training in a process of its own, to be killed by a test: python resumable_run.py FOLDER SECONDS_PER_STEP.

Prints a line when training begins, and the digest of all final variables at the end.
"""

import hashlib
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from tools.training import fit, make_learning_rate, make_optimizer, open_run

STEPS, EPOCHS, BATCH = 6, 5, 8


def make_model():
    inputs = keras.Input((4, 8, 8, 3), name="clip")
    x = keras.layers.Conv3D(8, 3, padding="same", use_bias=False)(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Activation("relu")(x)
    x = keras.layers.Dropout(0.3)(x)
    x = keras.layers.GlobalAveragePooling3D()(x)
    x = keras.layers.Dropout(0.2)(x)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))


def batch_of(step):
    generator = np.random.default_rng(int(step))
    labels = generator.integers(0, 3, BATCH)
    return (generator.normal(size=(BATCH, 4, 8, 8, 3)) + labels[:, None, None, None, None]).astype("float32"), labels


def make_dataset(first_epoch):
    def batches():
        for step in range(first_epoch * STEPS, EPOCHS * STEPS):
            yield batch_of(step)

    signature = (tf.TensorSpec((BATCH, 4, 8, 8, 3), tf.float32), tf.TensorSpec((BATCH,), tf.int64))
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


class Slow(keras.callbacks.Callback):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def on_train_begin(self, logs=None):
        print("training", flush=True)

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(self.seconds)


def main(folder, seconds_per_step):
    keras.utils.set_random_seed(3)
    model = make_model()
    rate = make_learning_rate(0.05, steps_per_epoch=STEPS, epochs=EPOCHS, schedule="cosine", warm_up_epochs=1)
    optimizer = make_optimizer("sgd", rate, model, weight_decay=1e-3)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    open_run(folder, {"epochs": EPOCHS}, resume=True)
    validation = tf.data.Dataset.from_tensors(batch_of(10_000))
    result = fit(
        model,
        make_dataset,
        steps_per_epoch=STEPS,
        epochs=EPOCHS,
        run_folder=folder,
        validation=validation,
        resume=True,
        callbacks=[Slow(seconds_per_step)],
    )
    digest = hashlib.sha256()
    for variable in [*model.variables, *model.optimizer.variables]:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).tobytes())
    print(digest.hexdigest(), result.resumed_from, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
